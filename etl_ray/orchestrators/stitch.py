"""Stage 2: metadata of all units becomes connections, line numbers and the shards of the final tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from etl_ray.coverage import places
from etl_ray.coverage.timeline import Timeline
from etl_ray.orchestrators.book_plans import Alive, BookUnit
from etl_ray.orchestrators.numbered import Place, follow_messages
from etl_ray.orchestrators.receipts import Receipt
from etl_ray.readers.segments import Unit
from etl_ray.scan import ConnectionTracker
from etl_ray.tables.partitions import partition_path

_ALIVE_NS = 60_000_000_000


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
class Stitched:
    """The shards of a run, and what following its messages has shown.

    `segments` are identities in arrival order, `ids` those of connections, `end` is the place behind the last line.
    `book_units` are the units that change a book, by product.
    """

    shards: tuple[Shard, ...]
    timeline: Timeline
    ids: tuple[str, ...]
    segments: tuple[str, ...]
    end: int
    book_units: dict[str, list[BookUnit]]


@dataclass
class _Partition:
    """The pieces of a partition so far, in arrival order."""

    pieces: list[tuple[Source, int, int]]


def stitch(
    units: Sequence[Unit],
    receipts: Sequence[Receipt],
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
    segment, line_offset = "", 0
    for unit, receipt in zip(units, receipts, strict=True):
        if not segments or unit.segment.identity != segment:
            segment, line_offset = unit.segment.identity, 0
            segments.append(segment)
        alive = _alive(timeline)
        place = Place(segment, len(segments) - 1, line_offset, rejects, damages)
        connections, assignment = follow_messages(
            staging, unit, receipt, tracker=tracker, timeline=timeline, place=place
        )
        codes = {name: code for code, name in enumerate(tracker.ids)}
        for book in receipt.book.products if receipt.book else ():
            book_units.setdefault(book.product, []).append(
                BookUnit(
                    name=unit.name,
                    identity=segment,
                    segment=place.segment,
                    line_offset=line_offset,
                    connections=tuple(codes[name] if name else -1 for name in connections),
                    assignment=assignment,
                    numbered=receipt.numbered.path,
                    alive=alive,
                )
            )
        rejects += receipt.counts.rejects
        damages += receipt.damage is not None
        for file in receipt.files:
            source = Source(file.path, segment, line_offset, connections, assignment)
            for index, group in enumerate(file.groups):
                found = partitions.setdefault((file.table, group.partition), _Partition([]))
                found.pieces.append((source, index, group.rows))
        line_offset += receipt.counts.lines
        if receipt.counts.lines:
            end = places.place(place.segment, line_offset + 1)
    shards = [
        shard
        for (table, values), found in sorted(partitions.items())
        for shard in _cut(table, partition_cols[table], values, found=found, rows_per_file=rows_per_file)
    ]
    return Stitched(tuple(shards), timeline, tuple(tracker.ids), tuple(segments), end, book_units)


def _alive(timeline: Timeline) -> tuple[Alive, ...]:
    """Return the connections that may still be alive behind what was followed so far."""
    ends = timeline.ends()
    latest = max((end.last.ts for end in ends), default=0)
    return tuple(
        Alive(connection, end.last.place, end.last.ts)
        for connection, end in enumerate(ends)
        if latest - end.last.ts <= _ALIVE_NS
    )


def _cut(
    table: str, columns: tuple[str, ...], values: tuple[str, ...], *, found: _Partition, rows_per_file: int
) -> list[Shard]:
    """Cut a partition where a file has its rows: a function of the input alone, not of who works on it."""
    # Instruments are the changes between rows, so what finds them has to see all rows.
    limit = rows_per_file if table != "instruments" else None
    groups: list[list[tuple[Source, int, int]]] = [[]]
    rows = 0
    for piece in found.pieces:
        if limit is not None and rows >= limit:
            groups.append([])
            rows = 0
        groups[-1].append(piece)
        rows += piece[2]
    directory = partition_path(table, columns, values)
    shards = []
    for number, group in enumerate(groups):
        sources = tuple(dict.fromkeys(source for source, _, _ in group))
        index = {source: position for position, source in enumerate(sources)}
        shards.append(
            Shard(
                table=table,
                path=f"{directory}/part-{number:05d}.parquet",
                partition_cols=columns,
                partition=values,
                rows=sum(count for _, _, count in group),
                sources=sources,
                pieces=tuple(Piece(index[source], position) for source, position, _ in group),
            )
        )
    return shards
