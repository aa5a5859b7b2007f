"""What single values may look like, rule by rule."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from etl_ray.scan.values import (
    BadValueError,
    epoch_seconds,
    exact_number,
    integer,
    number,
    product,
    read_field,
    show,
    time_ns,
)
from etl_ray.tables.schema import DECIMAL, Numbers
from etl_ray.venues.rows import NULL
from etl_ray.venues.shapes import Field, Kind


def words(text: str) -> list[object]:
    return list(text.split("|"))


def ns(year: int, month: int, day: int, *clock: int, nanoseconds: int = 0) -> int:
    """Return a UTC time as ns; `clock` are hours, minutes and seconds."""
    days = (datetime.date(year, month, day) - datetime.date(1970, 1, 1)).days
    hours, minutes, seconds = (*clock, 0, 0, 0)[:3]
    return (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000_000_000 + nanoseconds


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("0", "0x0.0p+0"),
        ("-0", "0x0.0p+0"),
        ("-0.000e-999", "0x0.0p+0"),
        ("0e999", "0x0.0p+0"),
        ("007.50", "0x1.e000000000000p+2"),
        ("-1.5", "-0x1.8000000000000p+0"),
        ("1E+5", "0x1.86a0000000000p+16"),
        ("0.1", "0x1.999999999999ap-4"),
        ("9007199254740993", "0x1.0000000000000p+53"),  # half way: to even
        ("9007199254740993.00000000000000000000000000000000000000001", "0x1.0000000000001p+53"),
        ("1.7976931348623158e308", "0x1.fffffffffffffp+1023"),
        ("4.9e-324", "0x0.0000000000001p-1022"),
        ("2.5e-324", "0x0.0000000000001p-1022"),
        ("1" * 64, float("1" * 64).hex()),
    ],
)
def test_float_is_correctly_rounded(text: str, bits: str) -> None:
    value = number(text, signed=True, numbers="float64")
    assert isinstance(value, float)
    assert value.hex() == bits


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", "0"),
        ("-0.0", "0"),
        ("0e999", "0"),
        ("0." + "0" * 62, "0"),
        ("-1.50", "-1.5"),
        ("1e19", "10000000000000000000"),
        ("12e-1", "1.2"),
        ("1e-18", "0.000000000000000001"),
        ("1000e-21", "0.000000000000000001"),
        ("99999999999999999999.999999999999999999", "99999999999999999999.999999999999999999"),
        ("-99999999999999999999.999999999999999999", "-99999999999999999999.999999999999999999"),
        ("12345678901234567890." + "0" * 43, "12345678901234567890"),  # trailing zeros are not counted
        ("1." + "0" * 62, "1"),
        ("0." + "1" * 18 + "0" * 44, "0." + "1" * 18),
        ("1" + "0" * 59 + "e-59", "1"),
        ("0" * 63 + "7", "7"),
    ],
)
def test_decimal_is_exact(text: str, value: str) -> None:
    found = number(text, signed=True, numbers="decimal")
    assert found == Decimal(value)
    assert pa.array([found], DECIMAL)[0].as_py() == Decimal(value)


@pytest.mark.parametrize("text", ["1e20", "100000000000000000000", "1e-19", "0.0000000000000000001", "1e999", "1e-999"])
def test_decimal_that_does_not_fit_is_refused(text: str) -> None:
    with pytest.raises(BadValueError, match=r"fits decimal128\(38, 18\), found"):
        number(text, signed=True, numbers="decimal")


@pytest.mark.parametrize("text", ["1e309", "-1e309", "1.7976931348623159e308", "2.4e-324", "1e-999", "-1e-999"])
def test_float_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(BadValueError, match=f"within the range of float64, found '{text}'"):
        number(text, signed=True, numbers="float64")


@pytest.mark.parametrize("numbers", ["float64", "decimal"])
@pytest.mark.parametrize(
    "value",
    [
        1,
        1.5,
        True,
        None,
        [],
        {},
        "",
        "1" * 65,
        "0." + "0" * 63,
        *words(".|1.|.5|+1|-|--1|1..1|1e|1e+|1e1.5|1e1000|e5|1_0|0x1|NaN|nan|Infinity|inf| 1|1 |1,5|1\n|١|１"),
    ],
)
def test_what_is_no_number_is_refused(value: object, numbers: Numbers) -> None:
    with pytest.raises(BadValueError, match="expected a decimal string, found "):
        number(value, signed=True, numbers=numbers)


@pytest.mark.parametrize("text", ["-1", "-0", "-0.0", "-1e-5"])
def test_minus_sign_is_refused_where_nothing_is_negative(text: str) -> None:
    with pytest.raises(BadValueError, match=f"not negative, found '{text}'"):
        number(text, signed=False, numbers="float64")


@pytest.mark.parametrize(
    ("value", "found"), [(0, 0), (7, 7), (2**63 - 1, 2**63 - 1), ("0", 0), ("0007", 7), ("9" * 18, 10**18 - 1)]
)
def test_integer(value: object, found: int) -> None:
    assert integer(value) == found


@pytest.mark.parametrize(
    "value",
    [-1, 2**63, 1.0, True, False, None, [], "", "-1", "+1", "1.0", "1e3", " 1", "１", "9" * 19, "0" * 20, "0x1"],
)
def test_what_is_no_integer_is_refused(value: object) -> None:
    with pytest.raises(BadValueError, match=r"expected an integer from 0 to 2\^63 - 1, found "):
        integer(value)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2025-11-26T14:00:00Z", ns(2025, 11, 26, 14)),
        ("2025-11-26T14:00:00+00:00", ns(2025, 11, 26, 14)),
        ("2025-11-26T23:59:59.999999999Z", ns(2025, 11, 26, 23, 59, 59, nanoseconds=999_999_999)),
        ("2025-11-27T00:00:00.1Z", ns(2025, 11, 27, nanoseconds=100_000_000)),
        ("2025-11-27T00:00:00.000000001+00:00", ns(2025, 11, 27, nanoseconds=1)),
        ("2024-02-29T12:34:56Z", ns(2024, 2, 29, 12, 34, 56)),
        ("2000-02-29T00:00:00Z", NULL),
        ("2010-01-01T00:00:00Z", ns(2010, 1, 1)),
        ("2009-12-31T23:59:59.999999999Z", NULL),
        ("2099-12-31T23:59:59.999999999Z", ns(2099, 12, 31, 23, 59, 59, nanoseconds=999_999_999)),
        ("2100-01-01T00:00:00Z", NULL),
        ("1970-01-01T00:00:00Z", NULL),
        ("0001-01-01T00:00:00Z", NULL),
        ("9999-12-31T23:59:59Z", NULL),
    ],
)
def test_time(text: str, found: int) -> None:
    assert time_ns(text, nullable=True) == found
    if found != NULL:
        assert time_ns(text, nullable=False) == found
        return
    with pytest.raises(BadValueError, match=f"expected a time from 2010 to 2099, found '{text}'"):
        time_ns(text, nullable=False)


@pytest.mark.parametrize(
    "value",
    [
        1764165600,
        None,
        True,
        *words(
            "2025-11-26|2025-11-26T14:00Z|2025-11-26T14:00:00|2025-11-26 14:00:00Z|"
            "2025-11-26t14:00:00Z|2025-11-26T14:00:00z|2025-11-26T14:00:00.Z|"
            "2025-11-26T14:00:00.1234567890Z|2025-11-26T14:00:00-00:00|2025-11-26T14:00:00+01:00|"
            "2025-11-26T14:00:00+0000|2025-11-26T14:00:60Z|2025-11-26T14:60:00Z|2025-11-26T24:00:00Z|"
            "2025-02-29T00:00:00Z|2100-02-29T00:00:00Z|2025-13-01T00:00:00Z|2025-00-01T00:00:00Z|"
            "2025-01-00T00:00:00Z|2025-04-31T00:00:00Z|0000-01-01T00:00:00Z|2025-1-01T00:00:00Z| 2025-11-26T14:00:00Z|"
            "2025-11-26T14:00:00Z\n|２025-11-26T14:00:00Z|2025-11-26 14:00:00 +0000 UTC"
        ),
    ],
)
def test_what_is_no_time_is_refused(value: object) -> None:
    with pytest.raises(BadValueError, match="expected a UTC time with 0 to 9 fraction digits, found "):
        time_ns(value, nullable=True)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2025-11-26 14:00:00.167686736 +0000 UTC m=+12242.233881028", ns(2025, 11, 26, 14, nanoseconds=167_686_736)),
        ("2025-11-26 14:00:00 +0000 UTC m=-5", ns(2025, 11, 26, 14)),
        ("2025-11-26 14:00:00.5 +0000 UTC", ns(2025, 11, 26, 14, nanoseconds=500_000_000)),
        ("2025-11-26T14:00:00.5Z", ns(2025, 11, 26, 14, nanoseconds=500_000_000)),
        ("0001-01-01 00:00:00 +0000 UTC", NULL),
    ],
)
def test_time_in_gos_form(text: str, found: int) -> None:
    assert time_ns(text, nullable=True, go=True) == found


@pytest.mark.parametrize(
    "tail",
    ["", "Z", " UTC", " +0000", " +0000 UTC ", " +0000 UTC m=1", " +0000 UTC m=+", " +0000 UTC m=+1.", " +0100 CET"],
)
def test_what_is_no_time_in_gos_form_is_refused(tail: str) -> None:
    with pytest.raises(BadValueError, match="expected a UTC time"):
        time_ns("2025-11-26 14:00:00" + tail, nullable=True, go=True)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (1764165600, ns(2025, 11, 26, 14)),
        ("1764165600", ns(2025, 11, 26, 14)),
        (1262304000, ns(2010, 1, 1)),
        ("4102444799", ns(2099, 12, 31, 23, 59, 59)),
    ],
)
def test_epoch_seconds(value: object, found: int) -> None:
    assert epoch_seconds(value) == found


@pytest.mark.parametrize("value", [1262303999, 4102444800, "0", 2**63 - 1, "9223372036854775807"])
def test_implausible_epoch_seconds_are_refused(value: object) -> None:
    with pytest.raises(BadValueError, match="expected epoch seconds from 2010 to 2099, found "):
        epoch_seconds(value)


@pytest.mark.parametrize("value", ["BTC-USD", "btc/usd", "é", ".", "..", " ", "\x00", "X" * 200, "x" * 66, "é" * 33])
def test_product(value: str) -> None:
    assert product(value) == value


@pytest.mark.parametrize("value", ["", "X" * 201, "x" * 67, "é" * 34, "X" * 10_000_000, None, 1, []])
def test_what_is_no_product_is_refused(value: object) -> None:
    with pytest.raises(BadValueError, match="expected a product id of at most 200 bytes when percent-encoded, found "):
        product(value)


@pytest.mark.parametrize("value", [None, ""])
@pytest.mark.parametrize("kind", [kind for kind in Kind if kind != Kind.ANY])
def test_null_and_empty_are_one(kind: Kind, value: object) -> None:
    missing = NULL if kind in (Kind.TIME, Kind.GO_TIME) else None
    assert read_field(Field("x", kind, nullable=True, choices=("a",)), value, "float64") == missing
    with pytest.raises(BadValueError, match="expected a value, found " + ("nothing" if value is None else '""')):
        read_field(Field("x", kind, choices=("a",)), value, "float64")


def test_field_is_read_as_its_kind() -> None:
    words = Field("x", Kind.CHOICE, choices=("snapshot", "update"))
    assert [read_field(words, word, "float64") for word in words.choices] == [0, 1]
    with pytest.raises(BadValueError, match="expected snapshot or update, found 'Update'"):
        read_field(words, "Update", "float64")
    assert read_field(Field("x", Kind.TEXT), "é\x00", "float64") == "é\x00"
    with pytest.raises(BadValueError, match="expected a string, found 1"):
        read_field(Field("x", Kind.TEXT), 1, "float64")
    assert read_field(Field("x", Kind.ANY), ["not", "looked", "at"], "float64") is None
    assert read_field(Field("x", Kind.NUMBER), "1.5", "decimal") == Decimal("1.5")
    assert read_field(Field("x", Kind.EPOCH_SECONDS), "1764165600", "float64") == ns(2025, 11, 26, 14)


def test_message_shows_the_beginning_of_a_long_value() -> None:
    assert show("x" * 58) == "'" + "x" * 58 + "'"
    assert show("x" * 59) == "'" + "x" * 56 + "..."


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "0.00",
        "0e5",
        "999999999999999999",
        "1e17",
        "0.000000000000000001",
        "0.9999999999999999990",
        "1234567.89e-2",
    ],
)
def test_levels_are_integers_over_a_power_of_ten(text: str) -> None:
    assert exact_number(text) == Decimal(text)


@pytest.mark.parametrize(
    "text", ["1e18", "1000000000000000000", "1e-19", "1.0000000000000000001", "10.00000000000000001"]
)
def test_levels_that_no_book_could_hold(text: str) -> None:
    with pytest.raises(
        BadValueError, match=r"expected an integer below 10\^18 over a power of ten up to 10\^18, found"
    ):
        exact_number(text)
