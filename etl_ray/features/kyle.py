"""Kyle's lambda: the mid's change against signed volume, by least squares over a trailing window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from etl_ray.features.exact import Float64s, Int64s, Integers, plus, quotient, running_sums, times
from etl_ray.features.intervals import greatest_within
from etl_ray.features.market import NEVER, Market
from etl_ray.features.options import FeatureOptions


@dataclass(frozen=True)
class Fit:
    """Slope (quote per base squared) and R2, NaN where there is none; steps; and when all of it was known (ns)."""

    slope: Float64s
    r2: Float64s
    n: Int64s
    known: Int64s


@dataclass(frozen=True)
class _Steps:
    """Steps of all windows, by the edge at their end; sums up to each, in integers of the scales."""

    is_bad: Int64s
    n: Int64s
    sums: tuple[Integers, ...]
    trades_known: Int64s
    book_known: Int64s


def kyle_lambda(market: Market, ts_end: Int64s, options: FeatureOptions) -> Fit:
    """Return the fit over the window that ends at each of `ts_end` (ascending)."""
    slope, r2 = np.full(len(ts_end), np.nan), np.full(len(ts_end), np.nan)
    fit = Fit(slope, r2, np.zeros_like(ts_end), np.zeros_like(ts_end))
    offsets = ts_end % options.kyle_step_ns
    for offset in np.unique(offsets):  # windows whose steps have their edges in common
        mine = np.flatnonzero(offsets == offset)
        found = _fit(market, ts_end[mine], options)
        for whole, part in zip((fit.slope, fit.r2, fit.n, fit.known), found, strict=True):
            whole[mine] = part
    return fit


def _fit(market: Market, ts_end: Int64s, options: FeatureOptions) -> tuple[Float64s, Float64s, Int64s, Int64s]:
    step_ns, steps = options.kyle_step_ns, options.kyle_window_ns // options.kyle_step_ns
    edges, last = _edges(ts_end // step_ns, steps)
    all_steps = _steps(market, edges * step_ns + ts_end[0] % step_ns, options)
    first = last - steps
    n = all_steps.n[last] - all_steps.n[first]
    x, y, xx, xy, yy = (sums[last] - sums[first] for sums in all_steps.sums)
    variance_x = plus(times(xx, n), times(times(x, x), -1))
    variance_y = plus(times(yy, n), times(times(y, y), -1))
    covariance = plus(times(xy, n), times(times(x, y), -1))
    # An edge is bad, not a step: the window's first one counts too.
    is_bad = all_steps.is_bad[last + 1] - all_steps.is_bad[first] > 0
    null = is_bad | (n < options.kyle_min_n)
    # Twice the mid's change at the scale of prices, per volume at that of sizes.
    scale = (times(covariance, 10**market.size_scale), times(variance_x, 2 * 10**market.price_scale))
    slope = quotient(*scale)
    r2 = quotient(times(covariance, covariance), times(variance_x, variance_y))
    slope[null], r2[null] = np.nan, np.nan
    known = np.maximum(_greatest(all_steps.trades_known, steps), _greatest(all_steps.book_known, steps + 1))
    return slope, r2, n, known[last]


def _edges(last: Int64s, steps: int) -> tuple[Int64s, Int64s]:
    """Return the numbers of all edges of windows of `steps` that end at `last`, and where their ends are."""
    fresh = np.minimum(np.diff(last, prepend=last[0] - steps - 1), steps + 1)
    place = np.cumsum(fresh)
    edges = np.arange(place[-1]) - np.repeat(place, fresh) + 1 + np.repeat(last, fresh)
    return edges, place - 1


def _steps(market: Market, edges_ns: Int64s, options: FeatureOptions) -> _Steps:
    trades, books = market.trades, market.books
    looked = books.before(edges_ns)
    has_book = looked >= 0
    double_mid: Integers = np.zeros(len(edges_ns), np.int64)
    usable = np.zeros(len(edges_ns), np.bool_)
    if len(books.arrival):
        has_book &= edges_ns - books.ts_align[looked] <= options.kyle_window_ns
        usable = has_book & books.usable[looked]
        double_mid = np.where(usable, books.double_mid[looked], 0)
    is_step = np.zeros(len(edges_ns), np.bool_)
    is_step[1:] = usable[1:] & usable[:-1]
    rows = np.searchsorted(trades.ts_event, edges_ns)
    begin = np.append(rows[:1], rows[:-1])
    # Between windows that do not touch there is no step, but a pair of edges: no window takes it.
    signed = running_sums(times(trades.size, trades.sign))
    x = times(signed[rows] - signed[begin], is_step.astype(np.int64))
    change: Integers = np.diff(double_mid, prepend=double_mid[:1])
    y = times(change, is_step.astype(np.int64))
    products = (x, y, times(x, x), times(x, y), times(y, y))
    return _Steps(
        is_bad=np.append(0, np.cumsum(has_book & ~usable)),
        n=np.cumsum(is_step),
        sums=tuple(running_sums(one)[1:] for one in products),
        trades_known=greatest_within(trades.arrival, begin, rows),
        book_known=books.known(looked),
    )


def _greatest(values: Int64s, window: int) -> Int64s:
    return pl.Series(values).rolling_max(window).fill_null(NEVER).to_numpy()
