"""Exact arithmetic on decimals as integers with a scale: values = integers / 10**scale.

Integers are arrays of int64 wherever these suffice, else of Python ints (dtype object): the same results, slowly.
"""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from etl_ray.errors import SchemaError
from etl_ray.tables.schema import DECIMAL

Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64] | npt.NDArray[np.object_]

UNIQUE_BELOW = 10**15
"""Of decimals with more digits several may have the same nearest float."""
FITS_BELOW = 2.0**62
"""Sums that are about as large as this at most fit int64, however inexactly they were estimated."""
_EXACT_BELOW = 2**53
_EXACT_POWER = 22
_MAX_SCALE = 18
_BLOCK = 16_384
_SAMPLES = 512
_HALF = 25


def is_small(values: Integers) -> bool:
    """Return whether the integers are int64."""
    return values.dtype != np.object_


def integers_of(values: pl.Series) -> tuple[Integers, int]:
    """Return numbers as integers and their scale; floats stand for the shortest decimals that are nearest to them."""
    if values.dtype.is_decimal():
        return _of_decimals(values)
    found = _of_floats(values.to_numpy())
    if found is not None:
        return found
    decimals = [Decimal(repr(value)) for value in values.to_list()]
    exponents = [value.as_tuple().exponent for value in decimals]
    scale = max((-exponent for exponent in exponents if isinstance(exponent, int) and exponent < 0), default=0)
    ratios = (value.as_integer_ratio() for value in decimals)
    integers = np.empty(len(decimals), np.object_)
    integers[:] = [numerator * 10**scale // denominator for numerator, denominator in ratios]
    return integers, scale


def _of_floats(values: Float64s) -> tuple[Int64s, int] | None:
    sample = values[:: max(1, len(values) // _SAMPLES)]
    for scale in range(_MAX_SCALE + 1):
        if _scaled(sample, scale) is not None:
            found = _scaled(values, scale)
            if found is not None:
                return found, scale
    return None


def _scaled(values: Float64s, scale: int) -> Int64s | None:
    """Return values * 10**scale if these are integers of up to 15 digits."""
    power = 10.0**scale
    found = np.empty(len(values), np.int64)
    for at in range(0, len(values), _BLOCK):  # blocks stay in the cache, and what does not fit shows early
        block = values[at : at + _BLOCK]
        integers = np.rint(block * power)
        if not ((integers / power == block) & (integers < UNIQUE_BELOW)).all():
            return None
        found[at : at + _BLOCK] = integers
    return found


def _of_decimals(values: pl.Series) -> tuple[Integers, int]:
    decimals = values.cast(pl.Decimal(38, _MAX_SCALE)).to_arrow()
    words = np.frombuffer(decimals.buffers()[1], np.uint64)[2 * decimals.offset :][: 2 * len(decimals)].reshape(-1, 2)
    low, high = words[:, 0], words[:, 1]
    found = _of_floats(values.cast(pl.Float64).to_numpy())
    if found is not None:
        # Floats of up to 15 digits are off by less than 2**64 / 10**18, so low words tell them from all others.
        integers, scale = found
        if bool((integers.astype(np.uint64) * np.uint64(10 ** (_MAX_SCALE - scale)) == low).all()):
            return found
    whole: Integers = high.astype(np.object_) * 2**64 + low.astype(np.object_)
    return whole, _MAX_SCALE


def sums(values: Integers, starts: Int64s) -> Integers:
    """Return the sum of each group; groups begin at `starts`, the last one ends with the values."""
    if is_small(values) and values.sum(dtype=np.float64) >= FITS_BELOW:
        values = values.astype(np.object_)
    found: Integers = np.add.reduceat(values, starts)
    return found


def product_sums(left: Integers, right: Integers, starts: Int64s, *, most: tuple[Integers, Integers]) -> Integers:
    """Return the sum of left * right of each group; `most` are the greatest of left and the sums of right."""
    if not (is_small(left) and is_small(right)):
        found: Integers = np.add.reduceat(left.astype(np.object_) * right, starts)
        return found
    # Modulo 2**64, so right wherever the sum fits.
    wrapped: Integers = np.add.reduceat(left * right, starts)
    large = np.flatnonzero(most[0].astype(np.float64) * most[1].astype(np.float64) >= FITS_BELOW)
    if len(large):
        ends = np.append(starts[1:], len(left))
        wrapped = wrapped.astype(np.object_)
        for k in large:
            group = slice(starts[k], ends[k])
            wrapped[k] = _wide_product_sum(left[group], right[group])
    return wrapped


def _wide_product_sum(left: Integers, right: Integers) -> int:
    """Multiply in halves of 25 bits, which is enough for 15 digits, and add the halves of the products."""
    low = (1 << _HALF) - 1
    total = 0
    for left_part, left_shift in ((left & low, 0), (left >> _HALF, _HALF)):
        for right_part, right_shift in ((right & low, 0), (right >> _HALF, _HALF)):
            product = left_part * right_part
            total += ((int((product >> _HALF).sum()) << _HALF) + int((product & low).sum())) << left_shift + right_shift
    return total


def times(values: Integers, factor: int) -> Integers:
    """Return values * factor."""
    if is_small(values) and float(np.abs(values).max(initial=0)) * factor < FITS_BELOW:
        return values * factor
    found: Integers = values.astype(np.object_) * factor
    return found


def ratios(numerators: Integers, denominators: Integers) -> Float64s:
    """Return numerators / denominators, each correctly rounded; not finite where the denominator is 0."""
    if is_small(numerators) and is_small(denominators):
        with np.errstate(divide="ignore", invalid="ignore"):
            found: Float64s = numerators / denominators  # of integers below 2**53: one rounding
        wide = (np.abs(numerators) >= _EXACT_BELOW) | (denominators >= _EXACT_BELOW)
    else:
        found, wide = np.empty(len(numerators)), np.ones(len(numerators), np.bool_)
    for k in np.flatnonzero(wide):
        found[k] = _ratio(int(numerators[k]), int(denominators[k]))
    return found


def floats(values: Integers, scale: int) -> Float64s:
    """Return values / 10**scale, each correctly rounded."""
    if is_small(values) and scale <= _EXACT_POWER:
        found: Float64s = values / 10.0**scale
        wide = np.abs(values) >= _EXACT_BELOW
    else:
        found, wide = np.empty(len(values)), np.ones(len(values), np.bool_)
    for k in np.flatnonzero(wide):
        found[k] = _ratio(int(values[k]), 10**scale)
    return found


def _ratio(numerator: int, denominator: int) -> float:
    if denominator == 0:
        return math.nan
    try:
        return numerator / denominator  # Python rounds the quotient of integers correctly
    except OverflowError:
        return math.copysign(math.inf, numerator)


def numbers(name: str, values: Integers, scale: int, *, decimal: bool) -> pl.Series:
    """Return values / 10**scale as floats, or as Decimal(38, 18); SchemaError if they do not fit that."""
    if not decimal:
        return pl.Series(name, floats(values, scale))
    try:
        if is_small(values):
            integers = pa.array(values).cast(pa.decimal128(38, 0))
            exact = pa.Array.from_buffers(pa.decimal128(38, scale), len(values), integers.buffers()).cast(DECIMAL)
        else:
            exact = pa.array([Decimal(f"{value}E-{scale}") for value in values], DECIMAL)
    except pa.ArrowInvalid as error:
        raise SchemaError(f"table 'bars': column {name!r}: expected {DECIMAL}, found larger values: {error}") from None
    return pl.Series(name, exact)
