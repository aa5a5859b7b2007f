"""Sums of stored numbers are exact, however large, small or many they are."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from etl_ray.features.exact import (
    DECIMAL_SCALE,
    exact_integer,
    exact_integers,
    plus,
    quotient,
    running_sums,
    stored,
    times,
)

FLOATS = st.one_of(
    st.floats(0, 1e6, width=32),
    st.floats(1, 1e4),
    st.decimals(0, 10**12, places=4).map(float),
    st.decimals(-(10**6), 10**6, places=8).map(float),
    st.decimals(0, 10**17, places=2).map(float),
    st.sampled_from([0.1, 1e15, 9007199254740993.0, 1e-18, 123456789012345.67, 5e-324, 1e300, -0.0]),
)
INTEGERS = st.one_of(
    st.integers(-10, 10), st.integers(2**53, 2**57), st.integers(-(2**63) + 1, 2**63 - 1), st.integers(-(2**90), 2**90)
)


def as_array(values: list[int]) -> np.ndarray:
    return np.array(values, np.int64 if all(abs(one) < 2**63 for one in values) else object)


@settings(deadline=None)
@given(st.lists(FLOATS), st.lists(FLOATS))
@example([1e-8, 1e7], [])
@example([0.1, 1e17], [5e-324])
@example([72377939.1871346, 1e-8], [])  # 16 digits at one scale: times 10**8 it is rounded to another integer
def test_floats_are_the_shortest_decimals(values: list[float], more: list[float]) -> None:
    columns = [pl.Series(one, dtype=pl.Float64) for one in (values, more)]
    found, scale = exact_integers(columns)
    for integers, numbers in zip(found, (values, more), strict=True):
        assert [Fraction(int(one), 10**scale) for one in integers] == [Fraction(repr(one)) for one in numbers]


@settings(deadline=None)
@given(st.lists(st.integers(-(10**37), 10**37)), st.integers(0, 18))
def test_decimals_are_themselves(values: list[int], places: int) -> None:
    shorter = [Decimal(f"{value // 10 ** (18 - places)}e-{places}") for value in values]
    (found,), scale = exact_integers([pl.Series(shorter, dtype=pl.Decimal(38, 18))])
    assert [Fraction(int(one), 10**scale) for one in found] == [Fraction(value) for value in shorter]
    assert scale <= places


def test_scale_is_one_for_all_columns_and_nulls_are_zero() -> None:
    price, size = pl.Series([1.5, None]), pl.Series([0.001, 2.0])
    found, scale = exact_integers([price, size])
    assert ([one.tolist() for one in found], scale) == ([[1500, 0], [1, 2000]], 3)
    assert [one.dtype for one in found] == [np.int64, np.int64]


@settings(deadline=None)
@given(st.lists(st.tuples(INTEGERS, INTEGERS)), st.integers(-(2**40), 2**40))
def test_arithmetic_does_not_overflow(pairs: list[tuple[int, int]], factor: int) -> None:
    one, other = as_array([x for x, _ in pairs]), as_array([y for _, y in pairs])
    assert times(one, other).tolist() == [x * y for x, y in pairs]
    assert times(one, factor).tolist() == [x * factor for x, _ in pairs]
    assert plus(one, other).tolist() == [x + y for x, y in pairs]
    assert running_sums(one).tolist() == [sum(x for x, _ in pairs[:k]) for k in range(len(pairs) + 1)]
    expected = [float("nan") if y == 0 else x / y for x, y in pairs]
    assert np.array_equal(quotient(one, other), np.array(expected), equal_nan=True)


def test_quotient_of_what_is_no_float() -> None:
    assert quotient(np.array([2**53 + 1]), 3).tolist() == [3002399751580331.0]


def test_quotient_that_no_float_holds() -> None:
    assert quotient(np.array([10**400, -(10**400), 1], object), np.array([1, 1, 10**400], object)).tolist() == [
        float("inf"),
        float("-inf"),
        0.0,
    ]


@settings(deadline=None)
@given(st.lists(st.integers(-(10**20), 10**20)), st.integers(0, 18))
def test_stored_numbers(values: list[int], scale: int) -> None:
    floats = stored(as_array(values), scale, pl.Float64())
    assert floats.to_list() == [value / 10**scale for value in values]
    decimals = stored(as_array(values), scale, pl.Decimal(38, DECIMAL_SCALE))
    assert decimals.dtype == pl.Decimal(38, DECIMAL_SCALE)
    assert [Fraction(one) for one in decimals] == [Fraction(value, 10**scale) for value in values]


@pytest.mark.parametrize(
    ("text", "expected"), [("0.75", (75, 2)), ("20", (20, 0)), ("1E+3", (1000, 0)), ("2.50", (25, 1))]
)
def test_integer_of_a_decimal(text: str, expected: tuple[int, int]) -> None:
    assert exact_integer(Decimal(text)) == expected


def test_what_is_no_number() -> None:
    with pytest.raises(ValueError, match="a number is NaN; expected a finite one"):
        exact_integers([pl.Series([float("nan")])])
