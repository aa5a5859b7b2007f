"""Rows of stored tables in arrival order, out of row groups that may overlap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import numpy as np
import pyarrow as pa

from etl_ray import storage
from etl_ray.coverage import places
from etl_ray.orchestrators.rebook_plans import PlacedGroup
from etl_ray.orchestrators.row_groups import Place, RowGroup, equals, not_behind, open_groups, places_of
from etl_ray.processors.level2_messages import message_starts
from etl_ray.venues.rows import Int64s


def placed_groups(source: str, runs: Sequence[Sequence[str]]) -> list[PlacedGroup]:
    """Return the row groups of files below `source`, sorted by where they begin.

    Each of `runs` are files of which the rows come in arrival order.
    """
    found: list[tuple[Place, int, int, PlacedGroup]] = []
    for number, paths in enumerate(runs):
        run = [
            PlacedGroup(path, group.index, group.first, group.last) for path in paths for group in _bounds(source, path)
        ]
        # What is said of a row group is not exact: it cannot begin before the one in front of it does.
        firsts, lasts = [group.first for group in run], [group.last for group in run]
        for k in range(1, len(run)):
            firsts[k] = max(firsts[k], firsts[k - 1])
            lasts[-1 - k] = min(lasts[-1 - k], lasts[-k])
        found += [
            (first, number, k, PlacedGroup(group.path, group.index, first, last))
            for k, (group, first, last) in enumerate(zip(run, firsts, lasts, strict=True))
        ]
    return [group for _, _, _, group in sorted(found, key=lambda item: item[:3])]


def _bounds(source: str, path: str) -> list[RowGroup]:
    with ExitStack() as opened:
        return open_groups(storage.join(source, path), opened)


def rows_in_order(
    source: str, groups: Sequence[PlacedGroup], columns: Sequence[str], *, product: str
) -> Iterator[pa.Table]:
    """Yield rows of a product in arrival order, from row groups sorted as `placed_groups` does; files are closed."""
    left = Counter(group.path for group in groups)
    opened: dict[str, tuple[ExitStack, list[RowGroup]]] = {}
    held: pa.Table | None = None
    with ExitStack() as stack:
        for k, group in enumerate(groups):
            if group.path not in opened:
                own = stack.enter_context(ExitStack())
                opened[group.path] = own, open_groups(storage.join(source, group.path), own)
            rows = _of_product(opened[group.path][1][group.index], columns, product)
            left[group.path] -= 1
            if not left[group.path]:
                opened.pop(group.path)[0].close()
            held = rows if held is None else _merged(held, rows)
            if k + 1 == len(groups):
                yield held
            elif ready := count_until(held, _before(groups[k + 1].first)):
                yield held.slice(0, ready)
                held = held.slice(ready)


def _of_product(group: RowGroup, columns: Sequence[str], product: str) -> pa.Table:
    if group.constants.get("product_id") == product:
        return group.read(columns)
    rows = group.read(list(dict.fromkeys((*columns, "product_id"))))
    return rows.filter(pa.array(equals(rows, "product_id", product))).select(list(columns))


def _merged(held: pa.Table, rows: pa.Table) -> pa.Table:
    """Return the rows of both in arrival order."""
    whole = pa.concat_tables([held, rows])
    if not len(held) or not len(rows):
        return whole
    place = placed(whole, sorted_segments(whole))
    if bool((place[1:] >= place[:-1]).all()):
        return whole
    return whole.unify_dictionaries().take(pa.array(np.argsort(place, kind="stable")))


def whole_messages(tables: Iterator[pa.Table], rows_at_once: int) -> Iterator[pa.Table]:
    """Yield the same rows, cut between messages; more than `rows_at_once` only if they are one message."""
    held: pa.Table | None = None
    for rows in tables:
        if not len(rows):
            continue
        held = rows if held is None else pa.concat_tables([held, rows])
        starts = message_starts(held)
        begin = 0
        while begin < starts[-1]:  # the last message may go on in the next table
            end = int(starts[np.searchsorted(starts, begin + rows_at_once, "right") - 1])
            if end == begin:
                end = int(starts[np.searchsorted(starts, begin, "right")])
            yield held.slice(begin, end - begin)
            begin = end
        held = held.slice(begin)
    if held is not None:
        yield held


class RowsUntil:
    """Tables in arrival order, taken up to one place after the other."""

    def __init__(self, tables: Iterator[pa.Table]) -> None:
        self._tables = tables
        self._rows = next(tables)

    def until(self, place: Place | None) -> pa.Table:
        """Return the next rows, up to a place; None: all."""
        parts = []
        while True:
            count = count_until(self._rows, place)
            parts.append(self._rows.slice(0, count))
            self._rows = self._rows.slice(count)
            following = None if len(self._rows) else next(self._tables, None)
            if following is None:
                return pa.concat_tables(parts)
            self._rows = following


def rows_between(tables: Iterator[pa.Table], after: Place | None, until: Place | None) -> Iterator[pa.Table]:
    """Yield the rows behind a place, up to another one."""
    for rows in tables:
        begin = 0 if after is None else count_until(rows, after)
        yield rows.slice(begin, count_until(rows, until) - begin)


def count_until(rows: pa.Table, place: Place | None) -> int:
    """Return how many rows, which are in arrival order, are not behind a place; None: all."""
    return len(rows) if place is None else int(np.count_nonzero(not_behind(rows, place)))


def place_at(rows: pa.Table, index: int) -> Place:
    """Return where a row stands."""
    return Place(rows.column("segment")[index].as_py(), rows.column("line")[index].as_py())


def _before(place: Place) -> Place:
    return Place(place.segment, place.line - 1)


def sorted_segments(*tables: pa.Table) -> list[str]:
    """Return the names of segments in rows, in order, and perhaps some others."""
    return sorted({name for rows in tables for name in places_of(rows)[0]})


def placed(rows: pa.Table, segments: Sequence[str]) -> Int64s:
    """Return the place of each row, its segment by index in a list that has them all."""
    if not len(rows):
        return np.empty(0, np.int64)
    names, segment, line = places_of(rows)
    codes = np.array([segments.index(name) for name in names], np.int64)
    found: Int64s = places.place(codes[segment], line)  # type: ignore[arg-type, assignment]
    return found
