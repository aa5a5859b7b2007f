"""What an OUTPUT holds, what has still to be done for it, and what runs have left in it. Nothing is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Literal

from etl_ray import storage
from etl_ray.config import format_time
from etl_ray.errors import ConfigError, StorageError
from etl_ray.orchestrators.manifest import Input, Ledger, Manifest
from etl_ray.orchestrators.messages import from_json
from etl_ray.orchestrators.receipts import BuiltFile, Counts
from etl_ray.readers.segments import Segment, find_segments
from etl_ray.tables import TABLES

RUNS = 10
"""How many of the latest runs are told of, if nothing else is asked for."""


@dataclass(frozen=True)
class CommittedRun:
    """A manifest: `committed_ns` is when its file was written (ns UTC, None: the storage does not tell)."""

    number: int
    run_id: str
    committed_ns: int | None
    segments: int
    files: int
    rows: int


@dataclass(frozen=True)
class PendingSegment:
    """A segment that the next run reads: a new one, or one that has changed since it was read."""

    identity: str
    url: str
    why: Literal["new", "changed"]


@dataclass(frozen=True)
class UnlistedSource:
    """An INPUT of the last run that cannot be listed now, and why."""

    source: str
    reason: str


@dataclass(frozen=True)
class TableSize:
    """What a table holds."""

    rows: int
    files: int
    bytes: int


@dataclass(frozen=True)
class Unpublished:
    """What the next run has to finish: files of the manifest that are not in their places, and others that are."""

    missing: int
    superseded: int


@dataclass(frozen=True)
class Leftover:
    """What a run that is going on, or has died, has put below `_etl_ray/runs`."""

    run_id: str
    files: int
    bytes: int


@dataclass(frozen=True)
class OutputStatus:
    """The state of an OUTPUT.

    `n_runs` have been committed, `runs` are the latest of them. Of the segments `done` have been read, `pending` wait,
    `damaged` ended early, `removed` are gone from INPUT. What waits or is gone in `unlisted` INPUTs is not known.
    `counts` is the account of lines of all segments, None if nothing is committed.
    """

    output: str
    n_runs: int
    runs: tuple[CommittedRun, ...]
    done: int
    pending: tuple[PendingSegment, ...]
    damaged: tuple[str, ...]
    removed: tuple[str, ...]
    unlisted: tuple[UnlistedSource, ...]
    unpublished: Unpublished | None
    leftovers: tuple[Leftover, ...]
    tables: Mapping[str, TableSize]
    counts: Counts | None
    findings: tuple[str, ...]

    @property
    def is_balanced(self) -> bool:
        """Whether lines = accepted + ignored + out_of_range + blank + rejects."""
        return self.counts is None or is_balanced(self.counts)

    def as_dict(self) -> dict[str, object]:
        """Return all that is known by name, ready for JSON; times as RFC 3339."""
        runs = [
            {
                **{item.name: getattr(run, item.name) for item in fields(run) if item.name != "committed_ns"},
                "committed": None if run.committed_ns is None else format_time(run.committed_ns),
            }
            for run in self.runs
        ]
        return {
            "output": self.output,
            "n_runs": self.n_runs,
            "runs": runs,
            "segments": {
                "done": self.done,
                "pending": [asdict(item) for item in self.pending],
                "damaged": list(self.damaged),
                "removed": list(self.removed),
                "unlisted": [asdict(item) for item in self.unlisted],
            },
            "unpublished": None if self.unpublished is None else asdict(self.unpublished),
            "leftovers": [asdict(item) for item in self.leftovers],
            "tables": {name: asdict(size) for name, size in self.tables.items()},
            "counts": None if self.counts is None else asdict(self.counts),
            "is_balanced": self.is_balanced,
            "findings": list(self.findings),
        }


def status(output: str, *, runs: int = RUNS) -> OutputStatus:
    """Tell what an OUTPUT holds and what is pending, with its latest `runs`; ConfigError if it is none of ours."""
    ledger = open_output(output)
    numbers = ledger.numbers()
    latest = ledger.manifest(numbers[-1]) if numbers else None
    found, unlisted = _found_now(latest.sources if latest is not None else ())
    inputs = latest.inputs if latest is not None else ()
    return OutputStatus(
        output=storage.redact(output),
        n_runs=len(numbers),
        runs=tuple(_run(ledger, number) for number in numbers[max(0, len(numbers) - runs) :]),
        done=len(inputs),
        pending=_pending(inputs, found),
        damaged=latest.damaged if latest is not None else (),
        removed=_removed(inputs, found, is_known=not unlisted and latest is not None and bool(latest.sources)),
        unlisted=unlisted,
        unpublished=_unpublished(ledger, latest),
        leftovers=_leftovers(ledger),
        tables=_tables(latest.files if latest is not None else ()),
        counts=latest.counts if latest is not None else None,
        findings=latest.findings if latest is not None else (),
    )


def open_output(output: str) -> Ledger:
    """Return the ledger of an OUTPUT; ConfigError if it is none of ours."""
    ledger = Ledger(storage.canonical(output))
    if not storage.exists(ledger.own):
        name = storage.redact(output)
        found = "nothing there" if not storage.exists(ledger.output) else "no _etl_ray in it"
        raise ConfigError(f"{name} is no output of etl-ray: expected the OUTPUT of `etl-ray run`, found {found}")
    return ledger


def is_balanced(counts: Counts) -> bool:
    """Tell whether every line is accounted for."""
    told = counts.accepted + counts.ignored + counts.out_of_range + counts.blank + counts.rejects
    return told == counts.lines


@dataclass(frozen=True)
class _Named:
    """The part of an input that is needed here."""

    identity: str


@dataclass(frozen=True)
class _Rows:
    """The part of a file that is needed here."""

    rows: int


@dataclass(frozen=True)
class _Outline:
    """The part of a manifest that is needed here: a whole one may be large."""

    run_id: str
    inputs: tuple[_Named, ...]
    files: tuple[_Rows, ...]


def _run(ledger: Ledger, number: int) -> CommittedRun:
    url = storage.join(ledger.own, "manifests", f"{number:06d}.json")
    outline = from_json(_Outline, storage.read_bytes(url), storage.redact(url))
    return CommittedRun(
        number=number,
        run_id=outline.run_id,
        committed_ns=storage.file_info(url).modified_ns,
        segments=len(outline.inputs),
        files=len(outline.files),
        rows=sum(file.rows for file in outline.files),
    )


def _found_now(sources: Iterable[str]) -> tuple[dict[str, Segment], tuple[UnlistedSource, ...]]:
    """Return the segments that are in INPUT now, by identity, and which of `sources` cannot be listed."""
    found: dict[str, Segment] = {}
    unlisted: list[UnlistedSource] = []
    for source in sources:
        try:
            found.update((segment.identity, segment) for segment in find_segments(source))
        except (ConfigError, StorageError) as error:
            unlisted.append(UnlistedSource(storage.redact(source), str(error)))
    return found, tuple(unlisted)


def _pending(inputs: Iterable[Input], found: Mapping[str, Segment]) -> tuple[PendingSegment, ...]:
    done = {item.identity: (item.size, item.version) for item in inputs}
    return tuple(
        PendingSegment(identity, storage.redact(segment.url), "changed" if identity in done else "new")
        for identity, segment in sorted(found.items())
        if done.get(identity) != (segment.size, segment.version)
    )


def _removed(inputs: Iterable[Input], found: Mapping[str, Segment], *, is_known: bool) -> tuple[str, ...]:
    """Return the segments that are gone; if not all of INPUT `is_known`, those that were gone at the last run."""
    return tuple(item.identity for item in inputs if item.identity not in found and (is_known or not item.is_present))


def _unpublished(ledger: Ledger, latest: Manifest | None) -> Unpublished | None:
    found = ledger.table_files()
    wanted = {storage.join(ledger.output, file.path): file.bytes for file in (latest.files if latest else ())}
    missing = sum(found.get(url) != size for url, size in wanted.items())
    superseded = sum(url not in wanted for url in found)
    return Unpublished(missing, superseded) if missing or superseded else None


def _leftovers(ledger: Ledger) -> tuple[Leftover, ...]:
    root = storage.join(ledger.own, "runs")
    try:
        listed = storage.list_files(root)
    except ConfigError:
        return ()
    files: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for info in listed:
        run_id = info.url.removeprefix(root).strip("/").partition("/")[0]
        files[run_id] += 1
        sizes[run_id] += info.size
    return tuple(Leftover(run_id, files[run_id], sizes[run_id]) for run_id in sorted(files))


def _tables(files: Iterable[BuiltFile]) -> dict[str, TableSize]:
    """Return what each table holds, in the order of tables; those without files are left out."""
    found: dict[str, list[BuiltFile]] = {}
    for file in files:
        found.setdefault(file.table, []).append(file)
    return {
        table: TableSize(
            rows=sum(file.rows for file in found[table]),
            files=len(found[table]),
            bytes=sum(file.bytes for file in found[table]),
        )
        for table in TABLES
        if table in found
    }
