"""Taker orders: the fills of one are inferred from trades that follow each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from etl_ray.features.exact import Bools, Float64s, Int64s, Integers, plus, quotient, running_sums, times
from etl_ray.features.market import NEVER, Market

BPS = 10_000


@dataclass(frozen=True)
class Orders:
    """Taker orders by time: `first` and `end` are the rows of trades that are its fills, `arrival` when it was seen.

    `book` is the row of the book in front of the first fill, -1 if there is none; `age_ns` how old that was.
    """

    of_trade: Int64s
    first: Int64s
    end: Int64s
    arrival: Int64s
    book: Int64s
    age_ns: Int64s

    def usable(self, market: Market, max_age_ns: int) -> Bools:
        """Tell which orders have a book in front of them that spreads may be measured against."""
        if not len(market.books.arrival):
            return np.zeros(len(self.first), np.bool_)
        usable: Bools = (self.book >= 0) & market.books.usable[self.book] & (self.age_ns <= max_age_ns)
        return usable


def taker_orders(market: Market, *, oldest_ns: int) -> Orders:
    """Return the taker orders of trades; a book that is older than `oldest_ns` counts as none."""
    trades, books = market.trades, market.books
    begins = np.ones(len(trades.ts_event), np.bool_)
    same_time = np.diff(trades.ts_event) == 0
    begins[1:] = ~(same_time & (np.diff(trades.sign) == 0))
    first = np.flatnonzero(begins)
    end = np.append(first[1:], len(begins))[: len(first)]
    book = books.before_within(trades.ts_event[first], oldest_ns)
    age_ns = trades.ts_event[first] - books.ts_align[book] if len(books.ts_align) else np.zeros(len(first), np.int64)
    # Without the trade in front of it, of the same time and the other side, the order might have begun earlier.
    divider = np.full(len(first), NEVER)
    divided = np.flatnonzero(same_time[first[1:] - 1]) + 1
    divider[divided] = trades.arrival[first[divided] - 1]
    arrival = np.maximum(np.maximum(trades.arrival[first], divider), books.known(book))
    return Orders(np.cumsum(begins) - 1, first, end, arrival, book, age_ns)


def order_spreads(market: Market, orders: Orders) -> tuple[Float64s, Float64s]:
    """Return 2e4 D (P - M) / M in bps and the notional of each order, P its average price; NaN where there is none.

    P - M is an exact difference; the order's book is taken as it is.
    """
    trades, books = market.trades, market.books
    notional = _sums(times(trades.price, trades.size), orders)
    if not len(books.arrival):
        return np.full(len(orders.first), np.nan), quotient(notional, 1)
    double_mid = books.double_mid[orders.book]
    reference = times(double_mid, _sums(trades.size, orders))
    spread = quotient(_distance(times(notional, 2), reference, trades.sign[orders.first]), reference)
    return spread, quotient(notional, 10 ** (market.price_scale + market.size_scale))


def spreads(price: Integers, double_mid: Integers, sign: Int64s) -> Float64s:
    """Return 2e4 D (P - M) / M in bps; NaN where the mid is 0."""
    return quotient(_distance(times(price, 2), double_mid, sign), double_mid)


def _distance(double_price: Integers, double_mid: Integers, sign: Int64s) -> Integers:
    return times(times(plus(double_price, times(double_mid, -1)), sign), 2 * BPS)


def _sums(values: Integers, orders: Orders) -> Integers:
    running = running_sums(values)
    sums: Integers = running[orders.end] - running[orders.first]
    return sums
