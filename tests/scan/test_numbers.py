"""Scanned decimals become the numbers that Python reads in their text, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_ray.scan import LineParser, plan
from etl_ray.scan.numbers import to_decimals
from etl_ray.tables.schema import DECIMAL, Numbers
from tests.scan.outcome import COINBASE, parse
from tests.scan.wire import event, message, write

KEY = "price_percent_chg_24_h"
TYPES = {"float64": pa.float64(), "decimal": DECIMAL}
LARGEST = 10**18 - 1
Scanned = tuple[int, int | None]
"""Digits as an integer and how many of them are fractional; None for null."""


def text(value: int, scale: int) -> str:
    """Return the decimal as a venue would write it."""
    digits = str(abs(value)).rjust(scale + 1, "0")
    whole, fraction = (digits[:-scale], digits[-scale:]) if scale else (digits, "")
    return f"{'-' if value < 0 else ''}{whole}{'.' if fraction else ''}{fraction}"


def line(number: str | None) -> bytes:
    """Return a message of a ticker with the number in a place that allows any sign and null."""
    known = {"product_id": "X", "price": "1"}
    return write(message("ticker", event("update", tickers=[known if number is None else known | {KEY: number}])))


def scanned(items: Sequence[Scanned], numbers: Numbers) -> pa.Array:
    """Return the numbers as the parser reads them; only those of more than 18 digits are for the strict parser."""
    texts = [None if scale is None else text(value, scale) for value, scale in items]
    data = b"\n".join(map(line, texts))
    found = parse(LineParser(COINBASE, numbers, block_bytes=max(len(data), 1)), data)
    slow = sum(number is not None and len(number.strip("-").replace(".", "")) > 18 for number in texts)
    assert sum(parsed.slow_lines for parsed in found) == slow
    return pa.concat_arrays([parsed.rows["ticker"].arrow(KEY) for parsed in found] or [pa.array([], TYPES[numbers])])


def check(items: Sequence[Scanned]) -> None:
    floats = scanned(items, "float64")
    assert floats.type == pa.float64()
    expected = [None if scale is None else float(text(value, scale)) for value, scale in items]
    assert floats.is_null().to_pylist() == [value is None for value in expected]
    # An integer has no sign of zero.
    bits = np.array([0.0 if value is None else value + 0.0 for value in expected]).view(np.int64)
    assert floats.fill_null(0.0).to_numpy().view(np.int64).tolist() == bits.tolist()
    decimals = scanned(items, "decimal")
    decimals.validate(full=True)
    exact = [None if scale is None else Decimal(text(value, scale)) for value, scale in items]
    assert decimals.equals(pa.array(exact, DECIMAL))


def test_text() -> None:
    assert [text(5, 0), text(-5, 3), text(1234, 2), text(0, 1)] == ["5", "-0.005", "12.34", "0.0"]


def test_edges_at_every_scale() -> None:
    powers = [10**exponent for exponent in range(18)]
    halves = [2**exponent for exponent in range(1, 60)]
    nines = [10**exponent - 1 for exponent in range(1, 19)]
    words = [2**32, 2**32 - 1, 2**32 + 1, 0xFFFF_FFFF_0000_0001 >> 5, 3 << 31]
    edges = [near for edge in (*powers, *halves, *nines, *words) for near in (edge - 1, edge, edge + 1)]
    known = sorted({edge for edge in edges if edge <= LARGEST})
    check([(sign * edge, scale) for edge in known for scale in range(19) for sign in (1, -1)])


def test_ties_between_floats() -> None:
    """From 2^53 on odd integers lie half way between two floats; the same with a fraction, and just beside."""
    ties = [2**exponent + (2 * step + 1) * 2 ** (exponent - 53) for exponent in range(53, 60) for step in range(500)]
    items = [(tie + beside, scale) for tie in ties for beside in (-1, 0, 1) for scale in (0, 1, 9, 18)]
    check([(value, scale) for value, scale in items if value <= LARGEST])


def test_decimal_ties_between_floats() -> None:
    """A float's upper neighbour and itself, and their exact middle where 18 digits hold it."""
    random = Random(1)
    items: list[Scanned] = []
    while len(items) < 5000:
        scale = random.randrange(1, 7)
        middle = (2 * random.randrange(2**52, 2**53) + 1) * 5**scale  # times 2^-scale: needs 54 bits
        if middle <= LARGEST:
            items += [(middle, scale), (middle - 1, scale), (middle + 1, scale)]
    check(items)


def test_random_numbers_with_nulls() -> None:
    random = Random(2)
    items: list[Scanned] = []
    for _ in range(20_000):
        value = random.randrange(-(10 ** random.randrange(19)), 10 ** random.randrange(1, 19))
        items.append((value, random.choice((None, *range(19)))))
    check(items)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(-LARGEST, LARGEST), st.one_of(st.none(), st.integers(0, 18))), max_size=20))
def test_any_numbers(items: list[Scanned]) -> None:
    check(items)


@pytest.mark.parametrize("items", [[], [(0, None)], [(0, None)] * 9, [(7, 0)] * 8 + [(0, None)]])
def test_nulls_at_the_edges_of_a_bitmap(items: list[Scanned]) -> None:
    check(items)


def test_zero_is_positive() -> None:
    for number in ("0", "0.000", "-0", "-0.0"):
        (found,) = parse(LineParser(COINBASE, "float64", block_bytes=1000), line(number))
        assert found.slow_lines == 0
        assert found.rows["ticker"].arrow(KEY).to_numpy().view(np.int64).tolist() == [0]


def test_decimals_of_integers() -> None:
    """Directly, since the parser has no text of 18 digits behind the point that is not for the strict parser."""
    random = Random(3)
    items = [(random.randrange(-LARGEST, LARGEST + 1), scale) for scale in range(19) for _ in range(100)]
    items += [(sign * (10**digits - 1), 18) for digits in range(19) for sign in (1, -1)]
    values, scales = np.array([value for value, _ in items], np.int64), np.array([scale for _, scale in items], np.int8)
    assert to_decimals(values, scales).equals(pa.array([Decimal(text(*item)) for item in items], DECIMAL))


@pytest.mark.parametrize("count", [10, 11])
def test_more_numbers_to_round_than_there_is_room_for(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "MAX_LARGE", 10)
    numbers = [f"{2**53 + 1 + 2 * k}" for k in range(count)]
    data = b"\n".join([*map(line, numbers), line("1.5")])
    (found,) = parse(LineParser(COINBASE, "float64", block_bytes=len(data)), data)
    assert found.slow_lines == count - 10
    assert found.rows["ticker"].arrow(KEY).to_pylist() == [*map(float, numbers), 1.5]


def test_numbers_to_round_of_lines_that_are_not_taken() -> None:
    large, larger = f"{2**53 + 1}", f"{2**53 + 3}"
    data = b"\n".join([line(large)[:-1], line("1.5"), line(large)[:-1], line(larger)])
    (found,) = parse(LineParser(COINBASE, "float64", block_bytes=len(data)), data)
    assert found.rows["ticker"].arrow(KEY).to_pylist() == [1.5, float(larger)]
