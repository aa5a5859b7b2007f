"""Stage 3 of the books: a shard is replayed from its start books, in chunks of messages that become rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from etl_ray import storage
from etl_ray.book import Ladder, NetDelta, Replay, ReplayOptions, States, Updates
from etl_ray.coverage import places
from etl_ray.coverage.states import BookStates
from etl_ray.orchestrators.book_plans import BookShard, Stretch
from etl_ray.orchestrators.compose import connections_of, read_changes, read_operations
from etl_ray.orchestrators.composition import read_book
from etl_ray.orchestrators.publication import Publication
from etl_ray.orchestrators.staged_books import MESSAGES
from etl_ray.venues.rows import NS_PER_DAY, NULL, Bools, Int8s, Int64s

CHUNK_MESSAGES = 32_768
_OPERATIONS_AT_ONCE = 400_000
_NOTHING = Updates(np.zeros(2, np.int64), np.empty(0, np.int8), np.empty(0, np.int64), np.empty(0, np.int64))
"""A message that changes nothing: the state behind it is that of the start."""


@dataclass
class Stream:
    """The book of a connection as it is replayed: `last` is the place of its latest message, `state` its last state.

    `clock` is the greatest coalesce(ts_event, ts_server) so far; `is_new`: there was no message of the product yet.
    """

    connection: int
    id: str
    states: BookStates
    book: NetDelta
    clock: int = NULL
    last: int = -1
    part: int = NULL
    previous: States | None = None
    ladder: Ladder = field(default_factory=Ladder)


@dataclass(frozen=True)
class BookMessages:
    """Messages of a product in arrival order, as columns of equal length; times are ns, NULL where there is none.

    `place` is of the line, `owner` the connection's number, `clock` the product's latest time over all connections.
    """

    place: Int64s
    owner: Int64s
    sequence_num: Int64s
    ts_event: Int64s
    ts_server: Int64s
    ts_capture: Int64s
    n_updates: np.ndarray
    is_snapshot: Bools
    clock: Int64s
    published: Bools

    def __len__(self) -> int:
        return len(self.place)

    def take(self, index: np.ndarray | slice) -> BookMessages:
        """Return some of the messages."""
        return BookMessages(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Frame:
    """The states of a connection's book behind some of its messages, which are those at `index` of the chunk.

    `previous` is the state in front of them, None if there was none; `breaks` tells where a state does not follow
    from the one before; `state` is the book's (see coverage.states), `ts_align` the connection's clock.
    """

    stream: Stream
    index: np.ndarray
    states: States
    previous: States | None
    breaks: Bools
    state: Int8s
    ts_align: Int64s


@dataclass(frozen=True)
class Checkpoint:
    """The full book of a connection in front of message `index` of a chunk, with its state and clock there."""

    connection_id: str
    book: NetDelta
    index: int
    state: int
    clock: int


@dataclass(frozen=True)
class Chunk:
    """Messages of one day with the states behind them, and the books at the beginning of the shard and of the day.

    They are all in the range that is written, or none is; there are books at its beginning, too.
    """

    messages: BookMessages
    frames: tuple[Frame, ...]
    checkpoints: tuple[Checkpoint, ...]


class ShardReplay:
    """Replays the stretches of a shard from its streams by connection.

    Of the messages those from start to before end of `range_ns` are written; a chunk has up to `chunk_messages`.
    """

    def __init__(
        self,
        shard: BookShard,
        streams: dict[int, Stream],
        options: ReplayOptions,
        *,
        staging: str,
        trust_beat: bool,
        range_ns: tuple[int | None, int | None] = (None, None),
        chunk_messages: int = CHUNK_MESSAGES,
    ) -> None:
        self._shard = shard
        self.streams = streams
        self._options = options
        self._staging = staging
        self._publication = Publication(shard.carriers, shard.brought, staging, trust_beat)
        self._trust_beat = trust_beat
        self._start_ns, self._end_ns = range_ns
        self._chunk_messages = chunk_messages
        self._clock = NULL if shard.clock is None else shard.clock
        self._fresh = set(streams)

    def chunks(self, stretches: tuple[Stretch, ...]) -> Iterator[Chunk]:
        """Yield the next stretches in chunks."""
        waiting: list[Stretch] = []
        for stretch in stretches:
            waiting.append(stretch)
            if sum(item.staged.operations for item in waiting) >= _OPERATIONS_AT_ONCE:
                yield from self._replay(waiting)
                waiting = []
        if waiting:
            yield from self._replay(waiting)

    def _replay(self, stretches: list[Stretch]) -> Iterator[Chunk]:
        tables, operations = [], []
        for messages, counts, rows in storage.map_ahead(self._staging, self._read, stretches):
            tables.append((messages, counts))
            operations.append(rows)
        messages = _concatenated([item for item, _ in tables])
        counts = np.concatenate([item for _, item in tables])
        side = np.concatenate([rows[0] for rows in operations])
        price, quantity = (np.concatenate([rows[k] for rows in operations]) for k in (1, 2))
        messages = self._with_clock(messages)
        replays: dict[int, tuple[np.ndarray, Replay]] = {}
        by_row = np.repeat(messages.owner, counts)
        for connection in np.unique(messages.owner).tolist():
            mine = np.flatnonzero(messages.owner == connection)
            rows = by_row == connection
            chosen = (side, price, quantity) if bool(rows.all()) else (side[rows], price[rows], quantity[rows])
            updates = Updates(np.r_[0, np.cumsum(counts[mine], dtype=np.int64)], *chosen)
            stream = self._stream(connection)
            if stream.previous is None and stream.last >= 0:
                stream.previous = self._begin(stream.book, _NOTHING, None).states(0, 1)
            replays[connection] = mine, self._begin(stream.book, updates, stream.ladder)
        for first, last in _bounds(self._parts(messages.ts_server), self._chunk_messages):
            yield self._chunk(messages.take(slice(first, last)), first, last, replays)
        for connection, (_, replay) in replays.items():
            self.streams[connection].book = replay.book()

    def _begin(self, book: NetDelta, updates: Updates, ladder: Ladder | None) -> Replay:
        shard = self._shard
        return Replay(
            book,
            updates,
            self._options,
            price_scale=shard.price_scale,
            quantity_scale=shard.quantity_scale,
            ladder=ladder,
        )

    def _chunk(
        self, messages: BookMessages, first: int, last: int, replays: dict[int, tuple[np.ndarray, Replay]]
    ) -> Chunk:
        frames, checkpoints = [], []
        part = int(self._parts(messages.ts_server[:1])[0])
        for connection, (mine, replay) in replays.items():
            begin, end = np.searchsorted(mine, (first, last))
            if begin == end:
                continue
            stream = self.streams[connection]
            index = mine[begin:end] - first
            if stream.last >= 0 and (stream.part != part or connection in self._fresh):
                checkpoints.append(self._checkpoint(stream, replay.book(), int(index[0])))
            self._fresh.discard(connection)
            stream.part = part
            states = replay.states(int(begin), int(end))
            frames.append(self._frame(stream, messages, index, states))
        return Chunk(messages, tuple(frames), tuple(sorted(checkpoints, key=lambda found: found.index)))

    def _checkpoint(self, stream: Stream, book: NetDelta, index: int) -> Checkpoint:
        state = stream.states.at(np.array([stream.last]), trust_beat=self._trust_beat)
        return Checkpoint(stream.id, book, index, int(state[0]), stream.clock)

    def _frame(self, stream: Stream, messages: BookMessages, index: np.ndarray, states: States) -> Frame:
        place = messages.place[index]
        before = np.r_[stream.last, place[:-1]]
        state = stream.states.at(place, trust_beat=self._trust_beat)
        clocks = np.where(messages.ts_event[index] == NULL, messages.ts_server[index], messages.ts_event[index])
        align = np.maximum.accumulate(np.maximum(clocks, stream.clock))
        frame = Frame(
            stream=stream,
            index=index,
            states=states,
            previous=stream.previous,
            breaks=messages.is_snapshot[index] | stream.states.breaks(before, place),
            state=state,
            ts_align=align,
        )
        stream.previous = states.rows(len(states) - 1, len(states))
        stream.clock, stream.last = int(align[-1]), int(place[-1])
        return frame

    def _parts(self, ts_server: Int64s) -> Int64s:
        """Return a number for each message: of its day, and of whether its rows are written."""
        written = np.ones(len(ts_server), np.bool_)
        if self._start_ns is not None:
            written &= ts_server >= self._start_ns
        if self._end_ns is not None:
            written &= ts_server < self._end_ns
        parts: Int64s = 2 * (ts_server // NS_PER_DAY) + written
        return parts

    def _stream(self, connection: int) -> Stream:
        if connection not in self.streams:
            carrier = next(item for item in self._shard.carriers if item.connection == connection)
            self.streams[connection] = Stream(connection, carrier.id, carrier.states, NetDelta.empty_book())
        return self.streams[connection]

    def _with_clock(self, messages: BookMessages) -> BookMessages:
        clocks = np.where(messages.ts_event == NULL, messages.ts_server, messages.ts_event)
        clock = np.maximum.accumulate(np.maximum(clocks, self._clock))
        self._clock = int(clock[-1])
        columns = {name: getattr(messages, name) for name in messages.__dataclass_fields__}
        return BookMessages(**{**columns, "clock": clock})

    def _read(self, stretch: Stretch) -> tuple[BookMessages, Int64s, tuple[np.ndarray, Int64s, Int64s]]:
        unit = self._shard.units[stretch.unit]
        table = read_changes(self._staging, unit, stretch.staged)
        columns = {name: table.column(name).to_numpy() for name in MESSAGES.names}
        owner = connections_of(unit, columns["message_index"], self._staging)
        place = columns["line"] + places.place(unit.segment, unit.line_offset)
        scales = self._shard.price_scale, self._shard.quantity_scale
        messages = BookMessages(
            place=place,
            owner=owner,
            sequence_num=columns["sequence_num"],
            ts_event=columns["ts_event"],
            ts_server=columns["ts_server"],
            ts_capture=columns["ts_capture"],
            n_updates=columns["n_updates"],
            is_snapshot=columns["is_snapshot"],
            clock=columns["ts_server"],
            published=self._publication.of(unit, owner=owner, place=place, ts=columns["ts_server"]),
        )
        operations = read_operations(self._staging, unit, stretch.staged, *scales)
        return messages, columns["operations"].astype(np.int64), operations


def start_streams(shard: BookShard, staging: str) -> dict[int, Stream]:
    """Read the start books of a shard."""
    streams = {}
    carriers = {carrier.connection: carrier for carrier in shard.carriers}
    for start in shard.starts:
        book = read_book(staging, shard.starts_path, start.batch)
        carrier = carriers[start.connection]
        streams[start.connection] = Stream(
            start.connection, carrier.id, carrier.states, book, clock=start.clock, last=start.last
        )
    return streams


def _bounds(parts: Int64s, messages: int) -> Iterator[tuple[int, int]]:
    """Yield where chunks begin and end: at a number of messages, and where one part ends."""
    cuts = np.flatnonzero(parts[1:] != parts[:-1]) + 1
    bounds = [0, *cuts.tolist(), len(parts)]
    for first, last in pairwise(bounds):
        for begin in range(first, last, messages):
            yield begin, min(begin + messages, last)


def _concatenated(parts: list[BookMessages]) -> BookMessages:
    if len(parts) == 1:
        return parts[0]
    names = BookMessages.__dataclass_fields__
    return BookMessages(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
