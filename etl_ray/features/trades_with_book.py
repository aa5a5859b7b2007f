"""Trades beside the book that each of them met."""

from __future__ import annotations

import numpy as np
import polars as pl

from etl_ray.features.exact import Int64s, quotient
from etl_ray.features.market import LEVEL_COLUMNS, Market, read_market
from etl_ray.features.options import DAY_NS, FeatureOptions
from etl_ray.features.orders import Orders, spreads, taker_orders

OLDEST_BOOK_NS = DAY_NS
"""A book that is older than this counts as none: what is told of a date depends on the dates beside it only."""


def trades_with_book(
    trades: pl.DataFrame, book: pl.DataFrame, options: FeatureOptions, *, first_ns: int, end_ns: int
) -> pl.DataFrame:
    """Return the table `trades_with_book` without `product_id`: a row for each trade of [first_ns, end_ns).

    `trades` are by (ts_event, trade_id), `book` is in order of arrival; times are Int64 ns. `CONTEXT` tells which rows
    have to be there. SchemaError if a column is missing or trades are not in order.
    """
    market = read_market(trades, book, admit_unverifiable=options.admit_unverifiable)
    orders = taker_orders(market, oldest_ns=OLDEST_BOOK_NS)
    ts_event = market.trades.ts_event
    low, high = np.searchsorted(ts_event, [first_ns, end_ns], side="left")
    rows = np.arange(low, max(low, high))
    of = orders.of_trade[rows]
    return pl.DataFrame(
        [
            utc_dates(ts_event[rows]),
            pl.Series("ts_event", ts_event[rows]),
            pl.Series("ts_available", np.maximum(market.trades.arrival[rows], orders.arrival[of])),
            *trades.select("trade_id", "price", "size", pl.col("taker_side").cast(pl.String))[low : max(low, high)],
            pl.Series("taker_order_id", market.trades.trade_id[orders.first[of]]),
            pl.Series("is_first_fill", orders.first[of] == rows),
            *_book_columns(book, orders.book[of]),
            *_measures(market, orders, rows, options),
        ]
    )


def utc_dates(times_ns: Int64s) -> pl.Series:
    """Return the column `date` of times: YYYY-MM-DD."""
    days = pl.Series("date", times_ns // DAY_NS, dtype=pl.Int64)
    return days.cast(pl.Int32).cast(pl.Date).cast(pl.String)


def _book_columns(book: pl.DataFrame, rows: Int64s) -> list[pl.Series]:
    columns = book.select(
        pl.col("ts_align").cast(pl.Int64).alias("book_ts_align"),
        pl.col("book_state").cast(pl.String),
        pl.col("crossed").alias("book_crossed"),
        *LEVEL_COLUMNS,
    )
    if not book.height:
        return columns.clear(len(rows)).get_columns()
    index = pl.Series(rows)
    return columns.select(pl.all().gather(index.set(index < 0, None))).get_columns()


def _measures(market: Market, orders: Orders, rows: Int64s, options: FeatureOptions) -> list[pl.Series]:
    mid, spread = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    of = orders.of_trade[rows]
    has_book = orders.book[of] >= 0
    if len(market.books.arrival):
        met = orders.book[of]
        double_mid = market.books.double_mid[met]
        usable = has_book & market.books.usable[met]
        mid[usable] = quotient(double_mid[usable], 2 * 10**market.price_scale)
        is_fresh = orders.usable(market, options.max_book_age_ns)[of]
        trades, fresh = market.trades, rows[is_fresh]
        spread[is_fresh] = spreads(trades.price[fresh], double_mid[is_fresh], trades.sign[fresh])
    return [
        pl.Series("mid", mid, nan_to_null=True),
        pl.select(book_age_ns=pl.when(pl.Series(has_book)).then(pl.Series(orders.age_ns[of]))).to_series(),
        pl.Series("effective_spread_bps", spread, nan_to_null=True),
    ]
