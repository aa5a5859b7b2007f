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

from etl_ray.scan.numbers import to_numbers
from etl_ray.tables.schema import DECIMAL
from etl_ray.venues.rows import NULL

LARGEST = 10**18 - 1
Scanned = tuple[int, int | None]
"""Digits as an integer and how many of them are fractional; None for null."""


def columns(items: Sequence[Scanned]) -> tuple[np.ndarray, np.ndarray]:
    values = np.array([NULL if scale is None else value for value, scale in items], np.int64)
    return values, np.array([-1 if scale is None else scale for _, scale in items], np.int8)


def text(value: int, scale: int) -> str:
    """Return the decimal as a venue would write it."""
    digits = str(abs(value)).rjust(scale + 1, "0")
    whole, fraction = (digits[:-scale], digits[-scale:]) if scale else (digits, "")
    return f"{'-' if value < 0 else ''}{whole}{'.' if fraction else ''}{fraction}"


def check(items: Sequence[Scanned]) -> None:
    values, scales = columns(items)
    floats = to_numbers(values, scales, "float64")
    assert floats.type == pa.float64()
    expected = [None if scale is None else float(text(value, scale)) for value, scale in items]
    assert floats.is_null().to_pylist() == [value is None for value in expected]
    bits = np.array([0.0 if value is None else value for value in expected]).view(np.int64)
    assert floats.fill_null(0.0).to_numpy().view(np.int64).tolist() == bits.tolist()
    decimals = to_numbers(values, scales, "decimal")
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
    values, scales = columns([(0, 0), (0, 18)])
    assert np.signbit(to_numbers(values, scales, "float64").to_numpy()).tolist() == [False, False]
