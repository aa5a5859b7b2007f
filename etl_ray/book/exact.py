"""Exact integers out of numbers as they are stored."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa

from etl_ray.book.numbers import MAX_SCALE
from etl_ray.book.updates import Bools, Float64s, Int64s

_EXACT_BELOW = 1e15  # of decimals with more digits several may have the same nearest float
_LIMIT = 2**63


def exact_integers(values: pa.Array, scale: int) -> tuple[Int64s, int]:
    """Return integers and their scale, which is the least from `scale` on: values are integers / 10**scale.

    Values are float64, taken for the shortest decimals that are nearest to them, or decimals. OverflowError if no scale
    up to 18 has integers of 64 bits for all of them.
    """
    if pa.types.is_decimal(values.type):
        return _of_decimals(values, scale)
    return _of_floats(values.to_numpy(zero_copy_only=False), scale)


def _of_decimals(values: pa.Array, scale: int) -> tuple[Int64s, int]:
    for finer in range(scale, MAX_SCALE + 1):
        try:
            scaled = values.cast(pa.decimal128(38, finer))
        except pa.ArrowInvalid:  # it has more decimals, or is too large
            continue
        data = np.frombuffer(scaled.buffers()[1], np.int64)
        words = data[2 * scaled.offset : 2 * (scaled.offset + len(scaled))].reshape(-1, 2)
        if not bool((words[:, 1] == words[:, 0] >> 63).all()):
            break
        return words[:, 0].copy(), finer
    raise _overflow()


def _of_floats(values: Float64s, scale: int) -> tuple[Int64s, int]:
    least = scale
    waiting = values
    for finer in range(scale, MAX_SCALE + 1):
        if not len(waiting):
            break
        least = finer
        waiting = waiting[~_is_exact(waiting, finer)]
    else:
        # Their integers are beyond what a float holds, whatever their scale: their decimals tell it.
        least = max(scale, _decimals(values[~_is_exact(values, scale)]))
    integers = np.rint(values * 10.0**least)
    large = ~_is_exact(values, least)
    integers[large] = 0
    found = integers.astype(np.int64)
    for k in np.flatnonzero(large):
        integer = int(Decimal(repr(float(values[k]))).scaleb(least))
        if not -_LIMIT <= integer < _LIMIT:
            raise _overflow()
        found[k] = integer
    return found, least


def _is_exact(values: Float64s, scale: int) -> Bools:
    """Tell which values are the floats nearest to integers / 10**scale of up to 15 digits."""
    integers = np.rint(values * 10.0**scale)
    exact: Bools = (np.abs(integers) < _EXACT_BELOW) & (integers / 10.0**scale == values)
    return exact


def _decimals(values: Float64s) -> int:
    exponents = (Decimal(repr(value)).normalize().as_tuple().exponent for value in np.unique(values).tolist())
    most = max((-exponent for exponent in exponents if isinstance(exponent, int)), default=0)
    if most > MAX_SCALE:
        raise _overflow()
    return most


def _overflow() -> OverflowError:
    return OverflowError(f"prices or quantities do not fit 64 bits as integers at one scale of up to {MAX_SCALE}")
