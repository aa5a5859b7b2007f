"""What a table is, and what it says of data that does not fit."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest

from etl_ray.errors import SchemaError
from etl_ray.tables import DECIMAL, NUMBER, SYMBOL, TABLES, TIME, Column, Numbers, Table

TABLE = Table(
    name="things",
    version=3,
    meaning="Things.",
    columns=(
        Column("product_id", SYMBOL, "which one"),
        Column("ts_event", TIME, "when", "ns UTC"),
        Column("price", NUMBER, "how much", "quote", nullable=True),
    ),
    partition_cols=("product_id",),
    order=("ts_event",),
)


def columns(numbers: Numbers = "float64", **more: pa.Array) -> dict[str, pa.Array]:
    price = [1.5, None] if numbers == "float64" else [Decimal("1.5"), None]
    return {
        "product_id": pa.array(["A", "B"]).cast(SYMBOL),
        "ts_event": pa.array([1, 2], TIME),
        "price": pa.array(price, NUMBER.arrow(numbers)),
        **more,
    }


def test_schema_names_the_table_and_explains_its_columns() -> None:
    expected = pa.schema(
        [
            pa.field("product_id", SYMBOL, nullable=False, metadata={"meaning": "which one"}),
            pa.field("ts_event", TIME, nullable=False, metadata={"meaning": "when", "unit": "ns UTC"}),
            pa.field("price", pa.float64(), nullable=True, metadata={"meaning": "how much", "unit": "quote"}),
        ],
        metadata={"etl_ray.table": "things", "etl_ray.version": "3"},
    )
    assert TABLE.schema().equals(expected, check_metadata=True)
    assert TABLE.schema("decimal").field("price").type == DECIMAL == pa.decimal128(38, 18)


@pytest.mark.parametrize("numbers", ["float64", "decimal"])
def test_batch(numbers: Numbers) -> None:
    given = columns(numbers)
    batch = TABLE.batch({name: given[name] for name in reversed(given)}, numbers)
    assert batch.schema.equals(TABLE.schema(numbers), check_metadata=True)
    assert batch.to_pydict() == {name: column.to_pylist() for name, column in given.items()}


@pytest.mark.parametrize("numbers", ["float64", "decimal"])
def test_conform_brings_order_types_and_metadata_back(numbers: Numbers) -> None:
    strings = pa.array(["A", "B"], pa.large_string())
    given = pa.table(columns(numbers, ts_event=pa.array([1, 2], pa.timestamp("ns", "UTC")), product_id=strings))
    found = TABLE.conform(given.select(["price", "ts_event", "product_id"]), numbers)
    assert found.schema.equals(TABLE.schema(numbers), check_metadata=True)
    assert found.to_pydict() == pa.table(columns(numbers)).to_pydict()
    assert TABLE.conform(given.slice(0, 0), numbers).schema.equals(TABLE.schema(numbers), check_metadata=True)


def test_names_that_do_not_fit() -> None:
    given = columns(size=pa.array([1, 2]), at=pa.array([1, 2]))
    del given["price"], given["ts_event"]
    words = (
        "table 'things': expected the columns product_id, ts_event, price; missing: ts_event, price; unknown: at, size"
    )
    with pytest.raises(SchemaError) as raised:
        TABLE.batch(given)
    assert str(raised.value) == words
    with pytest.raises(SchemaError) as raised:
        TABLE.conform(pa.table(given))
    assert str(raised.value) == words


def test_column_that_is_there_twice() -> None:
    given = pa.table(columns()).append_column("price", pa.array([1.0, 2.0]))
    with pytest.raises(SchemaError, match="table 'things': expected each column once, found price twice or more"):
        TABLE.conform(given)


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("price", pa.array(["1", "x"]), "column 'price': expected double, found string: "),
        ("price", pa.array([[1.0], [2.0]]), r"column 'price': expected double, found list<.*>: "),
        (
            "ts_event",
            pa.array(["yesterday", "x"]),
            r"column 'ts_event': expected timestamp\[ns, tz=UTC\], found string: ",
        ),
        (
            "product_id",
            pa.array([{"a": 1}, {"a": 2}]),
            "column 'product_id': expected dictionary<.*>, found struct<.*>: ",
        ),
    ],
)
def test_type_that_cannot_be_made_to_fit(column: str, values: pa.Array, words: str) -> None:
    with pytest.raises(SchemaError, match=f"^table 'things': {words}"):
        TABLE.conform(pa.table(columns(**{column: values})))


def test_value_that_would_be_changed() -> None:
    table = Table("t", 1, "", (Column("line", pa.int64(), ""),), (), ())
    assert table.conform(pa.table({"line": [1.0, 2.0]})).column("line").to_pylist() == [1, 2]
    with pytest.raises(SchemaError, match=r"^table 't': column 'line': expected int64, found double: "):
        table.conform(pa.table({"line": [1.0, 2.5]}))


@pytest.mark.parametrize(
    ("column", "values"), [("price", pa.array([1, 2])), ("product_id", pa.array(["A", "B"])), ("ts_event", [1, 2])]
)
def test_batch_wants_the_very_types(column: str, values: pa.Array | list[int]) -> None:
    array = pa.array(values)
    expected = TABLE.column(column).arrow_type()
    with pytest.raises(SchemaError) as raised:
        TABLE.batch(columns(**{column: array}))
    assert str(raised.value) == f"table 'things': column {column!r}: expected {expected}, found {array.type}"


def test_null_where_there_must_be_a_value() -> None:
    given = columns(ts_event=pa.array([1, None], TIME))
    words = "^table 'things': column 'ts_event': expected no null, found 1 in 2 rows$"
    with pytest.raises(SchemaError, match=words):
        TABLE.batch(given)
    with pytest.raises(SchemaError, match=words):
        TABLE.conform(pa.table(given))


def test_columns_of_unequal_length() -> None:
    with pytest.raises(SchemaError) as raised:
        TABLE.batch(columns(price=pa.array([1.0])))
    assert str(raised.value) == (
        "table 'things': expected columns of one length, found product_id: 2, ts_event: 2, price: 1"
    )


def test_column_by_name() -> None:
    assert TABLE.column("price") == TABLE.columns[2]
    with pytest.raises(SchemaError) as raised:
        TABLE.column("size")
    assert str(raised.value) == "table 'things' has no column 'size'; it has: product_id, ts_event, price"


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_sound(name: str) -> None:
    table = TABLES[name]
    assert table.name == name
    assert table.version >= 1
    assert table.meaning.endswith(".")
    assert len(set(table.names)) == len(table.names)
    assert {*table.partition_cols, *table.order} <= set(table.names)
    assert all(column.meaning for column in table.columns)
    times = [column for column in table.columns if column.type == TIME]
    assert {column.unit for column in times} <= {"ns UTC"}
    assert {column.name.removeprefix("book_")[:3] for column in times if column.name != "valid_from"} <= {"ts_"}
    # An empty bar has no trade, and is the only one at its time.
    keys = {*table.partition_cols, *table.order} - ({"first_trade_id"} if name == "bars" else set())
    assert not any(table.column(key).nullable for key in keys)
