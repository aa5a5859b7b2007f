"""Stored rows of `level2` replayed beside the stored rows of `book`: these rows with other levels and features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from etl_ray import storage
from etl_ray.book import Ladder, NetDelta, Replay, States, Updates
from etl_ray.book.columns import StateColumns, replay_options
from etl_ray.coverage import places
from etl_ray.errors import StorageError
from etl_ray.orchestrators.arrival import (
    RowsUntil,
    place_at,
    placed,
    rows_between,
    rows_in_order,
    sorted_segments,
    whole_messages,
)
from etl_ray.orchestrators.intervals import Ticks
from etl_ray.orchestrators.rebook_plans import RebookShard, Span
from etl_ray.orchestrators.rebook_starts import Scales, StartBook, start_books, with_books
from etl_ray.orchestrators.replay import CHUNK_MESSAGES
from etl_ray.orchestrators.row_groups import Place
from etl_ray.processors.level2_messages import Level2Messages, level2_messages, times_ns
from etl_ray.tables.book import BookColumns, book_table, rows_at_once
from etl_ray.tables.coverage import STATES
from etl_ray.venues.rows import NULL, Bools, Int64s

_ROWS_AT_ONCE = 400_000
_LEVEL2 = (
    *("side", "price", "quantity", "is_snapshot", "ts_event", "ts_server", "ts_capture"),
    *("connection_id", "segment", "line", "event_index"),
)
_CHECKED = ("bid_price_0", "bid_size_0", "ask_price_0", "ask_size_0")


@dataclass
class _Stream:
    """The book of a connection, the state behind its latest message, and the memory of its replays."""

    book: NetDelta = field(default_factory=NetDelta.empty_book)
    previous: States | None = None
    ladder: Ladder = field(default_factory=Ladder)


@dataclass(frozen=True)
class _Step:
    """Whole messages with their places and connections, and the stored rows of those that are published."""

    messages: Level2Messages
    owner: Int64s
    published: Bools
    clock: Int64s
    arrival: Int64s
    book: pa.Table


@dataclass(frozen=True)
class _Replaying:
    """The messages of a connection in a step: which they are, and where they stand among those that are replayed.

    In front of some of these stands another one that sets the whole book.
    """

    mine: Int64s
    position: Int64s
    replay: Replay
    stream: _Stream


class StoredReplay:
    """Replays the spans of a shard, one after the other, from tables below `source`."""

    def __init__(self, shard: RebookShard, columns: BookColumns, source: str) -> None:
        self._shard, self._columns, self._source = shard, columns, source
        self._scales = Scales(shard.price_scale, shard.quantity_scale)
        self._state_columns = StateColumns(
            columns, shard.numbers, price_scale=shard.price_scale, quantity_scale=shard.quantity_scale
        )
        self._chunk_messages = rows_at_once(CHUNK_MESSAGES, columns)
        self._clock = NULL if shard.clock is None else shard.clock
        self._streams: dict[int, _Stream] = {}
        self.connections: dict[str, int] = {}
        """Numbers of the connections, in order of appearance: what `Ticks.owner` means."""
        self._kept = book_table(BookColumns(depth=0, features=False)).names
        self._names = book_table(replace(columns, intervals=False)).names

    def chunks(self, span: Span) -> Iterator[tuple[pa.Table, Ticks]]:
        """Yield rows of `book`, but for columns of intervals, in arrival order, with all messages they come from."""
        # Of a connection that is not published the first message of a shard may stand behind the last row of it.
        starts = start_books(self._source, span.checkpoints, self._scales)
        starts = [start for start in starts if span.until is None or start.place <= span.until]
        breaks = ("ofi",) if self._shard.ofi_breaks else ()
        columns = (*self._kept, *_CHECKED, *breaks)
        book = RowsUntil(rows_in_order(self._source, span.book, columns, product=self._shard.product))
        level2 = rows_in_order(self._source, span.level2, _LEVEL2, product=self._shard.product)
        for rows in whole_messages(rows_between(level2, span.after, span.until), _ROWS_AT_ONCE):
            last = place_at(rows, len(rows) - 1)
            stored = book.until(last)
            due = [start for start in starts if start.place <= last]
            starts = starts[len(due) :]
            yield from self._replay(rows.unify_dictionaries().combine_chunks(), stored, due)
        if len(book.until(None)) or starts:
            raise self._torn("rows of book or book_checkpoints are of messages that level2 does not have")

    def _replay(self, rows: pa.Table, book: pa.Table, starts: Sequence[StartBook]) -> Iterator[tuple[pa.Table, Ticks]]:
        """Yield the chunks of whole messages that follow each other."""
        step, place, segments = self._step(rows, book)
        books: dict[int, list[tuple[int, NetDelta]]] = {}
        for start in starts:
            at = _index_of(start.place, segments)
            k = int(np.searchsorted(place, at))
            owner = self.connections.get(start.connection)
            if k == len(place) or place[k] != at or step.owner[k] != owner:
                raise self._torn(f"book_checkpoints has a book in front of {start.place}, where level2 has no message")
            books.setdefault(int(step.owner[k]), []).append((k, start.book))
        replaying = [self._replaying(step, owner, books.get(owner, [])) for owner in np.unique(step.owner).tolist()]
        count = np.r_[0, np.cumsum(step.published)]
        for first in range(0, len(place), self._chunk_messages):
            last = min(first + self._chunk_messages, len(place))
            stored = step.book.slice(count[first], count[last] - count[first])
            yield (
                self._chunk(step, replaying, stored, first, last),
                Ticks(
                    step.clock[first:last], step.arrival[first:last], step.owner[first:last], step.published[first:last]
                ),
            )
        for found in replaying:
            found.stream.book = found.replay.book()

    def _step(self, rows: pa.Table, book: pa.Table) -> tuple[_Step, Int64s, list[str]]:
        numbers = self._scales.integers(
            rows.column("price"), rows.column("quantity"), f"level2 of {self._shard.product}"
        )
        messages = level2_messages(rows, *numbers)
        head = rows.select(["segment", "line", "connection_id", "ts_server", "ts_capture"]).take(
            pa.array(messages.first)
        )
        segments = sorted_segments(head, book)
        place, wanted = placed(head, segments), placed(book, segments)
        published = np.isin(place, wanted, assume_unique=True)
        if np.count_nonzero(published) != len(book):
            raise self._torn("rows of book are of messages that level2 does not have")
        connection = head.column("connection_id").combine_chunks()
        codes = [self.connections.setdefault(name, len(self.connections)) for name in connection.dictionary.to_pylist()]
        server, capture = times_ns(head, "ts_server"), times_ns(head, "ts_capture")
        event = np.maximum.reduceat(times_ns(rows, "ts_event"), messages.first)
        clock = np.maximum.accumulate(np.maximum(np.where(event == NULL, server, event), self._clock))
        self._clock = int(clock[-1])
        step = _Step(
            messages=messages,
            owner=np.array(codes, np.int64)[connection.indices.to_numpy()],
            published=published,
            clock=clock,
            arrival=np.where(capture == NULL, server, capture),
            book=book,
        )
        return step, place, segments

    def _replaying(self, step: _Step, owner: int, books: Sequence[tuple[int, NetDelta]]) -> _Replaying:
        stream = self._streams.setdefault(owner, _Stream())
        mine = np.flatnonzero(step.owner == owner)
        updates = step.messages.updates
        if len(mine) < len(step.owner):
            counts = np.diff(updates.offsets)
            rows = np.repeat(step.owner == owner, counts)
            offsets = np.r_[0, np.cumsum(counts[mine])]
            updates = Updates(offsets, updates.side[rows], updates.price[rows], updates.quantity[rows])
        at = np.searchsorted(mine, np.array([k for k, _ in books], np.int64))
        if books:
            updates = with_books(updates, at, [book for _, book in books])
        position = np.arange(len(mine)) + np.searchsorted(at, np.arange(len(mine)), "right")
        replay = Replay(
            stream.book,
            updates,
            replay_options(self._columns),
            price_scale=self._scales.price,
            quantity_scale=self._scales.quantity,
            ladder=stream.ladder,
        )
        return _Replaying(mine, position, replay, stream)

    def _chunk(self, step: _Step, replaying: Sequence[_Replaying], stored: pa.Table, first: int, last: int) -> pa.Table:
        """Return the rows of the messages from `first` to before `last`, which have the `stored` ones."""
        rank = np.cumsum(step.published[first:last]) - 1
        parts, ranks = [], []
        for one in replaying:
            begin, end = np.searchsorted(one.mine, (first, last))
            if begin == end:
                continue
            mine = one.mine[begin:end]
            own = rank[mine[step.published[mine]] - first]
            breaks = step.messages.is_snapshot[mine]
            rows = stored if len(own) == len(stored) else stored.take(pa.array(own))
            parts.append(self._columns_of(one, one.position[begin:end], step.published[mine], breaks, rows))
            ranks.append(own)
        order = np.argsort(np.concatenate(ranks)) if len(parts) > 1 else None
        columns = {name: stored.column(name) for name in self._kept}
        for name in parts[0]:
            column = pa.chunked_array([part[name] for part in parts])
            columns[name] = column if order is None else column.take(pa.array(order))
        rows = pa.table({name: columns[name] for name in self._names})
        self._check(rows, stored)
        return rows

    def _columns_of(
        self, one: _Replaying, position: Int64s, published: Bools, snapshots: Bools, stored: pa.Table
    ) -> dict[str, pa.Array]:
        """Return levels and features of the published messages of a connection, which are those at `position`."""
        begin, end = one.replay.position, int(position[-1]) + 1
        wanted = np.zeros(end - begin, np.bool_)
        wanted[-1] = True  # for the flow of the next one
        shown = position[published] - begin
        wanted[shown] = True
        wanted[shown[shown > 0] - 1] = True
        states = one.replay.states(begin, end, wanted)
        row = np.cumsum(wanted) - 1
        taken = pa.array(row[shown])
        columns = self._state_columns.levels(states)
        if self._columns.features:
            known = np.zeros(len(states), np.bool_)
            known[row[shown]] = pc.equal(stored.column("book_state").cast(pa.string()), STATES[0]).to_numpy()
            breaks = np.zeros(len(states), np.bool_)
            breaks[row[shown]] = snapshots[published]
            if self._shard.ofi_breaks:
                breaks[row[shown]] |= stored.column("ofi").is_null().to_numpy()
            previous = one.stream.previous
            columns |= self._state_columns.features(states, known, previous=previous, breaks=breaks)
        one.stream.previous = states.rows(len(states) - 1, len(states))
        if len(shown) == len(states):
            return columns
        return {name: column.take(taken) for name, column in columns.items()}

    def _check(self, rows: pa.Table, stored: pa.Table) -> None:
        """Raise StorageError if the best levels are not those that are stored: what is read does not fit then."""
        for name in _CHECKED:
            if not rows.column(name).equals(stored.column(name)):
                raise self._torn(f"{name} of book is not what book_checkpoints and level2 come to")

    def _torn(self, text: str) -> StorageError:
        product, number = self._shard.product, self._shard.number
        return StorageError(
            f"{storage.redact(self._source)}: the tables of {product} do not fit each other (shard {number}): {text}; "
            "run again with --overwrite"
        )


def _index_of(place: Place, segments: Sequence[str]) -> int:
    """Return a place with the segment by its index, -1 if that is not there."""
    return places.place(segments.index(place.segment), place.line) if place.segment in segments else -1
