"""Where partitions lie, however hostile the names of products are."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_ray.tables.dates import UNKNOWN_DATE, date_in_name
from etl_ray.tables.partitions import encode_value, partition_path

SAFE = set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-%")


@pytest.mark.parametrize("value", ["BTC-USD", "A.B_C-9", "00-1INCH", "...", ".X", "X.", "-", "_", ""])
def test_what_stays_as_it_is(value: str) -> None:
    assert encode_value(value) == value


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("../x", "..%2F%78"),
        ("../../ETC", "..%2F..%2FETC"),
        ("/", "%2F"),
        ("\\", "%5C"),
        ("%", "%25"),
        ("%2E", "%252E"),
        ("btc-usd", "%62%74%63-%75%73%64"),
        ("a=b", "%61%3D%62"),
        ("A=B", "A%3DB"),
        ("A B", "A%20B"),
        ("A+B", "A%2BB"),
        ("\0", "%00"),
        ("\n", "%0A"),
        ("*?[", "%2A%3F%5B"),
        ("C:", "C%3A"),
        ("~", "%7E"),
        ("é", "%C3%A9"),
        ("e\u0301", "%65%CC%81"),  # what looks the same is not the same
        ("Ａ", "%EF%BC%A1"),
        ("😀", "%F0%9F%98%80"),
        ("\u202e", "%E2%80%AE"),
        ("{date}", "%7B%64%61%74%65%7D"),
    ],
)
def test_hostile_values(value: str, encoded: str) -> None:
    assert encode_value(value) == encoded
    assert unquote(encoded) == value


def test_very_long_value() -> None:
    assert encode_value("é" * 100_000) == "%C3%A9" * 100_000
    assert encode_value("X" * 100_000) == "X" * 100_000


@given(st.text())
def test_any_value_comes_back_and_is_one_folder(value: str) -> None:
    encoded = encode_value(value)
    assert set(encoded) <= SAFE
    assert encoded not in (".", "..")
    assert unquote(encoded, errors="strict") == value
    assert encoded.upper() == encoded  # two names never differ in case alone


@given(st.lists(st.text(), unique=True, max_size=10))
def test_different_values_lie_in_different_folders(values: list[str]) -> None:
    assert len({encode_value(value).lower() for value in values}) == len(values)


def test_path() -> None:
    found = partition_path("level2", ("product_id", "date"), ("BTC-USD", "2025-11-26"))
    assert found == "level2/product_id=BTC-USD/date=2025-11-26"
    hostile = partition_path("level2", ("date", "product_id"), ("unknown", "../a=b"))
    assert hostile == "level2/date=unknown/product_id=..%2F%61%3D%62"
    assert partition_path("instruments", (), ()) == "instruments"
    with pytest.raises(ValueError, match="zip"):
        partition_path("level2", ("date",), ())


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("segment_20251126T14_00001.ndjson", "2025-11-26"),
        ("20240229.ndjson", "2024-02-29"),
        ("20250229.ndjson", UNKNOWN_DATE),
        ("x_20251301_20251126.ndjson", "2025-11-26"),
        ("120251126.ndjson", "2025-11-26"),
        ("20091231.ndjson", UNKNOWN_DATE),
        ("20100101.ndjson", "2010-01-01"),
        ("20991231.ndjson", "2099-12-31"),
        ("21000101.ndjson", UNKNOWN_DATE),
        ("2025-11-26.ndjson", UNKNOWN_DATE),
        ("２０２５１１２６.ndjson", UNKNOWN_DATE),
        ("", UNKNOWN_DATE),
    ],
)
def test_date_in_the_name_of_a_segment(name: str, date: str) -> None:
    assert date_in_name(name) == date
    assert UNKNOWN_DATE == "unknown"
