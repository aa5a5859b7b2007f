"""What a run has to do, from the sizes of segments and what their heads are like: rows, pieces, files, time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from etl_ray.config import JobConfig
from etl_ray.orchestrators.expected_rows import Products, expected_files, expected_rows, shards_of_books
from etl_ray.orchestrators.extrapolation import Extrapolation, ratio, span_s, unpacked_bytes
from etl_ray.orchestrators.rates import GROUP_BYTES, GROUP_KEPT_BYTES
from etl_ray.orchestrators.sampling import PARTED, Head
from etl_ray.orchestrators.staged_books import STRETCH_OPERATIONS
from etl_ray.readers.codecs import Codec
from etl_ray.readers.segments import Unit
from etl_ray.venues.rows import NS_PER_DAY

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class Stored:
    """What is to be read: the stored `sizes` of segments and their codecs, in arrival order.

    `units` are pairs of a segment's index and stored bytes.
    """

    sizes: tuple[int, ...]
    codecs: tuple[Codec | None, ...]
    units: tuple[tuple[int, int], ...]

    @staticmethod
    def of(units: Sequence[Unit]) -> Stored:
        """Return what planned units, in arrival order, read; codecs are told by names."""
        numbers: dict[str, int] = {}
        sizes: list[int] = []
        codecs: list[Codec | None] = []
        found = []
        for unit in units:
            if unit.segment.identity not in numbers:
                numbers[unit.segment.identity] = len(numbers)
                sizes.append(unit.segment.size)
                codecs.append(_codec_of_name(unit.segment.url))
            found.append((numbers[unit.segment.identity], unit.stored_bytes))
        return Stored(tuple(sizes), tuple(codecs), tuple(found))


def _codec_of_name(url: str) -> Codec | None:
    return "gzip" if url.endswith(".gz") else "zstd" if url.endswith(".zst") else None


@dataclass(frozen=True)
class Volume:
    """How much is to be read: bytes are unpacked but for `stored_bytes`, `unpacked` are those of each codec.

    `blocks` are what units are read in, `span_s` is the time that segments cover.
    """

    segments: int
    stored_bytes: int
    unpacked: Mapping[str, float]
    units: int
    blocks: int
    largest_unit_bytes: float
    span_s: float


def volume(stored: Stored, heads: Sequence[Head], config: JobConfig) -> Volume:
    """Return how much segments are, given the heads of some of them."""
    unpacked = unpacked_bytes(stored.sizes, stored.codecs, heads)
    units = [size * ratio(stored.codecs[segment], heads) for segment, size in stored.units]
    by_codec: dict[str, float] = {}
    for size, codec in zip(unpacked, stored.codecs, strict=True):
        by_codec[codec or "plain"] = by_codec.get(codec or "plain", 0.0) + size
    return Volume(
        segments=len(stored.sizes),
        stored_bytes=sum(size for _, size in stored.units),
        unpacked=dict(sorted(by_codec.items())),
        units=len(units),
        blocks=sum(blocks_of(size, config) for size in units),
        largest_unit_bytes=max(units, default=0.0),
        span_s=span_s(unpacked, heads),
    )


def blocks_of(size: float, config: JobConfig) -> int:
    """Return in how many blocks so many unpacked bytes are read."""
    return max(1, math.ceil(size / config.staging.block_bytes))


@dataclass(frozen=True)
class Workload:
    """All that a run has to do.

    `unpacked` are bytes by codec, `largest_unit_bytes` those of the largest unit. `span_s` is the time that INPUT
    covers, `days` are the dates in range. `staged_rows` are by table, `rows` and `files` what OUTPUT gets. `groups` are
    staged row groups by table, `stretches` pairs of a unit and a product that has a book, cut where many operations are
    together; `operations` change levels. Of the product with most of them, `largest_product`, is the share
    `largest_share`. `kept_bytes` of `staged_bytes` are kept whatever their age.
    """

    segments: int
    stored_bytes: int
    unpacked: Mapping[str, int]
    units: int
    largest_unit_bytes: int
    lines: int
    messages: int
    span_s: float
    days: int
    products: int
    staged_rows: Mapping[str, int]
    rows: Mapping[str, int]
    files: Mapping[str, int]
    groups: Mapping[str, int]
    staged_bytes: int
    kept_bytes: int
    operations: int
    stretches: int
    book_shards: int
    largest_product: str
    largest_share: float

    @property
    def unpacked_bytes(self) -> int:
        """Unpacked bytes of all codecs."""
        return sum(self.unpacked.values())


def workload(much: Volume, heads: Sequence[Head], config: JobConfig) -> Workload:
    """Return what is to be expected of segments, given how much they are and the heads of some of them."""
    mix = Extrapolation(much.segments, sum(much.unpacked.values()), tuple(heads))
    first_ns, last_ns, share = in_range(heads, much.span_s, config)
    days = max(first_ns, last_ns - 1) // NS_PER_DAY - first_ns // NS_PER_DAY + 1
    products = {table: _by_product(mix, table) for table in PARTED}
    staged = {table: mix.total(lambda part, table=table: part.rows.get(table, 0)) for table in _tables(heads)}  # type: ignore[misc]
    groups = {table: present(products.get(table, {table: rows}), much.blocks) for table, rows in staged.items()}
    books = products["level2"] if config.has_books else {}
    operations = sum(books.values())
    wanted = {table: {name: rows * share for name, rows in found.items()} for table, found in products.items()}
    shards = shards_of_books(books, config, days=days)
    rows = expected_rows(mix, wanted, config, span_s=much.span_s * share, share=share, shards=shards)
    largest = max(books, key=lambda name: books[name], default="")
    return Workload(
        segments=much.segments,
        stored_bytes=much.stored_bytes,
        unpacked={codec: round(size) for codec, size in much.unpacked.items()},
        units=much.units,
        largest_unit_bytes=round(much.largest_unit_bytes),
        lines=round(mix.total(lambda part: part.lines)),
        messages=round(mix.total(lambda part: sum(part.messages.values()))),
        span_s=much.span_s,
        days=days,
        products=len({name for found in products.values() for name in found}),
        staged_rows={table: round(count) for table, count in staged.items()},
        rows=rows,
        files=expected_files(rows, wanted, config, days=days, shards=shards),
        groups={table: round(count) for table, count in groups.items()},
        staged_bytes=round(
            mix.total(lambda part: part.staged_bytes - part.groups * GROUP_BYTES) + sum(groups.values()) * GROUP_BYTES
        ),
        kept_bytes=round(
            mix.total(lambda part: part.kept_bytes - part.groups * GROUP_KEPT_BYTES)
            + sum(groups.values()) * GROUP_KEPT_BYTES
        ),
        operations=round(operations),
        stretches=round(present(books, much.units) + operations / STRETCH_OPERATIONS) if books else 0,
        book_shards=sum(shards.values()),
        largest_product=largest,
        largest_share=books[largest] / operations if operations else 0.0,
    )


def present(rows: Mapping[str, float], parts: int) -> float:
    """Return in how many of `parts` equal parts each product has rows, in sum, if these fall anywhere."""
    return sum(-parts * math.expm1(-count / parts) for count in rows.values()) if parts else 0.0


def in_range(heads: Sequence[Head], covered_s: float, config: JobConfig) -> tuple[int, int, float]:
    """Return the first and the last time (ns) that are asked for, and their share of all that segments cover."""
    first = min((head.ts_min for head in heads if head.ts_min is not None), default=0)
    last = first + round(covered_s * _NS_PER_S)
    start = first if config.start is None else min(max(first, config.start), last)
    end = last if config.end is None else max(min(last, config.end), start)
    return start, end, (end - start) / (last - first) if last > first else 1.0


def _tables(heads: Sequence[Head]) -> list[str]:
    return sorted({table for head in heads for part in (head.snapshots, head.updates) for table in part.rows})


def _by_product(mix: Extrapolation, table: str) -> Products:
    parts = [part.products.get(table, {}) for head in mix.heads for part in (head.snapshots, head.updates)]
    names = sorted({name for found in parts for name in found})
    return {name: mix.total(lambda part, name=name: part.products.get(table, {}).get(name, 0)) for name in names}  # type: ignore[misc]
