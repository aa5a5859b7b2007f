"""Roll's measure of the spread, from the prices of taker orders within bars."""

from __future__ import annotations

import math

import numpy as np

from etl_ray.bars.exact import FITS_BELOW, Float64s, Int64s, is_small
from etl_ray.bars.tape import Tape

_LEAST_PAIRS = 20


def roll_spreads(tape: Tape, edges: Int64s) -> Float64s:
    """Return 2 sqrt(-cov(dP_t, dP_t-1)) of each bar, NaN where there is none; the covariance is exact."""
    found = np.full(len(edges) - 1, np.nan)
    prices, orders = _orders(tape, edges)
    changes = np.diff(prices)
    if is_small(changes) and len(changes) * float(np.abs(changes).max(initial=0)) ** 2 >= FITS_BELOW:
        changes = changes.astype(np.object_)
    for k in np.flatnonzero(np.diff(orders) >= _LEAST_PAIRS + 2):
        own = changes[orders[k] : orders[k + 1] - 1]
        later, earlier = own[1:], own[:-1]
        n = len(later)
        scatter = n * int((later * earlier).sum()) - int(later.sum()) * int(earlier.sum())
        if scatter < 0:
            found[k] = 2 * math.sqrt(-scatter / (n * (n - 1) * 10 ** (2 * tape.price_scale)))
    return found


def _orders(tape: Tape, edges: Int64s) -> tuple[np.ndarray, Int64s]:
    """Return the last price of each taker order, and where each bar's orders begin among them; the end is last."""
    start, end = int(edges[0]), int(edges[-1])
    ts, side = tape.ts_event[start:end], tape.is_buy[start:end]
    is_last = np.ones(end - start, np.bool_)
    is_last[:-1] = (ts[1:] != ts[:-1]) | (side[1:] != side[:-1])
    is_last[edges[1:] - 1 - start] = True
    lasts = np.flatnonzero(is_last) + start
    return tape.price[lasts], np.searchsorted(lasts, edges)
