"""Stage 3 of the books: a shard becomes files of `book` and `book_checkpoints`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from etl_ray.coverage import places
from etl_ray.orchestrators.book_plans import BookShard
from etl_ray.orchestrators.book_rows import BookRows
from etl_ray.orchestrators.dated_files import DatedFiles
from etl_ray.orchestrators.intervals import Intervals, Ticks
from etl_ray.orchestrators.receipts import BuiltFile
from etl_ray.orchestrators.replay import CHUNK_MESSAGES, Chunk, ShardReplay, Stream, start_streams
from etl_ray.tables import Numbers
from etl_ray.tables.book import BookColumns, rows_at_once
from etl_ray.tables.book_checkpoints import BOOK_CHECKPOINTS
from etl_ray.venues.rows import NULL, Bools


@dataclass(frozen=True)
class BookBuildOptions:
    """How shards of books are built; `interval_ns` 0 means a row after each message. Rows are limited to the range."""

    staging: str
    output: str
    numbers: Numbers
    rows_per_group: int
    columns: BookColumns
    interval_ns: int
    skip_empty: bool
    trust_beat: bool
    start_ns: int | None
    end_ns: int | None


@dataclass(frozen=True)
class CrossedSpan:
    """Where the published book was crossed, as places and ts_server (ns): up to the next message of the product."""

    place: int
    ts: int
    end_place: int
    end_ts: int


@dataclass(frozen=True)
class BuiltBook:
    """The files of a shard, and where its book was crossed; -1 as the end: still so at the end of the shard.

    `first` and `first_ts` are the place and ts_server of its first published message. `segments` has the identities of
    those that these places are in, by number.
    """

    product: str
    number: int
    files: tuple[BuiltFile, ...]
    crossed: tuple[CrossedSpan, ...]
    first: int
    first_ts: int
    segments: tuple[tuple[int, str], ...] = ()

    def at(self, numbers: Mapping[str, int]) -> BuiltBook:
        """Return the same with its places in segments that have other numbers now."""
        new = {before: numbers[identity] for before, identity in self.segments}
        if all(before == now for before, now in new.items()):
            return self

        def moved(place: int) -> int:
            segment, line = places.segment_and_line(place)
            return places.place(new[segment], line) if place >= 0 else place

        return replace(
            self,
            crossed=tuple(
                replace(span, place=moved(span.place), end_place=moved(span.end_place)) for span in self.crossed
            ),
            first=moved(self.first),
            segments=tuple((new[before], identity) for before, identity in self.segments),
        )


@dataclass
class WarmBooks:
    """The books behind the last shard that a worker has replayed: the start of the next one, if that is next.

    Only a cache: without it start books are read.
    """

    product: str = ""
    number: int = -1
    output: str = ""
    streams: dict[int, Stream] = field(default_factory=dict)

    def streams_of(self, shard: BookShard, options: BookBuildOptions) -> dict[int, Stream]:
        """Return the streams in front of a shard; each run has its own output."""
        if (self.product, self.number + 1, self.output) != (shard.product, shard.number, options.output):
            return start_streams(shard, options.staging)
        carriers = {carrier.connection: carrier for carrier in shard.carriers}
        streams = {}
        for start in shard.starts:
            stream = self.streams[start.connection]
            stream.states = carriers[start.connection].states
            streams[start.connection] = stream
        return streams

    def keep(self, shard: BookShard, options: BookBuildOptions, streams: dict[int, Stream]) -> None:
        """Remember the books behind a shard."""
        self.product, self.number, self.output = shard.product, shard.number, options.output
        self.streams = {connection: replace(stream) for connection, stream in streams.items()}


def build_book(shard: BookShard, options: BookBuildOptions, warm: WarmBooks) -> BuiltBook:
    """Replay a shard and write its files."""
    rows = BookRows(
        options.columns,
        options.numbers,
        product=shard.product,
        price_scale=shard.price_scale,
        quantity_scale=shard.quantity_scale,
        segments={unit.segment: unit.identity for unit in shard.units},
    )
    replay = ShardReplay(
        shard,
        warm.streams_of(shard, options),
        rows.replay_options,
        staging=options.staging,
        trust_beat=options.trust_beat,
        range_ns=(options.start_ns, options.end_ns),
        chunk_messages=rows_at_once(CHUNK_MESSAGES, options.columns),
    )
    crossed = _Crossed()
    with (
        _files("book", shard, options, rows.table.schema(options.numbers)) as books,
        _files("book_checkpoints", shard, options, BOOK_CHECKPOINTS.schema(options.numbers)) as checkpoints,
    ):
        for table in _tables(shard, replay, rows, options, checkpoints, crossed, warm):
            books.write(table)
        files = (*books.finish(), *checkpoints.finish())
    segments = tuple(sorted({unit.segment: unit.identity for unit in shard.units}.items()))
    return BuiltBook(
        shard.product, shard.number, files, tuple(crossed.found), crossed.first, crossed.first_ts, segments
    )


def _files(table: str, shard: BookShard, options: BookBuildOptions, schema: pa.Schema) -> DatedFiles:
    return DatedFiles(
        table,
        shard.product,
        shard.number,
        output=options.output,
        rows_per_group=options.rows_per_group,
        schema=schema,
    )


def _tables(
    shard: BookShard,
    replay: ShardReplay,
    rows: BookRows,
    options: BookBuildOptions,
    checkpoints: DatedFiles,
    crossed: _Crossed,
    warm: WarmBooks,
) -> Iterator[pa.Table]:
    """Yield the rows of a shard; each table is of one date, or of intervals."""
    intervals = _intervals(shard, options)
    for chunk in replay.chunks(shard.stretches):
        for checkpoint in chunk.checkpoints:
            checkpoints.write(_in_range(rows.checkpoint(checkpoint, chunk.messages), options))
        table = _published(rows, chunk, crossed)
        if intervals is None:
            yield _in_range(table, options)
        else:
            for found in intervals.add(table, _ticks(chunk)):
                yield _in_range(found.select(rows.table.names), options)
    warm.keep(shard, options, replay.streams)
    if intervals is None:
        return
    following = replay.chunks(shard.ahead)
    while intervals.owes and (ahead := next(following, None)) is not None:
        for found in intervals.add(_published(rows, ahead, None), _ticks(ahead), ahead=True):
            yield _in_range(found.select(rows.table.names), options)


def _intervals(shard: BookShard, options: BookBuildOptions) -> Intervals | None:
    if not options.interval_ns:
        return None
    flows = ("ofi", *(f"ofi_level_{level}" for level in range(options.columns.ofi_levels)))
    return Intervals(
        options.interval_ns,
        begun=None if shard.clock is None else shard.clock // options.interval_ns,
        skip_empty=options.skip_empty,
        silent={carrier.connection: carrier.silences for carrier in shard.carriers if carrier.silences},
        flows=flows if options.columns.features else (),
    )


def _ticks(chunk: Chunk) -> Ticks:
    messages = chunk.messages
    arrival = np.where(messages.ts_capture == NULL, messages.ts_server, messages.ts_capture)
    return Ticks(messages.clock, arrival, messages.owner, messages.published)


def _published(rows: BookRows, chunk: Chunk, crossed: _Crossed | None) -> pa.Table:
    table = pa.table(rows.rows(chunk))
    if crossed is not None:
        crossed.follow(chunk, table.column("crossed").to_numpy())
    if bool(chunk.messages.published.all()):
        return table
    return table.filter(pa.array(chunk.messages.published))


def _in_range(table: pa.Table, options: BookBuildOptions) -> pa.Table:
    if options.start_ns is None and options.end_ns is None:
        return table
    ts = table.column("ts_server").cast(pa.int64()).to_numpy()
    kept = np.ones(len(ts), np.bool_)
    if options.start_ns is not None:
        kept &= ts >= options.start_ns
    if options.end_ns is not None:
        kept &= ts < options.end_ns
    return table.filter(pa.array(kept))


@dataclass
class _Crossed:
    """Where the published book is crossed, found message by message."""

    found: list[CrossedSpan] = field(default_factory=list)
    first: int = -1
    first_ts: int = -1

    def follow(self, chunk: Chunk, crossed: Bools) -> None:
        messages = chunk.messages
        places, times = messages.place[messages.published], messages.ts_server[messages.published]
        crossed = crossed[messages.published]
        if not len(places):
            return
        if self.first < 0:
            self.first, self.first_ts = int(places[0]), int(times[0])
        if self.found and self.found[-1].end_place < 0:
            span = self.found[-1]
            self.found[-1] = CrossedSpan(span.place, span.ts, int(places[0]), int(times[0]))
        for k in np.flatnonzero(crossed).tolist():
            end = (int(places[k + 1]), int(times[k + 1])) if k + 1 < len(places) else (-1, -1)
            span = CrossedSpan(int(places[k]), int(times[k]), *end)
            if self.found and self.found[-1].end_place == span.place:
                self.found[-1] = CrossedSpan(self.found[-1].place, self.found[-1].ts, *end)
            else:
                self.found.append(span)
