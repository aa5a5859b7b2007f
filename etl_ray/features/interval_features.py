"""Features of intervals: flow of trades and of orders side by side, what trading cost, and how the price responded."""

from __future__ import annotations

import numpy as np
import polars as pl

from etl_ray.features.exact import Float64s, Int64s, exact_integers, quotient, running_sums, stored
from etl_ray.features.intervals import Intervals, arrivals, find_intervals, greatest_within
from etl_ray.features.kyle import kyle_lambda
from etl_ray.features.market import Market, read_market
from etl_ray.features.options import FeatureOptions
from etl_ray.features.orders import order_spreads, taker_orders
from etl_ray.features.trades_with_book import OLDEST_BOOK_NS, utc_dates
from etl_ray.features.vpin import vpin


def interval_features(
    trades: pl.DataFrame, book: pl.DataFrame, options: FeatureOptions, *, first_ns: int, end_ns: int
) -> pl.DataFrame:
    """Return the table `features` without `product_id`: a row for each interval that begins in [first_ns, end_ns).

    `trades` are by (ts_event, trade_id), `book` is in order of arrival; times are Int64 ns. `CONTEXT` tells which rows
    have to be there. SchemaError if a column is missing or trades are not in order.
    """
    market = read_market(trades, book, admit_unverifiable=options.admit_unverifiable)
    intervals = find_intervals(market, interval_ns=options.interval_ns, first_ns=first_ns, end_ns=end_ns)
    spreads, spreads_known = _spreads(market, intervals, options)
    slope = kyle_lambda(market, intervals.ts_end, options)
    toxicity = vpin(market, intervals.ts_end, options)
    known = np.maximum.reduce([arrivals(market, intervals), spreads_known, slope.known, toxicity.known])
    return pl.DataFrame(
        [
            utc_dates(intervals.ts_start),
            pl.Series("ts_start", intervals.ts_start),
            pl.Series("ts_end", intervals.ts_end),
            pl.Series("ts_available", known),
            *_flow(market, intervals, trades["size"].dtype),
            *spreads,
            *_order_flow(market, intervals, book),
            _nullable("kyle_lambda", slope.slope),
            _nullable("kyle_r2", slope.r2),
            pl.Series("kyle_n", slope.n),
            _nullable("vpin", toxicity.vpin),
            pl.Series("vpin_n", toxicity.n),
        ]
    )


def _flow(market: Market, intervals: Intervals, dtype: pl.DataType) -> list[pl.Series]:
    size, sign = market.trades.size, market.trades.sign
    low, high = intervals.trades_low, intervals.trades_high
    columns = [pl.Series("trades", high - low)]
    for name, factor in (
        ("volume", np.ones_like(sign)),
        ("buy_volume", (sign > 0).astype(np.int64)),
        ("sell_volume", (sign < 0).astype(np.int64)),
        ("signed_volume", sign),
    ):
        running = running_sums(size * factor)
        columns.append(stored(running[high] - running[low], market.size_scale, dtype).alias(name))
    return columns


def _spreads(market: Market, intervals: Intervals, options: FeatureOptions) -> tuple[list[pl.Series], Int64s]:
    """Return the columns of effective spreads, and when the orders and their books had arrived."""
    orders = taker_orders(market, oldest_ns=OLDEST_BOOK_NS)
    spread, notional = order_spreads(market, orders)
    ts_first = market.trades.ts_event[orders.first]
    low, high = np.searchsorted(ts_first, intervals.ts_start), np.searchsorted(ts_first, intervals.ts_end)
    has_spread = np.flatnonzero(orders.usable(market, options.max_book_age_ns) & ~np.isnan(spread))
    place = np.searchsorted(intervals.ts_end, ts_first[has_spread], side="right")
    inside = place < len(intervals)
    inside[inside] = intervals.ts_start[place[inside]] <= ts_first[has_spread[inside]]
    place, values, weights = place[inside], spread[has_spread[inside]], notional[has_spread[inside]]
    n = np.bincount(place, minlength=len(intervals))
    weight = np.bincount(place, weights, len(intervals))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        mean = np.bincount(place, weights * values, len(intervals)) / weight
    columns = [
        pl.Series("n_taker_orders", high - low),
        _nullable("effective_spread_bps_mean", mean),
        _nullable("effective_spread_bps_median", _medians(place, values, n)),
        pl.Series("effective_spread_n", n.astype(np.int64)),
    ]
    return columns, greatest_within(orders.arrival, low, high)


def _medians(place: Int64s, values: Float64s, n: Int64s) -> Float64s:
    """Return the median of the values at each place, of an even number the mean of the two in the middle."""
    values = values[np.lexsort((values, place))]
    begin = np.cumsum(n) - n
    medians = np.full(len(n), np.nan)
    some = n > 0
    lower, upper = (begin + (n - 1) // 2)[some], (begin + n // 2)[some]
    medians[some] = (values[lower] + values[upper]) / 2.0
    return medians


def _order_flow(market: Market, intervals: Intervals, book: pl.DataFrame) -> list[pl.Series]:
    low, high = intervals.books_low, intervals.books_high
    ofi = book["ofi"] if "ofi" in book.columns else pl.repeat(None, book.height, dtype=pl.Float64, eager=True)
    (integers,), scale = exact_integers([ofi])
    running, known, admitted = (
        running_sums(one) for one in (integers, ofi.is_not_null().to_numpy().astype(np.int64), _ints(market))
    )
    n = (known[high] - known[low]).astype(np.int64)
    total = quotient(running[high] - running[low], 10**scale)
    total[(n == 0) | ((admitted[high] - admitted[low]).astype(np.int64) < high - low)] = np.nan
    return [
        _nullable("ofi", total),
        pl.Series("ofi_n", n),
        pl.Series("ofi_missing", high - low - n),
        pl.Series("n_messages", high - low),
    ]


def _ints(market: Market) -> Int64s:
    return market.books.admitted.astype(np.int64)


def _nullable(name: str, values: Float64s) -> pl.Series:
    return pl.Series(name, values, nan_to_null=True)
