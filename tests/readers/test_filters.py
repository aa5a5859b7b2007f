"""Filters: one meaning for both decoders, and what is said of those that do not fit."""

from __future__ import annotations

import math
import operator
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_ray.errors import ConfigError
from etl_ray.readers.filters import bind, check_form, may_hold
from etl_ray.readers.parquet import ParquetReader
from etl_ray.tables import SYMBOL, TIME

COMPARE: dict[str, Callable[[object, object], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda value, values: any(value == one for one in values),  # type: ignore[attr-defined]
}
KINDS: dict[str, tuple[pa.DataType, list[object]]] = {
    "price": (pa.float64(), [0.0, -0.0, 1.5, -2.25, math.inf, -math.inf, math.nan]),
    "ratio": (pa.float32(), [0.0, -0.0, 1.5, math.nan]),
    "exact": (pa.decimal128(38, 18), [Decimal("0.000000000000000001"), Decimal(0), Decimal("-99999999999.5")]),
    "ts": (TIME, [0, 1, 1_764_165_600_123_456_789, 1_764_165_600_123_456_788, -1]),
    "day": (pa.date32(), [date(2025, 11, 26), date(1969, 12, 31)]),
    "count": (pa.int64(), [0, 1, -1, 2**63 - 1, -(2**63)]),
    "big": (pa.uint64(), [0, 2**64 - 1]),
    "side": (SYMBOL, ["bid", "ask", "", "Ä"]),
    "word": (pa.string(), ["a", "b", "", "ab"]),
    "raw": (pa.binary(), [b"", b"\x00", b"\xff"]),
    "flag": (pa.bool_(), [True, False]),
}
SCHEMA = pa.schema([(name, kind) for name, (kind, _) in KINDS.items()])
NOT_NAN = {name: [value for value in values if value == value] for name, (_, values) in KINDS.items()}


@st.composite
def a_filter(draw: st.DrawFn) -> tuple[str, str, object]:
    name = draw(st.sampled_from(list(KINDS)))
    op = draw(st.sampled_from(["==", "!=", "in"] if name == "flag" else list(COMPARE)))
    one = st.sampled_from(NOT_NAN[name])
    return name, op, draw(st.lists(one, max_size=3) if op == "in" else one)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_both_decoders_yield_the_rows_that_match(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 20))
    columns = {
        name: data.draw(st.lists(st.none() | st.sampled_from(values), min_size=count, max_size=count))
        for name, (_, values) in KINDS.items()
    }
    filters = data.draw(st.lists(a_filter(), min_size=1, max_size=3))
    arrays = [
        pa.array(columns[name], pa.int64()).cast(TIME) if name == "ts" else pa.array(columns[name], kind)
        for name, (kind, _) in KINDS.items()
    ]
    table = pa.Table.from_arrays([*arrays, pa.array(range(count))], names=[*KINDS, "row"])
    expected = [
        row
        for row in range(count)
        if all(columns[name][row] is not None and COMPARE[op](columns[name][row], value) for name, op, value in filters)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "a.parquet"))
        pq.write_table(table, path, row_group_size=data.draw(st.integers(1, 20)))
        for use_polars in (True, False):
            reader = ParquetReader(use_polars=use_polars, filters=filters, columns=["row"])
            found = [row for batch in reader.read(path) for row in batch.column("row").to_pylist()]
            assert found == expected
        lazy = ParquetReader(filters=filters, columns=["row"]).scan(path)
        assert lazy.collect()["row"].to_list() == expected


@pytest.mark.parametrize("use_polars", [True, False], ids=["polars", "pyarrow"])
@pytest.mark.parametrize(
    ("op", "value", "expected"),
    [
        ("==", -0.0, [0, 1]),
        ("!=", 0.0, [2, 3]),
        ("<", 1.5, [0, 1]),
        ("<=", 1.5, [0, 1, 3]),
        (">", 1.0, [3]),
        (">=", 0.0, [0, 1, 3]),
        ("in", [0.0], [0, 1]),
        ("in", [-0.0, 1.5], [0, 1, 3]),
        ("in", [], []),
    ],
)
def test_nan_matches_only_unequal_and_there_is_one_zero(
    tmp_path: Path, use_polars: bool, op: str, value: object, expected: list[int]
) -> None:
    path = str(tmp_path / "a.parquet")
    table = pa.table({"x": [0.0, -0.0, math.nan, 1.5, None], "row": range(5)})
    pq.write_table(table, path, row_group_size=3)  # statistics say that the first holds zeros only

    reader = ParquetReader(use_polars=use_polars, filters=[("x", op, value)], columns=["row"])

    assert [row for batch in reader.read(path) for row in batch.column("row").to_pylist()] == expected


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("ts", "2025-11-26T14:00:00.123456789Z", 1_764_165_600_123_456_789),
        ("ts", "2025-11-26T15:00:00.5+01:00", 1_764_165_600_500_000_000),
        ("ts", "2025-11-26", 1_764_115_200_000_000_000),
        ("ts", date(2025, 11, 26), 1_764_115_200_000_000_000),
        ("ts", datetime(2025, 11, 26, 14, tzinfo=UTC), 1_764_165_600_000_000_000),
        ("ts", 17, 17),
        ("day", "2025-11-26", 20_418),
        ("day", date(2025, 11, 26), 20_418),
    ],
)
def test_times_are_taken_as_text_as_objects_and_as_integers(column: str, value: object, expected: int) -> None:
    (condition,) = bind([(column, "==", value)], SCHEMA)

    width = pa.int32() if column == "day" else pa.int64()
    assert condition.values.cast(width).to_pylist() == [expected]


@pytest.mark.parametrize(
    ("value", "expected"), [("0.10", Decimal("0.1")), (2, Decimal(2)), (Decimal("1e-18"), Decimal("1e-18"))]
)
def test_decimals_are_taken_exactly(value: object, expected: Decimal) -> None:
    (condition,) = bind([("exact", "<", value)], SCHEMA)

    assert condition.values.to_pylist() == [expected]


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ("price > 1", "filters: expected a list of (column, op, value), for example"),
        (("price", ">", 1), "filters: expected (column, op, value), for example"),
        ([("price", ">")], "filters: expected (column, op, value), for example"),
        ([(1, ">", 2)], "filters: expected (column, op, value), for example"),
        ([("price", "=", 1)], "filter on 'price': unknown op '='; known: ==, !=, <, <=, >, >=, in"),
        ([("side", "in", "bid")], "filter on 'side': `in` expects a list, tuple or set of values; found 'bid'"),
        ([("side", "in", 1)], "filter on 'side': `in` expects a list, tuple or set of values; found 1"),
    ],
)
def test_filters_of_another_form_are_refused(filters: object, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_form(filters)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (("pric", ">", 1), "filter on unknown column 'pric'; did you mean 'price'? known: price, ratio, exact, ts"),
        (("price", ">", "1"), "filter on 'price': expected a value of type double, found '1': "),
        (
            ("price", ">", None),
            "filter on 'price': expected a value of type double, found None; a null matches nothing",
        ),
        (("price", "==", math.nan), "filter on 'price': expected a value of type double, found nan; NaN is equal to"),
        (("count", "==", 1.5), "filter on 'count': expected a value of type int64, found 1.5"),
        (("count", "in", [1, True]), "filter on 'count': expected a value of type int64, found True"),
        (("count", "==", 2**63), "filter on 'count': expected a value of type int64, found 9223372036854775808: "),
        (("big", "==", -1), "filter on 'big': expected a value of type uint64, found -1: "),
        (("exact", "==", 0.1), "filter on 'exact': expected a value of type decimal128(38, 18), found 0.1: "),
        (("side", "==", 1), "filter on 'side': expected a value of type string, found 1: "),
        (("ts", ">", "yesterday"), "filter on 'ts': expected a value of type timestamp[ns, tz=UTC], found 'yesterday'"),
        (("ts", ">", "2025-11-26T14:00:00"), "filter on 'ts': expected a value of type timestamp[ns, tz=UTC], found"),
        (("day", "==", datetime(2025, 11, 26, tzinfo=UTC)), "filter on 'day': expected a value of type date32[day]"),
        (("flag", "==", 1), "filter on 'flag': expected a value of type bool, found 1"),
        (("flag", "<", True), "filter on 'flag': booleans have no order; expected one of ==, !=, in; found <"),
        (("list", "==", 1), "filter on 'list': columns of type list<item: int64> cannot be filtered"),
    ],
)
def test_filters_that_do_not_fit_the_columns_are_refused(item: tuple[str, str, object], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        bind([item], SCHEMA.append(pa.field("list", pa.list_(pa.int64()))))
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("item", "text", "expected"),
    [
        (("side", "==", "bid"), "bid", True),
        (("side", "==", "bid"), "ask", False),
        (("side", "!=", "bid"), None, False),
        (("count", "<", 10), "9", True),
        (("count", "<", 10), "10", False),
        (("count", "<", 10), "ten", True),
        (("day", "in", ["2025-11-26"]), "2025-11-26", True),
        (("day", "in", ["2025-11-26"]), "2025-11-27", False),
        (("day", "in", ["2025-11-26"]), "unknown", True),
        (("flag", "==", True), "false", False),
    ],
)
def test_paths_exclude_files_only_by_what_they_say(
    item: tuple[str, str, object], text: str | None, expected: bool
) -> None:
    assert may_hold(bind([item], SCHEMA), {item[0]: text}) is expected
    assert may_hold(bind([item], SCHEMA), {}) is True


def test_row_groups_that_cannot_match_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": range(100)}), path, row_group_size=10)
    asked: list[object] = []
    iter_batches = pq.ParquetFile.iter_batches

    def spy(self: pq.ParquetFile, **options: object) -> object:
        asked.append(options["row_groups"])
        return iter_batches(self, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", spy)

    (batch,) = ParquetReader(use_polars=False, filters=[("x", ">=", 95)]).read(path)

    assert batch.column("x").to_pylist() == [95, 96, 97, 98, 99]
    assert asked == [[9]]
