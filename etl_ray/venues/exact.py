"""Figures of two columns of numbers, rounded once: a difference of floats would be wrong in its last digits."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from etl_ray.tables.schema import DECIMAL
from etl_ray.venues.rows import Bools, Int64s, in_arrow

Float64s = npt.NDArray[np.float64]
Objects = npt.NDArray[np.object_]

_MAX_SCALE = 18
_EXACT_BELOW = 2.0**50
"""Below, the integer nearest to value x 10^scale is that of the shortest decimal that rounds to the value."""
_LARGEST = 2.0**53
_DECIMAL_END = 10**38


class Pair:
    """Two columns of equal length and type, float64 or decimal; a figure is null where either is.

    Floats are taken for the shortest decimals that round to them, and figures are correctly rounded. A figure of
    decimals is exact, and null where decimal128(38, 18) does not hold it.
    """

    def __init__(self, one: pa.Array, other: pa.Array) -> None:
        self._pair = _Decimals(one, other) if pa.types.is_decimal(one.type) else _Floats(one, other)

    def difference(self) -> pa.Array:
        """Return one - other, in the type of the columns."""
        return self._pair.difference()

    def mean(self) -> pa.Array:
        """Return (one + other) / 2, in the type of the columns."""
        return self._pair.mean()

    def difference_bps(self) -> pa.Array:
        """Return 10,000 (one - other) / mean as correctly rounded float64; null also where the mean is 0."""
        return self._pair.difference_bps()


class _Floats:
    """Pairs of float64 as integers / 10^scale, a scale for each pair; `slow` are those for which there is none."""

    def __init__(self, one: pa.Array, other: pa.Array) -> None:
        self._one, self._other = (column.to_numpy(zero_copy_only=False) for column in (one, other))
        self._null: Bools = np.isnan(self._one) | np.isnan(self._other)
        self._sum, self._difference = np.zeros(len(one)), np.zeros(len(one))
        self._power = np.ones(len(one))
        self._slow = self._scale(np.flatnonzero(~self._null))

    def _scale(self, waiting: Int64s) -> Int64s:
        """Find sums and differences as integers, and return the pairs that are beyond them."""
        if len(waiting):  # mostly one scale does for all
            waiting = self._at_scale(waiting, self._scale_of(int(waiting[0])))
        for scale in range(_MAX_SCALE + 1):
            if not len(waiting):
                break
            waiting = self._at_scale(waiting, scale)
        return waiting

    def _scale_of(self, index: int) -> int:
        """Return the scale of a pair, or 0."""
        numbers = [Decimal(repr(float(column[index]))) for column in (self._one, self._other)]
        exponent = min(int(number.as_tuple().exponent) for number in numbers)
        return -exponent if -_MAX_SCALE <= exponent <= 0 else 0

    def _at_scale(self, waiting: Int64s, scale: int) -> Int64s:
        """Do so for the pairs among `waiting` that a scale does for; return the others."""
        power = 10.0**scale
        one, other = self._one[waiting], self._other[waiting]
        with np.errstate(over="ignore", invalid="ignore"):
            first, second = np.rint(one * power), np.rint(other * power)
            exact = (np.maximum(first, second) < _EXACT_BELOW) & (first / power == one) & (second / power == other)
        if not exact.all():
            first, second = first[exact], second[exact]
        found = waiting[exact]
        self._sum[found], self._difference[found], self._power[found] = first + second, first - second, power
        rest: Int64s = waiting[~exact]
        return rest

    def difference(self) -> pa.Array:
        return self._filled(self._difference / self._power, self._slow, lambda one, other: one - other)

    def mean(self) -> pa.Array:
        return self._filled(self._sum / (2.0 * self._power), self._slow, lambda one, other: (one + other) / 2)

    def difference_bps(self) -> pa.Array:
        numerator = 20_000.0 * self._difference
        null = self._null | ((self._one == 0) & (self._other == 0))
        with np.errstate(invalid="ignore", divide="ignore"):
            found = numerator / self._sum
        slow = np.union1d(self._slow, np.flatnonzero(np.abs(numerator) >= _LARGEST))
        return self._filled(found, slow, lambda one, other: 20_000 * (one - other) / (one + other), null)

    def _filled(
        self,
        values: Float64s,
        slow: Int64s,
        figure: Callable[[Fraction, Fraction], Fraction],
        null: Bools | None = None,
    ) -> pa.Array:
        null = self._null if null is None else null
        for index in slow[~null[slow]].tolist():
            values[index] = float(figure(_decimal(self._one[index]), _decimal(self._other[index])))
        return in_arrow(values, null)


def _decimal(value: np.float64) -> Fraction:
    return Fraction(repr(float(value)))


class _Decimals:
    """Pairs of decimals as Python's integers at the scale of the columns."""

    def __init__(self, one: pa.Array, other: pa.Array) -> None:
        valid = (column.is_valid().to_numpy(zero_copy_only=False) for column in (one, other))
        self._null: Bools = ~np.logical_and(*valid)
        self._one, self._other = _unscaled(one), _unscaled(other)

    def difference(self) -> pa.Array:
        return _stored(self._one - self._other, self._null)

    def mean(self) -> pa.Array:
        both = self._one + self._other
        return _stored(both // 2, self._null | (both % 2 == 1).astype(np.bool_))

    def difference_bps(self) -> pa.Array:
        both = self._one + self._other
        null = self._null | (both == 0).astype(np.bool_)
        both[null] = 1
        # Python divides integers with correct rounding.
        return in_arrow((20_000 * (self._one - self._other) / both).astype(np.float64), null)


def _unscaled(column: pa.Array) -> Objects:
    words = np.frombuffer(column.buffers()[1], np.int64)[2 * column.offset : 2 * (column.offset + len(column))]
    low, high = words[::2].view(np.uint64).astype(np.object_), words[1::2].astype(np.object_)
    integers: Objects = high * 2**64 + low
    integers[~column.is_valid().to_numpy(zero_copy_only=False)] = 0
    return integers


def _stored(integers: Objects, null: Bools) -> pa.Array:
    """Return integers at the scale of decimal columns, null where they do not fit."""
    null = null | (abs(integers) >= _DECIMAL_END).astype(np.bool_)
    integers[null] = 0
    words = np.empty((len(integers), 2), np.uint64)
    words[:, 0] = (integers & (2**64 - 1)).astype(np.uint64)
    words[:, 1] = (integers >> 64).astype(np.int64).view(np.uint64)
    valid = pa.array(~null).buffers()[1]
    return pa.Array.from_buffers(DECIMAL, len(integers), [valid, pa.py_buffer(words)])
