"""Stage 2: metadata of all units becomes connections, line numbers and the shards of the final tables."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from etl_ray.coverage import places
from etl_ray.coverage.timeline import Timeline
from etl_ray.orchestrators.book_plans import Alive, BookUnit
from etl_ray.orchestrators.messages import pack
from etl_ray.orchestrators.numbered import Place, follow_messages
from etl_ray.orchestrators.receipts import Receipt
from etl_ray.readers.segments import Unit
from etl_ray.scan import ConnectionTracker
from etl_ray.tables.partitions import partition_path

_MAX_ALIVE = 1024


@dataclass(frozen=True)
class Source:
    """A staged file: its unit's segment, the number of lines before the unit, and the connections of the unit.

    `assignment` is where, below the staging directory, the index of each message's connection stands as int32; without
    it all messages are of the one connection.
    """

    path: str
    segment: str
    line_offset: int
    connections: tuple[str, ...]
    assignment: str | None


@dataclass(frozen=True)
class Piece:
    """A row group of a source, both by index."""

    source: int
    group: int


@dataclass(frozen=True)
class Shard:
    """One final file: the rows of `pieces`, in this order, go to `path` below OUTPUT."""

    table: str
    path: str
    partition_cols: tuple[str, ...]
    partition: tuple[str, ...]
    rows: int
    sources: tuple[Source, ...]
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class PackedShard:
    """A Shard, packed, and its rows."""

    packed: bytes
    rows: int


@dataclass(frozen=True)
class Stitched:
    """The shards of a run, and what following its messages has shown.

    `segments` are identities in arrival order, `ids` those of connections, `end` is the place behind the last line.
    `book_units` are the units that change a book, by product.
    """

    shards: tuple[PackedShard, ...]
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
) -> Stitched:
    """Put units, given in arrival order with their receipts, together."""
    tracker, timeline = ConnectionTracker(), Timeline()
    book_units: dict[str, list[BookUnit]] = {}
    segments: list[str] = []
    rejects = damages = 0
    end = places.place(0, 1)
    partitions: dict[tuple[str, tuple[str, ...]], _Partition] = {}
    sources: list[Source] = []
    segment, line_offset = "", 0
    for unit, receipt in zip(units, receipts, strict=True):
        if not segments or unit.segment.identity != segment:
            segment, line_offset = unit.segment.identity, 0
            segments.append(segment)
        ts_before = timeline.latest_ts
        timeline.begin_unit()
        place = Place(segment, len(segments) - 1, line_offset, rejects, damages)
        connections, assignment = follow_messages(
            staging, unit, receipt, tracker=tracker, timeline=timeline, place=place
        )
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
            )
            for book in receipt.book.products:
                book_units.setdefault(sys.intern(book.product), []).append(book_unit)
        rejects += receipt.counts.rejects
        damages += receipt.damage is not None
        # What has no number (-1) has no row, so it does not matter which connection its index stands for.
        ids = tuple(tracker.ids[code] if code >= 0 else "" for code in connections)
        for file in receipt.files:
            sources.append(Source(file.path, segment, line_offset, ids, assignment))
            for index, group in enumerate(file.groups):
                key = (sys.intern(file.table), group.partition)
                partitions.setdefault(key, _Partition()).add(len(sources) - 1, index, group.rows)
        line_offset += receipt.counts.lines
        if receipt.counts.lines:
            end = places.place(place.segment, line_offset + 1)
    shards = []
    for table, values in sorted(partitions):
        found = partitions.pop((table, values))
        for shard in _cut(table, partition_cols[table], values, found, sources, rows_per_file):
            shards.append(PackedShard(pack(shard), shard.rows))
    return Stitched(tuple(shards), timeline, tuple(tracker.ids), tuple(segments), end, book_units)


def _cut(
    table: str,
    columns: tuple[str, ...],
    values: tuple[str, ...],
    found: _Partition,
    sources: Sequence[Source],
    rows_per_file: int,
) -> Iterator[Shard]:
    """Cut a partition where a file has its rows: a function of the input alone, not of who works on it."""
    # Instruments are the changes between rows, so what finds them has to see all rows.
    limit = rows_per_file if table != "instruments" else None
    directory = partition_path(table, columns, values)
    begin = number = rows = 0
    for end, count in enumerate(found.rows, 1):
        rows += count
        if end < len(found.rows) and (limit is None or rows < limit):
            continue
        used = tuple(dict.fromkeys(found.sources[begin:end]))
        index = {source: position for position, source in enumerate(used)}
        pairs = zip(found.sources[begin:end], found.groups[begin:end], strict=True)
        yield Shard(
            table=table,
            path=f"{directory}/part-{number:05d}.parquet",
            partition_cols=columns,
            partition=values,
            rows=rows,
            sources=tuple(sources[source] for source in used),
            pieces=tuple(Piece(index[source], group) for source, group in pairs),
        )
        begin, number, rows = end, number + 1, 0
