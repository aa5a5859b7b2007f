"""Realized variance and bipower variation of time bars."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from etl_ray.bars.cuts import Cuts
from etl_ray.bars.exact import Bools, Float64s, Int64s, ratios
from etl_ray.bars.tape import Tape

_LEAST_RETURNS = 10


@dataclass(frozen=True)
class Variation:
    """By bar: both variations, NaN where there is none, and the number of returns, 0 where there are none."""

    realized: Float64s
    bipower: Float64s
    n: Int64s


def variations(tape: Tape, cuts: Cuts, *, length_ns: int, step_ns: int) -> Variation:
    """Return the variations of time bars that have trades."""
    if length_ns % step_ns or not len(cuts):
        return no_variation(len(cuts))
    n = length_ns // step_ns
    start, end = int(cuts.edges[0]), int(cuts.edges[-1])
    step = tape.ts_event[start : end + 1] // step_ns  # the last one is that of the trade behind all bars
    lasts = np.flatnonzero(step[1:] != step[:-1])
    step = step[lasts]
    # Steps without trades have no return here: they would add 0.
    previous = np.append(start - 1, lasts[:-1] + start)
    returns = log_ratios(tape, lasts + start, np.maximum(previous, 0))
    bar = np.repeat(np.arange(len(cuts)), np.diff(np.searchsorted(lasts + start, cuts.edges)))
    follows = (step[1:] == step[:-1] + 1) & (bar[1:] == bar[:-1])
    with np.errstate(invalid="ignore"):  # of infinities, where a price is 0
        products = np.abs(returns[1:]) * np.abs(returns[:-1])
    # `bincount` adds one after the other, so that a sum does not depend on what else is summed.
    realized = np.bincount(bar, returns * returns, len(cuts)).astype(np.float64)
    bipower = np.bincount(bar[1:][follows], products[follows], len(cuts)).astype(np.float64)
    return _judged(realized, bipower, n, cuts.is_complete & np.isfinite(realized))


def still(is_known: Bools, *, length_ns: int, step_ns: int) -> Variation:
    """Return the variations of bars in which the price does not move."""
    if length_ns % step_ns:
        return no_variation(len(is_known))
    return _judged(np.zeros(len(is_known)), np.zeros(len(is_known)), length_ns // step_ns, is_known)


def no_variation(count: int) -> Variation:
    """Return the variations of `count` bars that have none."""
    nothing = np.full(count, np.nan)
    return Variation(nothing, nothing, np.zeros(count, np.int64))


def _judged(realized: Float64s, bipower: Float64s, n: int, is_known: Bools) -> Variation:
    told = is_known & (n >= _LEAST_RETURNS)
    factor = math.pi / 2 * n / (n - 1) if n > 1 else math.nan
    return Variation(
        realized=np.where(told, realized, np.nan),
        bipower=np.where(told, factor * bipower, np.nan),
        n=np.where(is_known, n, 0),
    )


def log_ratios(tape: Tape, later: Int64s, earlier: Int64s) -> Float64s:
    """Return ln(price / price) of trades at two lists of places; not finite where a price is 0."""
    price, previous = tape.price[later], tape.price[earlier]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        apart: Float64s = np.log(tape.prices(later)) - np.log(tape.prices(earlier))
        # The difference of near prices is exact as integers: as floats it would lose most of its digits.
        change = ratios(price - previous, previous)
        found: Float64s = np.where(np.abs(change) <= 0.5, np.log1p(change), apart)
    return found
