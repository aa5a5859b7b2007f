"""Columns as the assembling functions are handed them."""

from __future__ import annotations

import datetime
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_ray.tables import SYMBOL, TIME
from etl_ray.venues.rows import NS_PER_DAY, NULL, Messages, Rows, dates, dictionary, timestamps

MESSAGES = Messages(
    line=np.array([3, 5], np.int64),
    channel=np.array([0, 1], np.int8),
    sequence_num=np.array([10, 11], np.int64),
    ts_server=np.array([1, 2], np.int64),
    ts_capture=np.array([NULL, 4], np.int64),
    product=np.array([0, -1], np.int32),
)
ROWS = Rows(
    messages=MESSAGES,
    symbols=("A", "B"),
    message=np.array([0, 0, 1], np.int32),
    event_index=np.array([0, 1, 0], np.int32),
    row_index=np.array([0, 0, 2], np.int32),
    fields={
        "price": pa.array([1.5, None, 2.5]),
        "side": np.array([0, -1, 1], np.int8),
        "product_id": np.array([1, 0, -1], np.int32),
        "time": np.array([7, NULL, 9], np.int64),
    },
    numbers="float64",
)


def test_timestamps() -> None:
    assert timestamps(np.array([0, 1, NULL], np.int64)).equals(pa.array([0, 1, None], TIME))
    assert timestamps(np.zeros(0, np.int64)).equals(pa.array([], TIME))


def test_dictionary() -> None:
    found = dictionary(np.array([1, -1, 0, 1], np.int32), ("x", "y"))
    assert found.type == SYMBOL
    assert found.to_pylist() == ["y", None, "x", "y"]
    assert dictionary(np.zeros(0, np.int32), ()).to_pylist() == []
    with pytest.raises(IndexError, match="expected codes of 2 words, found 2"):
        dictionary(np.array([0, 2], np.int32), ("x", "y"))


@given(st.lists(st.datetimes(datetime.datetime(2010, 1, 1), datetime.datetime(2099, 12, 31, 23, 59, 59)), max_size=30))
def test_dates(times: list[datetime.datetime]) -> None:
    days = [(time.date() - datetime.date(1970, 1, 1)).days for time in times]
    for beside in (0, NS_PER_DAY - 1):
        found = dates(np.array([day * NS_PER_DAY + beside for day in days], np.int64))
        assert found.type == SYMBOL
        assert found.to_pylist() == [str(time.date()) for time in times]


@given(st.lists(st.integers(0, 9), max_size=30), st.sampled_from([0, -5, 19_000]), st.sampled_from([0, 1, 450, 500]))
def test_dates_near_each_other(steps: list[int], first: int, step: int) -> None:
    """Of a few days, and of 4,050 to 4,500."""
    days = [first + step * number for number in steps]
    found = dates(np.array(days, np.int64) * NS_PER_DAY + 7)
    assert found.to_pylist() == [str(datetime.date(1970, 1, 1) + datetime.timedelta(day)) for day in days]
    assert len(found.dictionary) == len({*days})


@pytest.mark.parametrize("days", [(0, 0), (0, 1), (NULL // NS_PER_DAY, 1)])
def test_server_dates(days: tuple[int, int]) -> None:
    """The second message may be private: it has no row, and no time."""
    times = np.array([max(day * NS_PER_DAY, NULL) for day in days], np.int64)
    rows = replace(ROWS, messages=replace(MESSAGES, ts_server=times))
    if days[0] < 0:
        rows = rows.take(np.array([2]))
    found = rows.server_dates()
    assert found.type == SYMBOL
    assert found.to_pylist() == [f"1970-01-0{1 + days[message]}" for message in rows.message]


def test_rows_are_taken_in_any_order() -> None:
    taken = ROWS.take(np.array([2, 0], np.int64))
    assert len(taken) == 2
    assert taken.common()["line"].to_pylist() == [5, 3]
    assert taken.common()["row_index"].to_pylist() == [2, 0]
    assert taken.common()["event_index"].to_pylist() == [0, 0]
    assert taken.arrow("price").to_pylist() == [2.5, 1.5]
    assert taken.symbol("product_id", taken.symbols).to_pylist() == [None, "B"]


def test_columns_of_rows() -> None:
    assert len(ROWS) == 3
    assert len(MESSAGES) == 2
    assert ROWS.symbol("side", ("buy", "sell")).to_pylist() == ["buy", None, "sell"]
    assert ROWS.time("time").cast(pa.int64()).to_pylist() == [7, None, 9]
    assert ROWS.ints("side").dtype == np.int64
    assert {name: column.cast(pa.int64()).to_pylist() for name, column in ROWS.common().items()} == {
        "ts_server": [1, 1, 2],
        "ts_capture": [None, None, 4],
        "sequence_num": [10, 10, 11],
        "line": [3, 3, 5],
        "event_index": [0, 1, 0],
        "row_index": [0, 0, 2],
    }


def test_number_has_no_numpy_values() -> None:
    with pytest.raises(TypeError, match="field 'price' is an Arrow array"):
        ROWS.array("price")
