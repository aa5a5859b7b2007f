"""Exact integers with a scale as floats and decimals."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa

from etl_ray.book.updates import Float64s, Int64s
from etl_ray.tables.schema import DECIMAL

MAX_SCALE = 18
_EXACT_BELOW = 2**53
_HAS_64_BIT_MANTISSA = np.finfo(np.longdouble).nmant == 63
HALF_BITS = np.int64(32)
LOW_HALF = np.int64(2**32 - 1)


def to_float64(values: Int64s, scale: int) -> Float64s:
    """Return values / 10**scale, each correctly rounded; scale is 0 to 18."""
    if not 0 <= scale <= MAX_SCALE:
        raise ValueError(f"scale is {scale}; expected 0 to {MAX_SCALE}")
    # Both operands are exact floats below 2**53 and 10**22, so one division rounds correctly.
    floats: Float64s = values / float(10**scale)
    large = (values >= _EXACT_BELOW) | (values <= -_EXACT_BELOW)
    if scale > 0 and bool(large.any()):
        floats[large] = _large_to_float64(values[large], scale)
    return floats


def _large_to_float64(values: Int64s, scale: int) -> Float64s:
    """Divide in 64 bits of mantissa, where the machine has them, and leave what that cannot decide to decimals."""
    wide = values.astype(np.longdouble) / np.longdouble(10**scale)
    floats = np.empty(len(values))
    floats[:] = wide
    # Rounded twice, a value goes astray only if the first time put it halfway between two floats.
    distance, gap = np.abs(wide - floats), np.spacing(np.abs(floats)).astype(np.longdouble)
    unsure = (distance == gap / 2) | (distance == gap / 4)
    for i in np.flatnonzero(unsure) if _HAS_64_BIT_MANTISSA else range(len(values)):
        floats[i] = float(f"{values[i]}e-{scale}")
    return floats


def sum_to_float64(high: Int64s, low: Int64s) -> Float64s:
    """Return high * 2**32 + low, correctly rounded if both are below 2**53: one addition of two exact floats."""
    total: Float64s = np.multiply(high, 2.0**32)
    total += low
    return total


def to_decimals(values: Int64s, scale: int) -> pa.Array:
    """Return values / 10**scale as decimal128(38, 18), exactly."""
    words = np.empty((len(values), 2), np.int64)
    words[:, 0], words[:, 1] = values, values >> 63
    unscaled = pa.Array.from_buffers(pa.decimal128(38, scale), len(values), [None, pa.py_buffer(words)])
    return unscaled.cast(DECIMAL)


def to_integer(value: Decimal, scale: int) -> int:
    """Return value * 10**scale; raises ValueError if that is no integer."""
    numerator, denominator = value.as_integer_ratio()
    integer: int = numerator * 10**scale // denominator
    if integer * denominator != numerator * 10**scale:
        raise ValueError(f"{value} has more than {scale} decimals")
    return integer
