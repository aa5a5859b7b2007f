"""Small files of closed dates merged into larger ones, and committed like a run: the rows stay what they are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from etl_ray import storage
from etl_ray.config import JobConfig
from etl_ray.errors import ConfigError
from etl_ray.orchestrators.compact_merge import MergeOptions
from etl_ray.orchestrators.compact_plan import Part, directory_of, group_sizes, joined, merges_of, strands
from etl_ray.orchestrators.compact_results import Merged
from etl_ray.orchestrators.engines import choose_engine
from etl_ray.orchestrators.lock import exclusive
from etl_ray.orchestrators.manifest import Ledger, Manifest, distinct
from etl_ray.orchestrators.messages import pack
from etl_ray.orchestrators.publishing import publish
from etl_ray.orchestrators.receipts import Built, BuiltFile
from etl_ray.orchestrators.results import key_of, read_results, write_results
from etl_ray.orchestrators.stages import Item, Stages
from etl_ray.orchestrators.status import open_output
from etl_ray.progress import Progress
from etl_ray.summary import CompactSummary
from etl_ray.version import __version__

_BYTES_PER_MB = 1_000_000


def compact(output_url: str, config: JobConfig, progress: Progress, *, target_mb: float) -> CompactSummary:
    """Merge files of closed dates that follow each other, up to about `target_mb` each; return what was done.

    Of the config engine, address, resources and break_lock count. ConfigError if nothing is committed in OUTPUT.
    """
    started_s = time.monotonic()
    if target_mb <= 0:
        raise ConfigError(f"--target-mb: expected a size above 0, found {target_mb:g}")
    ledger = open_output(output_url)
    name = storage.redact(output_url)
    if not ledger.numbers():
        raise ConfigError(f"{name} holds no committed run; expected the OUTPUT of `etl-ray run`")
    storage.make_root(ledger.own)
    with exclusive(ledger.own, break_lock=config.break_lock, note=progress.note) as hold:
        storage.delete_temporary(ledger.output)
        before = ledger.latest()
        if before is None:
            raise AssertionError("a manifest has vanished")
        publish(ledger, before, hold.check, progress.note)
        if not ledger.is_whole(before):
            raise ConfigError(f"{name} lacks files of its last run; run `etl-ray run` on it again first")
        manifest = _merged(ledger, before, config, progress, hold.check, target_bytes=int(target_mb * _BYTES_PER_MB))
        _clear(ledger, manifest, hold.check)
    found, left = set(before.files), set(manifest.files)
    old = [file for file in before.files if file not in left]
    new = [file for file in manifest.files if file not in found]
    return CompactSummary(
        merged=len(old),
        written=len(new),
        bytes_before=sum(file.bytes for file in old),
        bytes_after=sum(file.bytes for file in new),
        rows=sum(file.rows for file in new),
        files=len(manifest.files),
        seconds=time.monotonic() - started_s,
        output=name,
        run_id=manifest.run_id,
        number=manifest.number,
        unchanged=manifest is before,
    )


def _merged(
    ledger: Ledger,
    before: Manifest,
    config: JobConfig,
    progress: Progress,
    check: Callable[[], None],
    *,
    target_bytes: int,
) -> Manifest:
    """Merge files, commit and publish; return the newest manifest, which is `before` if there is nothing to merge."""
    waiting = ledger.waiting_room(before.run_id, before.number + 1)
    merging = _Merging(before, MergeOptions(ledger.output, waiting), target_bytes)
    merging.run(config, progress)
    if not merging.merged:
        return before
    manifest = _manifest(before, merging.merged, ledger)
    check()
    ledger.commit(manifest)
    publish(ledger, manifest, check, progress.note)
    return manifest


def _clear(ledger: Ledger, manifest: Manifest, check: Callable[[], None]) -> None:
    """Remove what is merged once more, and results that no state needs any more."""
    for number in (manifest.number, manifest.number + 1):  # of a compaction that is done, of one that was killed
        check()
        storage.delete_tree(ledger.waiting_room(manifest.run_id, number))
    try:
        found = storage.list_files(storage.join(ledger.own, "results"))
    except ConfigError:
        return
    for info in found:
        if manifest.results is None or info.url != storage.join(ledger.own, manifest.results):
            check()
            storage.delete(info.url)


@dataclass
class _Merging:
    """The files of a manifest on their way to fewer ones; `merged` tells for each path that is gone its new file."""

    manifest: Manifest
    options: MergeOptions
    target_bytes: int
    merged: dict[str, BuiltFile] = field(default_factory=dict)

    def run(self, config: JobConfig, progress: Progress) -> None:
        """Merge until nothing more fits together: what is merged may be smaller than its parts were."""
        strand_list = [joined(strand, self.target_bytes) for strand in strands(self.manifest)]
        read = sum(file.bytes for part in _to_do(strand_list) for file in part.files)
        if not read:
            return
        engine = choose_engine(config, read, progress.note)
        try:
            stages = Stages(engine, progress)
            while any(_to_do(strand_list)):
                built = self._built(strand_list, stages)
                strand_list = [joined(strand, self.target_bytes) for strand in built]
        finally:
            engine.close()
        for part in (part for strand in strand_list for part in strand):
            made = {directory_of(file): file for file in part.files}
            found = {file.path: made[directory_of(file)] for file in part.sources}
            self.merged.update((path, file) for path, file in found.items() if file.path != path)

    def _built(self, strand_list: list[list[Part]], stages: Stages) -> list[list[Part]]:
        """Return the strands with what is joined in one file per directory; what cannot be is left out."""
        sizes = group_sizes(self.manifest.semantic)
        merges = [merge for part in _to_do(strand_list) for merge in merges_of(part, sizes)]
        items = [Item(pack(merge), merge.bytes) for merge in merges]
        done = stages.run("compact", self.options, items, Built)
        made = {(merge.directory, merge.number): built.files for merge, built in zip(merges, done, strict=True)}
        found: list[list[Part]] = []
        for parts in strand_list:
            found.append([])
            for part in parts:
                built = _with_files(part, made)
                if built is None:
                    found.append([])
                else:
                    found[-1].append(built)
        return found


def _to_do(strand_list: Iterable[Iterable[Part]]) -> list[Part]:
    return [part for strand in strand_list for part in strand if part.is_joined]


def _with_files(part: Part, made: Mapping[tuple[str, int], tuple[BuiltFile, ...]]) -> Part | None:
    """Return a part with what was made of its files; None if they cannot be merged."""
    if not part.is_joined:
        return part
    files: dict[str, tuple[BuiltFile, ...]] = {}
    for file in part.sources:
        directory = directory_of(file)
        files[directory] = made.get((directory, part.number), (file,))
    if not all(files.values()):
        return None
    return replace(part, files=tuple(file for found in files.values() for file in found), is_joined=False)


def _manifest(before: Manifest, merged: Mapping[str, BuiltFile], ledger: Ledger) -> Manifest:
    """Write the results of work anew; return the manifest."""
    number = before.number + 1
    files = distinct(merged.get(file.path, file) for file in before.files)
    results = None
    if before.results is not None:
        # Who has lost OUTPUT may not overwrite what another one has written meanwhile.
        digest = key_of(*sorted(file.path for file in merged.values()))[:12]
        results = f"results/{number:06d}-{digest}.parquet"
        found = read_results(storage.join(ledger.own, before.results))
        now = Merged(before.files, files, merged, before.semantic).results(found)
        write_results(storage.join(ledger.own, results), now)
    return replace(before, number=number, program=__version__, files=files, moved={}, results=results)
