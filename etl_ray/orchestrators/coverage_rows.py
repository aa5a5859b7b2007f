"""What the recording holds as rows of `coverage` and `connections`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from etl_ray.coverage import places
from etl_ray.coverage.places import Edge, segment_and_line
from etl_ray.coverage.tiles import Stream, Tile, split_at_midnights, tiles, with_suspect
from etl_ray.coverage.timeline import SILENCE_NS, UNKNOWN_TS, ConnectionEnd, ConnectionRecord
from etl_ray.orchestrators.book_build import BuiltBook
from etl_ray.orchestrators.final_files import write_final
from etl_ray.orchestrators.receipts import BuiltFile
from etl_ray.orchestrators.stitch import Stitched
from etl_ray.orchestrators.trade_build import KeptTrade
from etl_ray.tables import MARKET_TRADES
from etl_ray.tables.connections import CONNECTIONS, HOLE_CLASSES
from etl_ray.tables.coverage import COVERAGE
from etl_ray.tables.dates import date_of
from etl_ray.tables.partitions import partition_path
from etl_ray.venues.shapes import Venue

_BEHIND_ALL = 2**62

_Suspects = Mapping[tuple[str, str], tuple[str, list[tuple[Edge, Edge]]]]
"""Stretches that are suspect for a cause beside those of connections, by table and product."""


@dataclass(frozen=True)
class Covered:
    """What coverage is asked for: wire channels, products (empty: all), and whether beats are trusted."""

    channels: tuple[str, ...]
    products: tuple[str, ...]
    trust_beat: bool


def connection_rows(stitched: Stitched, venue: Venue) -> pa.Table:
    """Return the rows of `connections`."""
    channels = (*venue.channels, *venue.private_channels)
    ends = stitched.timeline.ends()
    rows = [
        _connection(record, ends[index], stitched.segments, channels)
        for index, record in enumerate(stitched.timeline.connections)
    ]
    return pa.Table.from_pylist(rows, schema=CONNECTIONS.schema())


def _connection(
    record: ConnectionRecord, end: ConnectionEnd, segments: Sequence[str], channels: Sequence[str]
) -> dict[str, object]:
    first, last = segment_and_line(record.opened.place), segment_and_line(end.last.place)
    row: dict[str, object] = {
        "connection_id": record.id,
        "segment_first": segments[first[0]],
        "line_first": first[1],
        "segment_last": segments[last[0]],
        "line_last": last[1],
        "ts_first": record.opened.ts if record.opened.ts != UNKNOWN_TS else None,
        "ts_last": end.last.ts if end.last.ts != UNKNOWN_TS else None,
        "sequence_num_first": record.first_number,
        "sequence_num_last": end.greatest,
        "messages": end.messages,
        "channels": sorted(name for code, name in enumerate(channels) if end.channels >> code & 1),
        "products": sorted({product for _, product in record.first}),
        "missing_unverifiable": record.first_number,
    }
    for kind in HOLE_CLASSES:
        holes = [hole for hole in record.holes.found if hole.kind == kind]
        row[f"holes_{kind}"] = len(holes)
        row[f"missing_{kind}"] = sum(hole.missing for hole in holes)
    return row


def coverage_rows(
    stitched: Stitched,
    venue: Venue,
    covered: Covered,
    books: Sequence[BuiltBook],
    missing_trades: Mapping[str, list[tuple[KeptTrade, KeptTrade]]],
) -> pa.Table:
    """Return the rows of `coverage`, sorted; `missing_trades` are the neighbours of missing ids, by product."""
    segments = {name: index for index, name in enumerate(stitched.segments)}
    missing = {
        product: [_missing(before, behind, segments) for before, behind in found]
        for product, found in missing_trades.items()
    }
    suspects = [(("level2", product), "crossed_book", spans) for product, spans in _crossed(books).items()]
    suspects += [
        ((MARKET_TRADES.name, product), "missing_ids", [(gap.start, gap.end) for gap in found])
        for product, found in missing.items()
    ]
    spans = {key: (cause, found) for key, cause, found in suspects}
    rows: list[dict[str, object]] = []
    for table, product, found in sorted(_tiles(stitched, venue, covered, spans), key=lambda item: item[:2]):
        split = list(split_at_midnights(found, stitched.timeline.midnights))
        counts = _ids_missing(split, missing.get(product, [])) if table == MARKET_TRADES.name else [None] * len(split)
        rows += [
            _row(table, product, tile, stitched) | {"ids_missing": count}
            for tile, count in zip(split, counts, strict=True)
        ]
    return pa.Table.from_pylist(rows, schema=COVERAGE.schema())


@dataclass(frozen=True)
class _Missing:
    """Ids that are missing, `count` of them: from the earlier to the later message of their neighbours."""

    start: Edge
    end: Edge
    count: int


def _missing(before: KeptTrade, behind: KeptTrade, segments: Mapping[str, int]) -> _Missing:
    edges = [Edge(places.place(segments[trade.segment], trade.line), trade.ts) for trade in (before, behind)]
    return _Missing(min(edges), max(edges), behind.trade_id - before.trade_id - 1)


def _ids_missing(found: Sequence[Tile], missing: Sequence[_Missing]) -> list[int | None]:
    """Return how many ids are missing in each tile: what is missing counts in front of its later neighbour."""
    counts = [0] * len(found)
    ends = [tile.end.place for tile in found]
    for gap in missing:
        counts[bisect_left(ends, gap.end.place)] += gap.count
    return list(counts)


def _row(table: str, product: str, tile: Tile, stitched: Stitched) -> dict[str, object]:
    start, end = segment_and_line(tile.start.place), segment_and_line(tile.end.place)
    return {
        "channel": table,
        "product_id": product,
        "date": date_of(tile.start.ts),
        "state": tile.state,
        "cause": tile.cause,
        "connection_id": stitched.ids[tile.connection] if tile.connection >= 0 else None,
        "segment_start": stitched.segments[start[0]],
        "line_start": start[1],
        "segment_end": stitched.segments[end[0]],
        "line_end": end[1],
        "ts_start": tile.start.ts,
        "ts_end": tile.end.ts,
    }


def _tiles(
    stitched: Stitched, venue: Venue, covered: Covered, suspects: _Suspects
) -> Iterator[tuple[str, str, list[Tile]]]:
    """Yield table, product and tiles of all that is selected and has products, with what else is suspect."""
    timeline = stitched.timeline
    if timeline.start is None or timeline.end is None:
        return
    end = Edge(stitched.end, timeline.end.ts)
    ends = timeline.ends()
    tables = {code: shape.table for code, name in enumerate(venue.channels) if (shape := venue.shape_of(name))}
    wanted = {code for code, name in enumerate(venue.channels) if name in covered.channels}
    streams: dict[tuple[str, str], dict[int, Edge]] = {}
    for index, record in enumerate(timeline.connections):
        for (code, product), edge in record.first.items():
            if code in wanted and (not covered.products or product in covered.products):
                firsts = streams.setdefault((tables[code], product), {})
                firsts[index] = min(edge, firsts.get(index, edge))
    for (table, product), firsts in streams.items():
        found = [
            Stream(
                index=index,
                connection=timeline.connections[index],
                last=end if end.ts - ends[index].last.ts <= SILENCE_NS else ends[index].last,
                first=first,
                snapshots=tuple(timeline.connections[index].snapshots.get(product, ())),
                is_book=table == "level2",
            )
            for index, first in sorted(firsts.items())
        ]
        merged = tiles(found, timeline.start, end, trust_beat=covered.trust_beat)
        if (table, product) in suspects:
            cause, spans = suspects[table, product]
            merged = with_suspect(merged, spans, cause)
        yield table, product, merged


def _crossed(books: Sequence[BuiltBook]) -> dict[str, list[tuple[Edge, Edge]]]:
    """Return where each product's book was crossed; a span that is open at a shard's end ends in the next one."""
    found: dict[str, list[tuple[Edge, Edge]]] = {}
    open_since: dict[str, Edge] = {}
    for book in sorted(books, key=lambda item: (item.product, item.number)):
        spans = found.setdefault(book.product, [])
        waiting = open_since.get(book.product)
        if waiting is not None and book.first >= 0:
            spans.append((waiting, Edge(book.first, book.first_ts)))
            del open_since[book.product]
        for span in book.crossed:
            begin = Edge(span.place, span.ts)
            if spans and spans[-1][1].place == span.place:  # it goes on
                begin = spans.pop()[0]
            if span.end_place < 0:
                open_since[book.product] = begin
            else:
                spans.append((begin, Edge(span.end_place, span.end_ts)))
    for product, begin in open_since.items():
        found[product].append((begin, Edge(_BEHIND_ALL, begin.ts)))
    return {product: spans for product, spans in found.items() if spans}


def write_rows(table: str, rows: pa.Table, output: str) -> list[BuiltFile]:
    """Write the rows of a small table, one file for each date if it has dates; return the files."""
    if not len(rows):
        return []
    if "date" not in rows.column_names:
        return [write_final(table, table, 0, [rows], output=output, schema=rows.schema)]
    dates = rows.column("date").cast(pa.string())
    return [
        write_final(
            table,
            partition_path(table, ("date",), (date,)),
            0,
            [rows.filter(pc.equal(dates, date)).unify_dictionaries()],
            output=output,
            schema=rows.schema,
        )
        for date in sorted(pc.unique(dates).to_pylist())
    ]
