"""What a run has found that somebody should look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from etl_ray import storage
from etl_ray.coverage.timeline import Timeline
from etl_ray.orchestrators.receipts import Counts, UnitFacts
from etl_ray.readers.segments import Unit


def damaged(units: Iterable[Unit], facts: Iterable[UnitFacts]) -> tuple[str, ...]:
    """Say for each damaged segment where its first damage is. `units` are in arrival order, `facts` are theirs."""
    first: dict[str, str] = {}
    for unit, found in zip(units, facts, strict=True):
        if found.damage is not None:
            first.setdefault(unit.segment.identity, found.damage)
    return tuple(first.values())


def findings(
    units: Iterable[Unit], facts: Mapping[str, UnitFacts], counts: Counts, timeline: Timeline
) -> tuple[str, ...]:
    """Return what --strict objects to."""
    told = []
    if counts.rejects == 1:
        told.append(f"1 line was rejected, in {first_reject(units, facts)}")
    elif counts.rejects:
        told.append(
            f"{counts.rejects:,} lines were rejected, the first in {first_reject(units, facts)}; "
            "the table rejects says where each is and why"
        )
    holes = [hole for record in timeline.connections for hole in record.holes.found if hole.kind != "explained"]
    if holes:
        missing = sum(hole.missing for hole in holes)
        told.append(
            f"sequence numbers have {_counted(len(holes), 'hole')}, where {_counted(missing, 'message')} are missing; "
            "the tables connections and coverage say where"
        )
    if counts.unknown_keys:
        told.append(f"{counts.unknown_keys:,} keys were not known and dropped")
    return tuple(told)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def first_reject(units: Iterable[Unit], facts: Mapping[str, UnitFacts]) -> str:
    """Say where the first rejected line is and why it was rejected. `units` are in arrival order.

    All units up to that line are in `facts`, by name.
    """
    segment, lines = "", 0
    for unit in units:
        found = facts[unit.name]
        if unit.segment.identity != segment:
            segment, lines = unit.segment.identity, 0
        if found.first_reject is not None:
            line = lines + found.first_reject.line
            return f"{storage.redact(unit.segment.url)}, line {line:,}: {found.first_reject.reason}"
        lines += found.counts.lines
    raise AssertionError("no unit has a rejected line")
