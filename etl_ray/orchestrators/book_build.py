"""Stage 3 of the books: a shard becomes files of `book` and `book_checkpoints`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from etl_ray import storage
from etl_ray.orchestrators.book_plans import BookShard
from etl_ray.orchestrators.book_rows import BookRows
from etl_ray.orchestrators.intervals import Intervals, Ticks
from etl_ray.orchestrators.receipts import BuiltFile
from etl_ray.orchestrators.replay import CHUNK_MESSAGES, Chunk, ShardReplay, Stream, start_streams
from etl_ray.tables import Numbers
from etl_ray.tables.book import BookColumns, rows_at_once
from etl_ray.tables.book_checkpoints import BOOK_CHECKPOINTS
from etl_ray.tables.partitions import partition_path
from etl_ray.venues.rows import NULL, Bools
from etl_ray.writers.encodings import writer_options


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

    `first` and `first_ts` are the place and ts_server of its first published message.
    """

    product: str
    number: int
    files: tuple[BuiltFile, ...]
    crossed: tuple[CrossedSpan, ...]
    first: int
    first_ts: int


@dataclass
class WarmBooks:
    """The books behind the last shard that a worker has replayed: the start of the next one, if that is next.

    Only a cache: without it start books are read.
    """

    product: str = ""
    number: int = -1
    staging: str = ""
    streams: dict[int, Stream] = field(default_factory=dict)

    def streams_of(self, shard: BookShard, staging: str) -> dict[int, Stream]:
        """Return the streams in front of a shard."""
        if (self.product, self.number + 1, self.staging) != (shard.product, shard.number, staging):
            return start_streams(shard, staging)
        carriers = {carrier.connection: carrier for carrier in shard.carriers}
        streams = {}
        for start in shard.starts:
            stream = self.streams[start.connection]
            stream.states = carriers[start.connection].states
            streams[start.connection] = stream
        return streams

    def keep(self, shard: BookShard, staging: str, streams: dict[int, Stream]) -> None:
        """Remember the books behind a shard."""
        self.product, self.number, self.staging = shard.product, shard.number, staging
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
        warm.streams_of(shard, options.staging),
        rows.replay_options,
        staging=options.staging,
        trust_beat=options.trust_beat,
        range_ns=(options.start_ns, options.end_ns),
        chunk_messages=rows_at_once(CHUNK_MESSAGES, options.columns),
    )
    crossed = _Crossed()
    with (
        _Files("book", shard, options, rows.table.schema(options.numbers)) as books,
        _Files("book_checkpoints", shard, options, BOOK_CHECKPOINTS.schema(options.numbers)) as checkpoints,
    ):
        for table in _tables(shard, replay, rows, options, checkpoints, crossed, warm):
            books.write(table)
        files = (*books.finish(), *checkpoints.finish())
    return BuiltBook(shard.product, shard.number, files, tuple(crossed.found), crossed.first, crossed.first_ts)


def _tables(
    shard: BookShard,
    replay: ShardReplay,
    rows: BookRows,
    options: BookBuildOptions,
    checkpoints: _Files,
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
    warm.keep(shard, options.staging, replay.streams)
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


class _Files:
    """The files of a table of one shard: one for each date, of which the rows come in arrival order."""

    def __init__(self, table: str, shard: BookShard, options: BookBuildOptions, schema: pa.Schema) -> None:
        self._table, self._shard, self._options, self._schema = table, shard, options, schema
        self._stack = ExitStack()
        self._open: dict[str, tuple[str, pq.ParquetWriter]] = {}
        self._waiting: dict[str, list[pa.Table]] = {}
        self._rows: dict[str, int] = {}

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]

    def write(self, rows: pa.Table) -> None:
        """Add rows; their dates tell in which file."""
        if not len(rows):
            return
        dates = rows.column("date").cast(pa.string())
        found = pc.unique(dates).to_pylist()
        for date in found:
            part = rows if len(found) == 1 else rows.filter(pc.equal(dates, date))
            waiting = self._waiting.setdefault(date, [])
            waiting.append(part.select(self._schema.names).cast(self._schema))
            self._rows[date] = self._rows.get(date, 0) + len(part)
            if sum(len(item) for item in waiting) >= self._options.rows_per_group:
                self._flush(date, whole=False)

    def finish(self) -> tuple[BuiltFile, ...]:
        """Write what waits, close the files and describe them."""
        for date in self._waiting:
            self._flush(date, whole=True)
        self._stack.close()
        found = []
        for date, (path, _) in sorted(self._open.items()):
            size = storage.file_info(storage.join(self._options.output, path)).size
            found.append(BuiltFile(self._table, path, self._rows[date], size))
        return tuple(found)

    def _flush(self, date: str, *, whole: bool) -> None:
        if not self._waiting[date]:
            return
        rows = pa.concat_tables(self._waiting[date])
        size = self._options.rows_per_group
        ready = len(rows) if whole else len(rows) - len(rows) % size
        for begin in range(0, ready, size):
            group = rows.slice(begin, min(size, ready - begin)).unify_dictionaries()
            self._writer(date).write_table(group, row_group_size=len(group))
        self._waiting[date] = [rows.slice(ready)] if ready < len(rows) else []

    def _writer(self, date: str) -> pq.ParquetWriter:
        if date not in self._open:
            directory = partition_path(self._table, ("product_id", "date"), (self._shard.product, date))
            path = f"{directory}/part-{self._shard.number:05d}.parquet"
            file = self._stack.enter_context(storage.open_write(storage.join(self._options.output, path)))
            writer = self._stack.enter_context(pq.ParquetWriter(file, self._schema, **writer_options(self._schema)))
            self._open[date] = (path, writer)
        return self._open[date][1]
