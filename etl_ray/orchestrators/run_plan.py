"""What a run has to read: segments cut into units, and which of these are known from before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from etl_ray import storage
from etl_ray.config import JobConfig, format_time
from etl_ray.errors import ConfigError
from etl_ray.orchestrators.committed import Committed
from etl_ray.orchestrators.manifest import Input, Manifest
from etl_ray.readers.segments import Segment, Unit, plan_units

TimeRange = tuple[int | None, int | None]
_BEGINNING, _END = -(2**63), 2**63 - 1


@dataclass(frozen=True)
class RunPlan:
    """The inputs of a run by identity, those that are gone as well; their units in arrival order, and its range.

    Units of `reread`, by name, are known, but not all of their pieces are kept, and all are wanted.
    """

    run_id: str
    inputs: tuple[Input, ...]
    units: tuple[Unit, ...]
    range_ns: TimeRange
    reread: frozenset[str] = frozenset()


def plan_run(segments: Sequence[Segment], config: JobConfig, committed: Committed | None, *, output: str) -> RunPlan:
    """Plan a run over segments, on top of what is committed.

    Segments that did not change keep their units, unless the range makes other rows of them. Segments that are gone
    keep theirs; ConfigError if the range asks for rows of them that were not written.
    """
    latest = None if committed is None else committed.manifest
    range_ns = (config.start, config.end) if latest is None else joined_range(latest, config, output=output)
    before = {} if latest is None else {item.identity: item for item in latest.inputs}
    inputs: dict[str, Input] = {}
    units: dict[str, tuple[Unit, ...]] = {}
    new: list[Segment] = []
    reread: set[str] = set()
    here = {segment.identity for segment in segments}
    for item in before.values():
        if item.identity not in here and committed is not None and item.units:
            known = committed.units.get(item.identity)
            if known is None or not _is_same_in(range_ns, item, committed, known):
                raise ConfigError(
                    f"OUTPUT {output} holds rows of {item.identity}, which INPUT does not have any more, and which has "
                    "to be read again for this range or because its receipts are lost: bring it back, or --overwrite "
                    "to replace OUTPUT without it"
                )
            is_removed = item.is_removed or item.identity in committed.removed
            inputs[item.identity] = replace(item, is_present=False, is_removed=is_removed)
            units[item.identity] = known
    for segment in segments:
        was = before.get(segment.identity)
        known = None if committed is None or was is None else committed.units.get(segment.identity)
        is_same = was is not None and (was.size, was.version) == (segment.size, segment.version)
        if committed is not None and was is not None and was.size != segment.size:
            _check_not_removed(was, segment, committed, output)
        if (
            committed is None
            or was is None
            or known is None
            or not is_same
            or not _is_same_in(range_ns, was, committed, known)
        ):
            new.append(segment)
        else:
            again = was.is_pruned and config.after != "keep"  # soon there will be no way to make its pieces again
            reread |= set(was.units) if again else set()
            is_pruned = was.is_pruned and not again
            url = storage.redact(segment.url)
            inputs[segment.identity] = replace(was, url=url, is_present=True, is_pruned=is_pruned, is_removed=False)
            units[segment.identity] = tuple(replace(unit, segment=segment) for unit in known)
    for unit in plan_units(new, config.staging.unit_bytes):
        content = _content(unit, config, range_ns)
        units[unit.segment.identity] = (*units.get(unit.segment.identity, ()), replace(unit, content=content))
    for segment in new:
        inputs[segment.identity] = Input(
            identity=segment.identity,
            url=storage.redact(segment.url),
            size=segment.size,
            version=segment.version,
            start_ns=range_ns[0],
            end_ns=range_ns[1],
            units=tuple(unit.name for unit in units.get(segment.identity, ())),
        )
    ordered = sorted(inputs)
    found = tuple(inputs[identity] for identity in ordered)
    return RunPlan(
        run_id=run_id(found, config, range_ns),
        inputs=found,
        units=tuple(unit for identity in ordered for unit in units.get(identity, ())),
        range_ns=range_ns,
        reread=frozenset(reread),
    )


def _check_not_removed(was: Input, segment: Segment, committed: Committed, output: str) -> None:
    """Raise ConfigError if a segment has the name of one that was removed: it would take the place of its rows."""
    if was.is_removed or segment.identity in committed.removed:
        raise ConfigError(
            f"{storage.redact(segment.url)} has the name of a segment that an earlier run has removed from INPUT, and "
            f"whose rows OUTPUT {output} keeps: expected one of {was.size:,} bytes, found {segment.size:,}. Give it "
            "another name, or --overwrite to replace OUTPUT without what was removed"
        )


def run_id(inputs: Sequence[Input], config: JobConfig, range_ns: TimeRange) -> str:
    """Return the id of a run: the same for the same inputs, config and range."""
    files = [[item.identity, item.size, item.version] for item in inputs]
    return hashlib.sha256(json.dumps([config.semantic_hash(), range_ns, files]).encode()).hexdigest()[:16]


def joined_range(latest: Manifest, config: JobConfig, *, output: str) -> TimeRange:
    """Return the range of OUTPUT extended by that of the config; ConfigError if something between them were missing."""
    old, new = _bounds((latest.start_ns, latest.end_ns)), _bounds((config.start, config.end))
    if new[0] > old[1] or old[0] > new[1]:
        raise ConfigError(
            f"OUTPUT {output} holds {_shown(old)}, this run asks for {_shown(new)}: expected a range that continues "
            "it. Give one that does, another OUTPUT, or --overwrite to replace it"
        )
    start, end = min(old[0], new[0]), max(old[1], new[1])
    return None if start == _BEGINNING else start, None if end == _END else end


def _is_same_in(range_ns: TimeRange, item: Input, committed: Committed, units: Sequence[Unit]) -> bool:
    """Say whether an input has the same rows in a range as in the one that was applied to it."""
    if (item.start_ns, item.end_ns) == range_ns:
        return True
    start, end = _bounds(range_ns)
    start_old, end_old = _bounds((item.start_ns, item.end_ns))
    for unit in units:
        receipt = committed.receipts.facts[unit.name]
        if receipt.ts_min is None or receipt.ts_max is None:
            continue
        is_before = receipt.ts_min < start_old and receipt.ts_max >= start and start < start_old
        is_behind = receipt.ts_max >= end_old and receipt.ts_min < end and end > end_old
        if is_before or is_behind:
            return False
    return True


def _content(unit: Unit, config: JobConfig, range_ns: TimeRange) -> str:
    """Return what tells a unit apart: the version of its segment, and what is made of it."""
    parts = [unit.segment.size, unit.segment.version, config.semantic_hash(), range_ns]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _bounds(range_ns: TimeRange) -> tuple[int, int]:
    start, end = range_ns
    return _BEGINNING if start is None else start, _END if end is None else end


def _shown(bounds: tuple[int, int]) -> str:
    start = "the beginning" if bounds[0] == _BEGINNING else format_time(bounds[0])
    return f"{start} to {'the end' if bounds[1] == _END else format_time(bounds[1])}"
