"""Columns of many types for property tests, and rows compared as values."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
from hypothesis import strategies as st

_INT64 = st.integers(-(2**63), 2**63 - 1)
_TEXT = st.text(st.characters(codec="utf-8"), max_size=6)
_WORDS = st.sampled_from(["BTC-USD", "eth usd", "", "a/b", "..", "ä=%", "__HIVE_DEFAULT_PARTITION__"])
_SMALL = st.integers(-128, 127)


def _exact(digits: int, scale: int) -> Decimal:
    # Arithmetic would round to the 28 digits of the default context.
    return Decimal((digits < 0, tuple(map(int, str(abs(digits)))), -scale))


TYPES: list[tuple[pa.DataType, st.SearchStrategy[object]]] = [
    (pa.bool_(), st.booleans()),
    (pa.int8(), _SMALL),
    (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    (pa.int64(), _INT64),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.float32(), st.floats(width=32)),
    (pa.float64(), st.floats()),
    (pa.decimal128(38, 18), st.integers(-(10**38) + 1, 10**38 - 1).map(lambda digits: _exact(digits, 18))),
    (pa.decimal128(7, 2), st.integers(-(10**7) + 1, 10**7 - 1).map(lambda digits: _exact(digits, 2))),
    (pa.date32(), st.integers(-700_000, 2_900_000)),
    (pa.timestamp("ns", "UTC"), _INT64),
    (pa.timestamp("us", "America/New_York"), st.integers(-(2**50), 2**50)),
    (pa.timestamp("ms"), st.integers(-(2**40), 2**40)),
    (pa.time64("ns"), st.integers(0, 86_400 * 10**9 - 1)),
    (pa.time32("ms"), st.integers(0, 86_400_000 - 1)),
    (pa.duration("us"), st.integers(-(2**50), 2**50)),
    (pa.string(), _TEXT),
    (pa.large_string(), _TEXT),
    (pa.binary(), st.binary(max_size=6)),
    (pa.binary(3), st.binary(min_size=3, max_size=3)),
    (pa.dictionary(pa.int32(), pa.string()), _WORDS),
    (pa.dictionary(pa.int8(), pa.large_string()), _WORDS),
    (pa.dictionary(pa.int32(), pa.int64()), _SMALL),
    (pa.timestamp("s", "UTC"), st.integers(-(2**30), 2**30)),
    (pa.date64(), st.integers(-10_000, 10_000).map(lambda days: days * 86_400_000)),
    (pa.string_view(), _TEXT),
    (pa.dictionary(pa.int16(), pa.binary()), st.sampled_from([b"", b"\xff", b"a"])),
    (pa.uuid(), st.binary(min_size=16, max_size=16)),
    (pa.json_(), st.sampled_from(["{}", "[1]"])),
    (pa.list_(pa.float64(), 2), st.lists(st.none() | st.just(0.5), min_size=2, max_size=2)),
    (
        pa.map_(pa.string(), pa.int64()),
        st.dictionaries(_TEXT, _SMALL, max_size=2).map(lambda pairs: list(pairs.items())),
    ),
    (pa.list_(pa.int64()), st.lists(st.none() | _SMALL, max_size=3)),
    (
        pa.struct([("name", pa.string()), ("count", pa.int32())]),
        st.fixed_dictionaries({"name": _TEXT, "count": st.none() | _SMALL}),
    ),
]


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Draw a table of up to 40 rows; nulls only where the field allows them."""
    count = draw(st.integers(0, 40))
    kinds = draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=5))
    fields, arrays = [], []
    for number, (kind, values) in enumerate(kinds):
        nullable = draw(st.booleans())
        one = st.none() | values if nullable else values
        metadata = draw(st.none() | st.just({"unit": "quote"}))
        fields.append(pa.field(f"{number} {kind}", kind, nullable=nullable, metadata=metadata))
        arrays.append(_array(draw(st.lists(one, min_size=count, max_size=count)), kind))
    metadata = draw(st.none() | st.just({"made_by": "a test"}))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata=metadata))


def _array(values: list[object], kind: pa.DataType) -> pa.Array:
    if pa.types.is_temporal(kind):
        # Python's own times have no nanoseconds.
        return pa.array(values, pa.int32() if kind.bit_width == 32 else pa.int64()).cast(kind)
    return pa.array(values, kind)


@st.composite
def cuts(draw: st.DrawFn, table: pa.Table) -> list[pa.RecordBatch]:
    """Draw a way to cut the table into batches, empty ones included."""
    places = sorted(draw(st.lists(st.integers(0, len(table)), max_size=6)))
    bounds = zip([0, *places], [*places, len(table)], strict=True)
    pieces = [table.slice(begin, end - begin).combine_chunks() for begin, end in bounds]
    return [batch for piece in pieces for batch in piece.to_batches()] or [_no_rows(table)]


def _no_rows(table: pa.Table) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=table.schema)


def dense(table: pa.Table) -> pa.Table:
    """Return the table with its dictionaries resolved: two tables of equal values are equal then."""
    fields = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields, metadata=table.schema.metadata)).combine_chunks()


def same(left: pa.Table, right: pa.Table) -> bool:
    """Tell whether schema, metadata and all values are the same; a NaN is the same as itself, -0.0 is not 0.0."""
    if not left.schema.equals(right.schema, check_metadata=True) or len(left) != len(right):
        return False
    pairs = zip(dense(left).columns, dense(right).columns, strict=True)
    return all(_bits(one).equals(_bits(other)) for one, other in pairs)


def _bits(column: pa.ChunkedArray) -> pa.ChunkedArray:
    width = {pa.float64(): pa.int64(), pa.float32(): pa.int32()}.get(column.type)
    return column if width is None else pa.chunked_array([chunk.view(width) for chunk in column.chunks], width)


def concatenated(batches: list[pa.RecordBatch]) -> pa.Table:
    """Return batches as one table; they must have one schema, metadata included."""
    schema = batches[0].schema
    assert all(batch.schema.equals(schema, check_metadata=True) for batch in batches)
    return pa.Table.from_batches(batches)
