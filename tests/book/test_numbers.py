"""Integers with a scale as floats and decimals."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from etl_ray.book import to_float64
from etl_ray.book.numbers import to_decimals, to_integer

int64s = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**54), 2**54),
    st.integers(0, 62).flatmap(lambda power: st.integers(2**power - 2, 2**power + 2)),
)


@given(st.lists(int64s, max_size=20), st.integers(0, 18))
@example([2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)], 0)
@example([9007199254740993 * 1000], 3)  # halfway between two floats
@example([9007199254740993 * 512 + 1], 1)
def test_floats_are_correctly_rounded(values: list[int], scale: int) -> None:
    floats = to_float64(np.array(values, np.int64), scale)
    assert floats.dtype == np.float64
    assert floats.tolist() == [float(Fraction(value, 10**scale)) for value in values]


def test_floats_are_correctly_rounded_in_the_thousands() -> None:
    random = np.random.default_rng(1)
    for scale in range(19):
        values = random.integers(2**53, 2**63 - 1, 3_000)
        assert to_float64(values, scale).tolist() == [float(f"{value}e-{scale}") for value in values.tolist()]


@pytest.mark.parametrize("scale", [-1, 19])
def test_scales_have_bounds(scale: int) -> None:
    with pytest.raises(ValueError, match=f"scale is {scale}; expected 0 to 18"):
        to_float64(np.array([1]), scale)


@given(st.lists(int64s, max_size=20), st.integers(0, 18))
def test_decimals_are_exact(values: list[int], scale: int) -> None:
    decimals = to_decimals(np.array(values, np.int64), scale).to_pylist()
    assert [Fraction(value) for value in decimals] == [Fraction(value, 10**scale) for value in values]


def test_decimals_become_integers_or_are_refused() -> None:
    assert to_integer(Decimal("12.340"), 2) == 1234
    with pytest.raises(ValueError, match=r"12\.345 has more than 2 decimals"):
        to_integer(Decimal("12.345"), 2)
