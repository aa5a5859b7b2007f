"""Stage 2: metadata of all units becomes connections, line numbers and the shards of the final tables."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from etl_ray.coverage import places
from etl_ray.coverage.timeline import Timeline
from etl_ray.orchestrators.book_plans import Alive, BookUnit
from etl_ray.orchestrators.candle_build import CandleShard
from etl_ray.orchestrators.cuts import Cuts
from etl_ray.orchestrators.numbered import NumberedReader, Place, follow_messages
from etl_ray.orchestrators.receipts import Receipt
from etl_ray.orchestrators.results import Cut, key_of
from etl_ray.orchestrators.shards import PackedShard, Piece, Shard, Source, piece_id
from etl_ray.orchestrators.trade_shards import StagedTrades, cut_trades
from etl_ray.readers.segments import Unit
from etl_ray.scan import ConnectionTracker
from etl_ray.tables import CANDLES, MARKET_TRADES
from etl_ray.tables.partitions import partition_path

_MAX_ALIVE = 1024
_MAX_TRADES = 500_000
"""So many trades of a shard are held and sorted at once."""


@dataclass(frozen=True)
class Stitched:
    """The shards of a run, those of trades and candles apart, and what following its messages has shown.

    `segments` are identities in arrival order, `ids` those of connections, `end` is the place behind the last line.
    `book_units` are the units that change a book, by product.
    """

    shards: tuple[PackedShard, ...]
    trades: tuple[PackedShard, ...]
    candles: tuple[PackedShard, ...]
    timeline: Timeline
    ids: tuple[str, ...]
    segments: tuple[str, ...]
    end: int
    book_units: dict[str, list[BookUnit]]


@dataclass
class _Partition:
    """The pieces of a partition so far, in arrival order: source, row group and rows, all of 8 bytes."""

    sources: array[int] = field(default_factory=lambda: array("q"))
    groups: array[int] = field(default_factory=lambda: array("q"))
    rows: array[int] = field(default_factory=lambda: array("q"))

    def add(self, source: int, group: int, rows: int) -> None:
        """Append a piece."""
        self.sources.append(source)
        self.groups.append(group)
        self.rows.append(rows)


def stitch(
    units: Sequence[Unit],
    receipts: Iterable[Receipt],
    *,
    staging: str,
    partition_cols: dict[str, tuple[str, ...]],
    rows_per_file: int,
    cuts: Cuts,
) -> Stitched:
    """Put units, given in arrival order with their receipts, together; what was cut at `cuts` is cut there again."""
    tracker, timeline = ConnectionTracker(), Timeline()
    book_units: dict[str, list[BookUnit]] = {}
    segments: list[str] = []
    rejects = damages = 0
    end = places.place(0, 1)
    partitions: dict[tuple[str, tuple[str, ...]], _Partition] = {}
    staged_trades: dict[str, StagedTrades] = {}
    sources: list[Source] = []
    segment, line_offset = "", 0
    reader = NumberedReader(staging, units)
    for unit, receipt in zip(units, receipts, strict=True):
        if not segments or unit.segment.identity != segment:
            segment, line_offset = unit.segment.identity, 0
            segments.append(segment)
        ts_before = timeline.latest_ts
        timeline.begin_unit()
        place = Place(segment, len(segments) - 1, line_offset, rejects, damages)
        connections, assignment = follow_messages(
            reader, unit, receipt, tracker=tracker, timeline=timeline, place=place
        )
        # What has no number (-1) has no row, so it does not matter which connection its index stands for.
        ids = tuple(tracker.ids[code] if code >= 0 else "" for code in connections)
        if receipt.book:
            book_unit = BookUnit(
                name=unit.name,
                identity=segment,
                segment=place.segment,
                line_offset=line_offset,
                connections=connections,
                assignment=assignment,
                numbered=receipt.numbered.path,
                alive=tuple(Alive(*found) for found in timeline.alive(_MAX_ALIVE)),
                ts_before=ts_before,
                content=key_of(unit.name, str(line_offset), assignment or "", *ids),
            )
            for book in receipt.book.products:
                book_units.setdefault(sys.intern(book.product), []).append(book_unit)
        rejects += receipt.counts.rejects
        damages += receipt.damage is not None
        for file in receipt.files:
            sources.append(Source(file.path, segment, line_offset, ids, assignment))
            for index, group in enumerate(file.groups):
                if file.table == MARKET_TRADES.name:
                    product = sys.intern(group.partition[0])
                    staged_trades.setdefault(product, StagedTrades()).add(len(sources) - 1, index, group)
                    continue
                key = (sys.intern(file.table), group.partition)
                partitions.setdefault(key, _Partition()).add(len(sources) - 1, index, group.rows)
        line_offset += receipt.counts.lines
        if receipt.counts.lines:
            end = places.place(place.segment, line_offset + 1)
    shards, candles = _cut_all(partitions, sources, partition_cols, rows_per_file, cuts)
    trades = _cut_trades(staged_trades, sources, partition_cols, rows_per_file, cuts)
    return Stitched(
        shards=tuple(shards),
        trades=tuple(trades),
        candles=tuple(candles),
        timeline=timeline,
        ids=tuple(tracker.ids),
        segments=tuple(segments),
        end=end,
        book_units=book_units,
    )


def _cut_all(
    partitions: dict[tuple[str, tuple[str, ...]], _Partition],
    sources: Sequence[Source],
    partition_cols: dict[str, tuple[str, ...]],
    rows_per_file: int,
    cuts: Cuts,
) -> tuple[list[PackedShard], list[PackedShard]]:
    """Cut all partitions, which are used up; return the shards, and those of candles apart."""
    shards: list[PackedShard] = []
    candles: list[PackedShard] = []
    for table, values in sorted(partitions):
        found = partitions.pop((table, values))
        if table == CANDLES.name:
            number = 0 if "product_id" in partition_cols[table] else len(candles)
            (shard,) = _cut(table, ("product_id",), values, found, sources, None, Cuts())
            candles.append(PackedShard.of(CandleShard(number, shard), shard.rows, key_of(shard)))
        elif table == "instruments":
            # They are the changes between rows, so what finds them has to see all rows.
            (shard,) = _cut(table, partition_cols[table], values, found, sources, None, Cuts())
            shards.append(replace(PackedShard.of(shard, shard.rows, key_of(shard)), is_limited=True))
        else:
            for shard in _cut(table, partition_cols[table], values, found, sources, rows_per_file, cuts):
                key = key_of(replace(shard, number=0))
                cut = Cut(begin=shard.begin, end=shard.end)
                shards.append(PackedShard.of(shard, shard.rows, key, cut, shard.number))
    return shards, candles


def _cut_trades(
    staged: dict[str, StagedTrades],
    sources: Sequence[Source],
    partition_cols: dict[str, tuple[str, ...]],
    rows_per_file: int,
    cuts: Cuts,
) -> list[PackedShard]:
    trades: list[PackedShard] = []
    for product, found in sorted(staged.items()):
        shards = cut_trades(
            product,
            found,
            sources,
            rows_per_file=min(rows_per_file, _MAX_TRADES),
            number=0 if "product_id" in partition_cols[MARKET_TRADES.name] else len(trades),
            bounds=cuts.trades.get(product, ()),
        )
        for shard in shards:
            bounds = Cut(product, str(shard.first_id), str(shard.greatest_id + 1))
            trades.append(PackedShard.of(shard, shard.rows, key_of(shard.as_key()), bounds, shard.number))
    return trades


def _cut(
    table: str,
    columns: tuple[str, ...],
    values: tuple[str, ...],
    found: _Partition,
    sources: Sequence[Source],
    rows_per_file: int | None,
    cuts: Cuts,
) -> Iterator[Shard]:
    """Cut a partition where it was cut before, and where a file has its rows (None: nowhere).

    So it depends on the input and on what was there alone, not on who works.
    """
    directory = partition_path(table, columns, values)
    begin = number = rows = 0
    for end, count in enumerate(found.rows, 1):
        rows += count
        is_full = rows_per_file is not None and rows >= rows_per_file
        if end < len(found.rows) and not is_full and not cuts.between(*_ids(table, found, sources, end - 1, end)):
            continue
        used = tuple(dict.fromkeys(found.sources[begin:end]))
        index = {source: position for position, source in enumerate(used)}
        pairs = zip(found.sources[begin:end], found.groups[begin:end], strict=True)
        yield Shard(
            table=table,
            directory=directory,
            number=number,
            partition_cols=columns,
            partition=values,
            rows=rows,
            sources=tuple(sources[source] for source in used),
            pieces=tuple(Piece(index[source], group) for source, group in pairs),
        )
        begin, number, rows = end, number + 1, 0


def _ids(table: str, found: _Partition, sources: Sequence[Source], *pieces: int) -> tuple[str, ...]:
    return tuple(piece_id(table, sources[found.sources[piece]].path, found.groups[piece]) for piece in pieces)
