"""Scanned decimals as Arrow numbers: floats with null for NaN, or integers with scales as decimal128, exact."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from etl_ray.tables.schema import DECIMAL
from etl_ray.venues.rows import in_arrow

_TENS = np.array([10**k for k in range(19)], np.uint64)
_DECIMAL_SCALE = 18
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def to_floats(values: npt.NDArray[np.float64], *, nullable: bool) -> pa.Array:
    """Return values; null where NaN, which no number is, if that is allowed."""
    null = np.isnan(values) if nullable else None
    return in_arrow(values, null if null is not None and bool(null.any()) else None)


def to_decimals(values: npt.NDArray[np.int64], scales: npt.NDArray[np.int8]) -> pa.Array:
    """Return values[i] / 10**scales[i]; null where the scale is -1. Values have at most 18 digits, scales are <= 18.

    They are values * 10**(18 - scales) as 128-bit integers: 64 x 64 bit products made of 32-bit halves.
    """
    null = scales < 0
    any_null = bool(null.any())
    a = np.abs(values).astype(np.uint64)
    b = _TENS[_DECIMAL_SCALE - (np.maximum(scales, 0) if any_null else scales)]
    a_low, a_high, b_low, b_high = a & _LOW, a >> _HALF, b & _LOW, b >> _HALF
    low_low, low_high, high_low = a_low * b_low, a_low * b_high, a_high * b_low
    middle = (low_low >> _HALF) + (low_high & _LOW) + (high_low & _LOW)
    low = (low_low & _LOW) | (middle << _HALF)
    high = a_high * b_high + (low_high >> _HALF) + (high_low >> _HALF) + (middle >> _HALF)
    negative = values < 0
    if bool(negative.any()):  # two's complement over both words
        low = np.where(negative, ~low + np.uint64(1), low)
        high = np.where(negative, ~high + (low == 0), high)
    words = np.empty((len(values), 2), np.uint64)
    words[:, 0], words[:, 1] = low, high
    validity = pa.py_buffer(np.packbits(~null, bitorder="little")) if any_null else None
    return pa.Array.from_buffers(DECIMAL, len(values), [validity, pa.py_buffer(words)])
