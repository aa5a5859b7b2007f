"""Exact integers out of stored numbers: sums of them depend on no order, and are rounded once.

Integers are arrays of int64, or of Python's own integers where 64 bits are not enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

Int64s: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]
Float64s: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64] | npt.NDArray[np.object_]

DECIMAL_SCALE = 18
"""Digits behind the point of stored decimals."""

_SHORT = 1e15  # a decimal of at most 15 digits is the only one of 15 digits that its nearest float stands for
_LIMIT = 2**63
_FLOAT_LIMIT = 2**53


def exact_integers(columns: Sequence[pl.Series]) -> tuple[list[Integers], int]:
    """Return integers of each column, and their one scale: values are integers / 10**scale; a null counts as 0.

    A float stands for the shortest decimal that is nearest to it.
    """
    found = [_of_decimals(column) if column.dtype.is_decimal() else _of_floats(column) for column in columns]
    scale = max((one for _, one in found), default=0)
    return [times(integers, 10 ** (scale - one)) for integers, one in found], scale


def exact_integer(value: Decimal) -> tuple[int, int]:
    """Return an integer and the least scale of which it is that value."""
    exponent = value.normalize().as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError(f"a number is {value}; expected a finite one")
    scale = max(0, -exponent)
    return int(value.scaleb(scale)), scale


def times(values: Integers, factor: Integers | int) -> Integers:
    """Return products, exactly."""
    bound = max(1, largest(values)) * (abs(factor) if isinstance(factor, int) else largest(factor))
    if bound < _LIMIT and (isinstance(factor, int) or factor.dtype == np.int64):
        return values * factor
    wide: Integers = values.astype(object) * (factor if isinstance(factor, int) else factor.astype(object))
    return wide


def plus(values: Integers, more: Integers) -> Integers:
    """Return sums of two, exactly."""
    if largest(values) + largest(more) < _LIMIT and values.dtype == more.dtype == np.int64:
        return values + more
    wide: Integers = values.astype(object) + more.astype(object)
    return wide


def running_sums(values: Integers) -> Integers:
    """Return the sum of the first k values for each k from 0 to all."""
    narrow = values.dtype == np.int64 and largest(values) * len(values) < _LIMIT
    sums: Integers = np.zeros(len(values) + 1, np.int64 if narrow else object)
    np.cumsum(values if narrow else values.astype(object), out=sums[1:])
    return sums


def distinct(values: Integers) -> Integers:
    """Return the different values, ascending."""
    ordered = values.copy()
    ordered.sort()
    found: Integers = ordered[np.append(True, np.asarray(np.diff(ordered) != 0, np.bool_))[: len(ordered)]]
    return found


def largest(values: Integers) -> int:
    """Return the greatest absolute value, 0 of none."""
    return max(abs(int(values.max())), abs(int(values.min()))) if len(values) else 0


def quotient(numerator: Integers, denominator: Integers | int) -> Float64s:
    """Return numerator / denominator, each correctly rounded: NaN where the denominator is 0."""
    below = np.broadcast_to(np.asarray(denominator), numerator.shape)
    floats = np.full(len(numerator), np.nan)
    left = np.asarray(below != 0, np.bool_)
    if numerator.dtype == below.dtype == np.int64:
        # Both operands are exact floats, so the division rounds correctly.
        short = left & (np.abs(numerator) < _FLOAT_LIMIT) & (np.abs(below) < _FLOAT_LIMIT)
        np.divide(numerator, below, out=floats, where=short)
        left &= ~short
    for k in np.flatnonzero(left):
        floats[k] = _divide(int(numerator[k]), int(below[k]))
    return floats


def whole_parts(values: Integers, divisor: int) -> Integers:
    """Return how many times a divisor above 0 goes into each of values that are not negative."""
    if divisor < _LIMIT:
        return values // divisor
    parts: Integers = values.astype(object) // divisor
    return parts


def stored(integers: Integers, scale: int, dtype: pl.DataType) -> pl.Series:
    """Return integers / 10**scale as numbers are stored: floats correctly rounded, or decimals of 18 digits."""
    if not dtype.is_decimal():
        return pl.Series(quotient(integers, 10**scale), dtype=pl.Float64)
    wide = times(integers, 10 ** (DECIMAL_SCALE - scale)).astype(object)
    words = np.empty((len(wide), 2), np.int64)
    words[:, 0] = (wide & (2**64 - 1)).astype(np.uint64).view(np.int64)
    words[:, 1] = wide >> 64
    kind = pa.decimal128(38, DECIMAL_SCALE)
    return pl.Series(pa.Array.from_buffers(kind, len(wide), [None, pa.py_buffer(words)]))


def _divide(numerator: int, denominator: int) -> float:
    try:
        return numerator / denominator
    except OverflowError:
        return float("inf") if (numerator < 0) == (denominator < 0) else float("-inf")


def _of_decimals(column: pl.Series) -> tuple[Integers, int]:
    values = column.fill_null(0).cast(pl.Decimal(38, DECIMAL_SCALE)).rechunk().to_arrow()
    for scale in range(DECIMAL_SCALE + 1):
        try:
            scaled = values.cast(pa.decimal128(38, scale))
        except pa.ArrowInvalid:  # it has more decimals
            continue
        words = np.frombuffer(scaled.buffers()[1] or b"", np.int64)
        words = words[2 * scaled.offset : 2 * (scaled.offset + len(scaled))].reshape(-1, 2)
        low, high = words[:, 0], words[:, 1]
        if bool((high == low >> 63).all()):
            return low.copy(), scale
        return high.astype(object) * 2**64 + low.astype(np.uint64).astype(object), scale
    raise AssertionError("a decimal of 18 digits behind the point has at most 18")


def _of_floats(column: pl.Series) -> tuple[Integers, int]:
    values = column.cast(pl.Float64).fill_null(0.0).to_numpy()
    waiting, scale = values, 0
    for finer in range(DECIMAL_SCALE + 1):
        waiting = waiting[~_is_short(waiting, finer)]
        scale = finer
        if not len(waiting):
            break
    else:
        scale = max((_decimals(value) for value in values[~_is_short(values, 0)].tolist()), default=0)
    if scale > DECIMAL_SCALE:
        return np.array([int(_decimal(value).scaleb(scale)) for value in values.tolist()], object), scale
    short = _is_short(values, scale)
    integers: Integers = np.rint(np.where(short, values, 0.0) * 10.0**scale).astype(np.int64)
    rest = [int(_decimal(value).scaleb(scale)) for value in values[~short].tolist()]
    if any(abs(one) >= _LIMIT for one in rest):
        integers = integers.astype(object)
    integers[~short] = rest
    return integers, scale


def _is_short(values: Float64s, scale: int) -> Bools:
    with np.errstate(over="ignore"):
        integers = np.rint(values * 10.0**scale)
    short: Bools = (np.abs(integers) < _SHORT) & (integers / 10.0**scale == values)
    return short


def _decimal(value: float) -> Decimal:
    return Decimal(repr(value))


def _decimals(value: float) -> int:
    return exact_integer(_decimal(value))[1]
