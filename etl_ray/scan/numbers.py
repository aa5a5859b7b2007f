"""Scanned decimals, that is integers with a scale, as Arrow numbers: float64 correctly rounded, or decimal128 exact."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from etl_ray.tables.schema import DECIMAL, Numbers

_TENS_FLOAT = np.array([float(10**k) for k in range(19)])
_TENS = np.array([10**k for k in range(19)], np.uint64)
_EXACT_BELOW = 2**53
_DECIMAL_SCALE = 18
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def to_numbers(values: npt.NDArray[np.int64], scales: npt.NDArray[np.int8], numbers: Numbers) -> pa.Array:
    """Return values[i] / 10**scales[i]; null where the scale is -1. Values have at most 18 digits, scales are <= 18."""
    null = scales < 0
    mask = null if bool(null.any()) else None
    scales = np.maximum(scales, 0) if mask is not None else scales
    if numbers == "decimal":
        return _decimals(values, scales, mask)
    # Both operands are exact floats below 2**53 and 10**22, so one division rounds correctly.
    floats = values / _TENS_FLOAT[scales]
    large = np.flatnonzero(np.abs(values) >= _EXACT_BELOW)
    for i in large:  # rare: more than 15 digits
        floats[i] = float(f"{values[i]}e-{scales[i]}")
    return pa.array(floats, mask=mask)


def _decimals(
    values: npt.NDArray[np.int64], scales: npt.NDArray[np.int8], mask: npt.NDArray[np.bool_] | None
) -> pa.Array:
    """Return values * 10**(18 - scales) as 128-bit integers: 64 x 64 bit products made of 32-bit halves."""
    a = np.abs(values).astype(np.uint64)
    b = _TENS[_DECIMAL_SCALE - scales]
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
    validity = None
    if mask is not None:
        validity = pa.py_buffer(np.packbits(~mask, bitorder="little"))
    return pa.Array.from_buffers(DECIMAL, len(values), [validity, pa.py_buffer(words)])
