"""The shards of a stored book: which messages each is computed again from, and what came before it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np

from etl_ray import storage
from etl_ray.orchestrators.arrival import count_until, place_at, placed_groups, rows_in_order, whole_messages
from etl_ray.orchestrators.coverage_at import book_tiles
from etl_ray.orchestrators.rebook_plans import CutBook, PlacedGroup, RebookPlan, RebookShard, Span, StoredShard
from etl_ray.orchestrators.row_groups import Place, equals, open_groups
from etl_ray.processors.level2_messages import message_starts, times_ns
from etl_ray.venues.rows import NULL

_ROWS_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class CutOptions:
    """Where the stored tables are, and the length of intervals (0: rows are of messages)."""

    source: str
    interval_ns: int


@dataclass(frozen=True)
class _Clocks:
    """The product's first message and its time, and the greatest time so far at the end of each span (ns)."""

    first: Place
    first_ns: int
    ends: list[int]


@dataclass(frozen=True)
class _Tiles:
    """Where the product's first message stands (None: nowhere), and the silences (from, to, ns)."""

    first: Place | None
    silences: tuple[tuple[int, int], ...]


def cut_book(plan: RebookPlan, options: CutOptions) -> CutBook:
    """Return a shard for each one of the stored book: a span of messages that ends with its last row.

    The last span goes on to the end. So each message is in one span, and where each row comes from is known.
    """
    stored = [shard for shard in plan.shards if shard.book]
    groups = [placed_groups(options.source, [[path] for path in shard.book]) for shard in stored]
    level2 = placed_groups(options.source, plan.level2)
    ends = [_last_place(options.source, found) for found in groups]
    spans = [
        Span(
            level2=_within(level2, after, until),
            book=tuple(found),
            checkpoints=tuple(file.path for file in shard.checkpoints),
            after=after,
            until=until,
        )
        for shard, found, after, until in zip(stored, groups, [None, *ends[:-1]], [*ends[:-1], None], strict=True)
    ]
    numbers = {shard.number: k for k, shard in enumerate(stored)}
    shards = [_shard(plan, shard, spans[numbers[shard.number]] if shard.book else None) for shard in plan.shards]
    if options.interval_ns and spans:
        clocks, tiles = _clocks(plan, options, level2, ends[:-1]), _tiles(plan, options)
        shards = [
            _with_intervals(shard, numbers[shard.number], spans, clocks, tiles, options.interval_ns, plan.start_ns)
            if shard.span
            else shard
            for shard in shards
        ]
    return CutBook(plan.product, tuple(shards))


def _shard(plan: RebookPlan, stored: StoredShard, span: Span | None) -> RebookShard:
    return RebookShard(
        product=plan.product,
        number=stored.number,
        numbers=plan.numbers,
        price_scale=plan.price_scale,
        quantity_scale=plan.quantity_scale,
        ofi_breaks=plan.ofi_breaks,
        span=span,
        ahead=(),
        copied=stored.checkpoints,
        clock=None,
        silences=(),
        bytes=stored.bytes,
    )


def _last_place(source: str, groups: Iterable[PlacedGroup]) -> Place:
    """Return the place of the last row of a shard's files."""
    last: dict[str, PlacedGroup] = {}
    for group in groups:
        if group.path not in last or last[group.path].index < group.index:
            last[group.path] = group
    found = []
    for path, group in last.items():
        with ExitStack() as opened:
            rows = open_groups(storage.join(source, path), opened)[group.index].read(("segment", "line"))
        found.append(place_at(rows, len(rows) - 1))
    return max(found)


def _within(groups: Iterable[PlacedGroup], after: Place | None, until: Place | None) -> tuple[PlacedGroup, ...]:
    return tuple(
        group for group in groups if (after is None or group.last > after) and (until is None or group.first <= until)
    )


def _clocks(plan: RebookPlan, options: CutOptions, level2: Sequence[PlacedGroup], ends: Sequence[Place]) -> _Clocks:
    """Follow the product's time over all messages, up to each of `ends` and to the very end."""
    names = ("segment", "line", "ts_event", "ts_server")
    rows_found = rows_in_order(options.source, level2, names, product=plan.product)
    first: Place | None = None
    first_ns, clock = NULL, NULL
    found: list[int] = []
    for rows in whole_messages(rows_found, _ROWS_AT_ONCE):
        starts = message_starts(rows)
        head = rows.select(["segment", "line"]).take(starts)
        event = np.maximum.reduceat(times_ns(rows, "ts_event"), starts)
        clocks = np.where(event == NULL, times_ns(rows, "ts_server")[starts], event)
        if first is None:
            first, first_ns = place_at(head, 0), int(clocks[0])
        running = np.maximum.accumulate(np.maximum(clocks, clock))
        while len(found) < len(ends) and (count := count_until(head, ends[len(found)])) < len(head):
            found.append(int(running[count - 1]) if count else clock)
        clock = int(running[-1])
    found += [clock] * (len(ends) + 1 - len(found))
    return _Clocks(first or Place("", 0), first_ns, found)


def _tiles(plan: RebookPlan, options: CutOptions) -> _Tiles:
    first: Place | None = None
    silences: list[tuple[int, int]] = []
    found = []
    for path in plan.coverage:
        rows = book_tiles(storage.join(options.source, path))
        rows = rows.filter(equals(rows, "product_id", plan.product))
        names = ("segment_start", "line_start", "state", "cause", "ts_start", "ts_end")
        found += list(zip(*(rows.column(name).to_pylist() for name in names), strict=True))
    goes_on = False
    for segment, line, state, cause, ts_start, ts_end in sorted(found, key=lambda tile: tile[:2]):
        if state != "no_data" and first is None:
            first = Place(segment, line)
        if cause == "silence":
            # A silence over midnight is two tiles.
            silences[-1 if goes_on else len(silences) :] = [(silences[-1][0] if goes_on else ts_start, ts_end)]
        goes_on = cause == "silence"
    return _Tiles(first, tuple(silences))


def _with_intervals(
    shard: RebookShard,
    number: int,
    spans: Sequence[Span],
    clocks: _Clocks,
    tiles: _Tiles,
    interval_ns: int,
    start_ns: int | None,
) -> RebookShard:
    """Return the shard with what its intervals need: time in front of it, the spans in which they end, silences."""
    current = clocks.ends[number] // interval_ns
    behind = number + 1
    # Each span ends with a row: in the first that has a later interval there is what ends the one from here.
    while behind < len(spans) and clocks.ends[behind] // interval_ns == current:
        behind += 1
    clock = clocks.ends[number - 1] if number else None
    if number == 0 and start_ns is not None and tiles.first != clocks.first:
        clock = clocks.first_ns  # of the interval in which the range begins, not all messages are there
    last = clocks.ends[min(behind, len(spans) - 1)]
    silences = tuple(span for span in tiles.silences if (clock is None or span[1] >= clock) and span[0] <= last)
    return replace(shard, ahead=tuple(spans[number + 1 : behind + 1]), clock=clock, silences=silences)
