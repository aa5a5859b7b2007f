"""A run from INPUT to a committed OUTPUT: plan, do what is not done, commit, publish, clear up."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from etl_ray import storage
from etl_ray.config import JobConfig
from etl_ray.errors import ConfigError, StorageError
from etl_ray.orchestrators.committed import Committed, committed_receipts, read_committed
from etl_ray.orchestrators.engines import choose_engine
from etl_ray.orchestrators.execution import Done, Execution, Places
from etl_ray.orchestrators.findings import damaged, findings
from etl_ray.orchestrators.isolation import BEGUN
from etl_ray.orchestrators.kept_composition import COMPOSED, kept_pieces
from etl_ray.orchestrators.lock import exclusive
from etl_ray.orchestrators.manifest import Input, Ledger, Manifest, distinct
from etl_ray.orchestrators.numbered import ASSIGNED
from etl_ray.orchestrators.pruning import is_prunable, kept_from_ns
from etl_ray.orchestrators.publishing import publish
from etl_ray.orchestrators.receipt_files import write_receipts
from etl_ray.orchestrators.receipt_store import ReceiptStore
from etl_ray.orchestrators.receipts import Receipt
from etl_ray.orchestrators.refusals import check_output, check_same_config, check_segments
from etl_ray.orchestrators.removal import check_archive, remove_segments
from etl_ray.orchestrators.removed import forget_removed
from etl_ray.orchestrators.results import write_results
from etl_ray.orchestrators.run_plan import RunPlan, plan_run
from etl_ray.orchestrators.run_summary import summary_of
from etl_ray.orchestrators.shards import unit_of
from etl_ray.orchestrators.staged_listing import staged_files
from etl_ray.orchestrators.stages import Memory
from etl_ray.progress import Progress
from etl_ray.readers.segments import Segment, Unit, find_segments
from etl_ray.summary import RunSummary
from etl_ray.version import __version__

_MAX_RECEIPT_FILES = 16
"""So many commits leave their receipts in files of their own; then all are put into one."""


@dataclass(frozen=True)
class Outcome:
    """What a run has done: its figures, and manifest `number` of the ledger."""

    summary: RunSummary
    ledger: Ledger
    number: int

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """The receipts of the committed units, in arrival order."""
        return tuple(committed_receipts(self.ledger, self.ledger.manifest(self.number)))


def run_job(input_url: str, output_url: str, config: JobConfig, progress: Progress) -> RunSummary:
    """Turn the segments of INPUT into the tables of OUTPUT; return what was done."""
    return run_segments([input_url], output_url, config, progress).summary


def run_segments(input_urls: Sequence[str], output_url: str, config: JobConfig, progress: Progress) -> Outcome:
    """Turn the segments of several inputs, taken together, into the tables of OUTPUT."""
    started_s = time.monotonic()
    segments = find_segments(*input_urls)
    for input_url in input_urls:
        check_output(input_url, output_url)
    check_archive(input_urls, output_url, config)
    ledger = Ledger(storage.canonical(output_url))
    check_segments(segments, ledger.output)
    ledger.check_owner()
    storage.make_root(ledger.own)
    with exclusive(ledger.own, break_lock=config.break_lock, note=progress.note) as hold:
        storage.delete_temporary(ledger.output)
        latest = ledger.latest()
        if latest is not None:
            publish(ledger, latest, hold.check, progress.note)
        output = storage.redact(output_url)
        committed: Committed | None = None
        if latest is not None and not config.overwrite:
            check_same_config(latest, config, output=output)
            committed = read_committed(ledger, latest, progress.note)
        plan = plan_run(segments, config, committed, output=output)
        sources = tuple(_source(url) for url in input_urls)
        run = _Run(plan, config, ledger, latest, committed, sources, progress)
        unchanged = latest is not None and committed is not None and run.is_done(latest)
        manifest = latest if latest is not None and unchanged else run.execute(hold.check)
        run.clear(manifest, hold.check)
        removed = remove_segments(segments, input_urls, ledger, config, hold.check)
        seconds = time.monotonic() - started_s - run.compiling_s
        summary = summary_of(manifest, output, seconds=seconds, unchanged=unchanged)
        return Outcome(replace(summary, removed=removed, segments_read=run.segments_read), ledger, manifest.number)


class _Run:
    """A planned run, on top of the state `latest`; `committed` is what of that is known (None: start anew)."""

    def __init__(
        self,
        plan: RunPlan,
        config: JobConfig,
        ledger: Ledger,
        latest: Manifest | None,
        committed: Committed | None,
        sources: tuple[str, ...],
        progress: Progress,
    ) -> None:
        self.compiling_s = 0.0
        self.segments_read = 0
        self._plan, self._config, self._ledger = plan, config, ledger
        self._committed = committed
        self._sources, self._progress = sources, progress
        self._composed: frozenset[str] | None = None
        self._number = 1 if latest is None else latest.number + 1
        # Who starts anew keeps apart from pieces that others made.
        self._staged = f"{self._number:06d}" if committed is None else committed.manifest.staged

    def is_done(self, latest: Manifest) -> bool:
        """Say whether the newest state is what this run would make, with every file in its place."""
        return (
            latest.run_id == self._plan.run_id
            and not self._plan.reread
            and all(item.version or not item.is_present for item in latest.inputs)
            and self._ledger.is_whole(latest)
        )

    def execute(self, check: Callable[[], None]) -> Manifest:
        """Do the work, commit and publish it."""
        memory = Memory() if self._committed is None else Memory(self._committed.results, self._committed.there)
        waiting = self._ledger.waiting_room(self._plan.run_id, self._number)
        places = Places(self._ledger.output, waiting, self._staging(self._staged))
        engine = choose_engine(self._config, sum(unit.stored_bytes for unit in self._new_units()), self._progress.note)
        execution = Execution(self._plan, self._config, places, engine=engine, memory=memory, progress=self._progress)
        try:
            done = execution.run(ReceiptStore() if self._committed is None else self._committed.receipts)
        finally:
            engine.close()
            self.compiling_s = execution.compiling_s
        self._composed = execution.composed
        self.segments_read = len(execution.read)
        manifest = self._manifest(done, memory)
        check()
        self._ledger.commit(manifest)
        publish(self._ledger, manifest, check, self._progress.note)
        return manifest

    def clear(self, manifest: Manifest, check: Callable[[], None]) -> None:
        """Remove what no state needs any more: of this run, and of runs that died."""
        check()
        storage.delete_tree(storage.join(self._ledger.own, "runs"))
        live = {unit.name for unit in self._plan.units}
        pruned = {name for item in manifest.inputs if item.is_pruned for name in item.units}
        staged = self._staging(manifest.staged)
        storage.delete_temporary(staged)  # of workers that were killed
        paths = [path for path, _ in staged_files(staged)]
        composed = kept_pieces(staged, paths, self._composed)
        dead = []
        for path in paths:
            unit = unit_of(path)
            if path.startswith(f"{COMPOSED}/"):
                is_dead = path not in composed
            else:
                is_of_run = path.startswith((f"{ASSIGNED}/", f"{BEGUN}/", "receipts/"))
                is_dead = is_of_run or unit not in live or (unit in pruned and is_prunable(path))
            if is_dead:
                dead.append(storage.join(staged, path))
        storage.each(dead, storage.delete, check)
        # Runs that started anew had places of their own, and so had those of them that died.
        for name in storage.list_folders(self._staging("")):
            if name != manifest.staged:
                check()
                storage.delete_tree(self._staging(name))
        here = (item.identity for item in self._plan.inputs if item.is_present)
        forget_removed(self._ledger, manifest, here)
        beside = {*manifest.receipts, manifest.results}
        for folder in ("receipts", "results"):
            for url in _files_below(storage.join(self._ledger.own, folder)):
                if url.removeprefix(self._ledger.own.rstrip("/") + "/") not in beside:
                    check()
                    storage.delete(url)

    def _staging(self, name: str) -> str:
        """Return where pieces of units are; elsewhere than below OUTPUT other outputs may have theirs as well."""
        if self._config.staging.url is None:
            return storage.join(self._ledger.own, "staged", name)
        own = hashlib.sha256(self._ledger.output.encode()).hexdigest()[:16]
        return storage.join(storage.canonical(self._config.staging.url), own, name)

    def _new_units(self) -> list[Unit]:
        known = () if self._committed is None else self._committed.receipts
        return [unit for unit in self._plan.units if unit.name not in known]

    def _manifest(self, done: Done, memory: Memory) -> Manifest:
        """Write what the manifest refers to; return the manifest."""
        plan, config, number = self._plan, self._config, self._number
        receipts = () if self._committed is None else self._committed.manifest.receipts
        known = ReceiptStore() if self._committed is None else self._committed.receipts
        new = [unit for unit in plan.units if unit.name not in known]
        if len(receipts) >= _MAX_RECEIPT_FILES or len(new) == len(plan.units):
            receipts, new = (), list(plan.units)
        # Who has lost OUTPUT may not overwrite what another one has written meanwhile.
        own = f"{number:06d}-{plan.run_id[:12]}.parquet"
        if new:
            receipts = (*receipts, f"receipts/{own}")
            write_receipts(storage.join(self._ledger.own, receipts[-1]), new, done.store)
        results = f"results/{own}"
        write_results(storage.join(self._ledger.own, results), memory.kept.values())
        return Manifest(
            number=number,
            run_id=plan.run_id,
            program=__version__,
            semantic=json.dumps(config.semantic(), sort_keys=True),
            start_ns=plan.range_ns[0],
            end_ns=plan.range_ns[1],
            sources=self._sources,
            inputs=self._inputs(done),
            files=distinct(done.files),
            counts=done.counts,
            messages=done.messages,
            damaged=damaged(plan.units, (done.store.facts[unit.name] for unit in plan.units)),
            findings=(
                *findings(plan.units, done.store.facts, done.counts, done.stitched.timeline),
                *done.refused,
            ),
            moved={new: old for new, old in memory.moved.items() if new != old},
            receipts=receipts,
            results=results,
            staged=self._staged,
            semantic_hash=config.semantic_hash(),
        )

    def _inputs(self, done: Done) -> tuple[Input, ...]:
        """Return the inputs, with what is known of them now.

        One that changed or vanished while it was read has no version: it is read again. Old ones are pruned, unless
        they are gone or are to be removed: then their pieces cannot be made again.
        """
        broken = {
            unit.segment.identity: unit.segment
            for unit in self._new_units()
            if done.store.facts[unit.name].damage is not None
        }
        volatile = {identity for identity, segment in broken.items() if _is_other_now(segment)}
        since = kept_from_ns(done.store.facts.values(), self._config.staging.keep_days)
        may_prune = since is not None and self._config.after == "keep"
        found = []
        for item in self._plan.inputs:
            is_volatile = item.identity in volatile
            times = [done.store.facts[name].ts_max for name in item.units]
            is_old = all(ts is not None and since is not None and ts < since for ts in times)
            is_pruned = item.is_pruned or (is_old and may_prune and item.is_present and not is_volatile)
            found.append(replace(item, version="" if is_volatile else item.version, is_pruned=is_pruned))
        return tuple(found)


def _source(input_url: str) -> str:
    """Return an INPUT as it is found from any directory, without credentials."""
    return str(storage.local_path(input_url)) if storage.is_local(input_url) else storage.redact(input_url)


def _is_other_now(segment: Segment) -> bool:
    try:
        found = storage.file_info(segment.url)
    except StorageError:
        return True
    return (found.size, found.version) != (segment.size, segment.version)


def _files_below(url: str) -> list[str]:
    try:
        return [info.url for info in storage.list_files(url)]
    except ConfigError:
        return []
