"""Trades and books of one product as arrays of exact integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from etl_ray.errors import SchemaError
from etl_ray.features.exact import Bools, Int64s, Integers, exact_integers, plus

TRADE_COLUMNS = ("trade_id", "ts_event", "ts_available", "price", "size", "taker_side")
LEVEL_COLUMNS = ("bid_price_0", "bid_size_0", "ask_price_0", "ask_size_0")
BOOK_COLUMNS = ("ts_align", "ts_available", "book_state", "crossed", *LEVEL_COLUMNS)
NEVER = np.iinfo(np.int64).min
"""The arrival of nothing."""


@dataclass(frozen=True)
class Trades:
    """Trades by (`ts_event`, `trade_id`); `sign` is 1 where the taker bought, else -1. Times in ns."""

    trade_id: Int64s
    ts_event: Int64s
    arrival: Int64s
    sign: Int64s
    price: Integers
    size: Integers


@dataclass(frozen=True)
class Books:
    """Books after each message, in order of arrival. Times in ns.

    `clock` is the greatest `ts_align` so far, `least_left` the least from a row on. `admitted` says that the state is
    good enough, `usable` that the book also has a mid, and is not crossed. `double_mid` is bid + ask.
    """

    ts_align: Int64s
    arrival: Int64s
    clock: Int64s
    least_left: Int64s
    admitted: Bools
    usable: Bools
    double_mid: Integers

    def before(self, times_ns: Int64s) -> Int64s:
        """Return the last row in order of arrival with a `ts_align` below each time; -1 if there is none."""
        return np.searchsorted(self.least_left, times_ns, side="left") - 1

    def before_within(self, times_ns: Int64s, oldest_ns: int) -> Int64s:
        """Return the same among the rows that are at most `oldest_ns` old at each time."""
        rows = self.before(times_ns)
        if not len(self.ts_align):
            return rows
        stale = np.flatnonzero((rows >= 0) & (times_ns - self.ts_align[rows] > oldest_ns))
        # The clock has stepped back, or there was no book for long: rarely there is one behind the stale row.
        order = np.argsort(self.ts_align, kind="stable")
        lows, highs = np.searchsorted(self.ts_align[order], [times_ns[stale] - oldest_ns, times_ns[stale]])
        for k, low, high in zip(stale.tolist(), lows.tolist(), highs.tolist(), strict=True):
            rows[k] = order[low:high].max() if low < high else -1
        return rows

    def known(self, rows: Int64s) -> Int64s:
        """Return when each row had arrived; `NEVER` for row -1."""
        return np.where(rows >= 0, self.arrival[rows], NEVER) if len(self.arrival) else np.full(len(rows), NEVER)


@dataclass(frozen=True)
class Market:
    """Trades and books with prices at one scale, and sizes at another: integers / 10**scale."""

    trades: Trades
    books: Books
    price_scale: int
    size_scale: int


def read_market(trades: pl.DataFrame, book: pl.DataFrame, *, admit_unverifiable: bool) -> Market:
    """Return trades and books as arrays; SchemaError if a column is missing, or trades are not in order."""
    _check("trades", trades, TRADE_COLUMNS)
    _check("book", book, BOOK_COLUMNS)
    (price, bid, ask), price_scale = exact_integers([trades["price"], book["bid_price_0"], book["ask_price_0"]])
    (size,), size_scale = exact_integers([trades["size"]])
    ts_event, trade_id = _int64(trades["ts_event"]), _int64(trades["trade_id"])
    later = np.diff(ts_event)
    wrong = np.flatnonzero((later < 0) | ((later == 0) & (np.diff(trade_id) <= 0)))
    if len(wrong):
        raise SchemaError(
            f"trades: expected them by ts_event and trade_id, each id once; found row {wrong[0] + 1} "
            f"(trade_id {trade_id[wrong[0] + 1]}) behind trade_id {trade_id[wrong[0]]}"
        )
    sign = np.where((trades["taker_side"].cast(pl.String) == "buy").to_numpy(), np.int64(1), np.int64(-1))
    return Market(
        Trades(trade_id, ts_event, _int64(trades["ts_available"]), sign, price, size),
        _books(book, bid, ask, admit_unverifiable=admit_unverifiable),
        price_scale,
        size_scale,
    )


def _books(book: pl.DataFrame, bid: Integers, ask: Integers, *, admit_unverifiable: bool) -> Books:
    states = ("verified", "unverifiable") if admit_unverifiable else ("verified",)
    admitted = book["book_state"].cast(pl.String).is_in(states).to_numpy()
    two_sided = (book["bid_price_0"].is_not_null() & book["ask_price_0"].is_not_null()).to_numpy()
    ts_align = _int64(book["ts_align"])
    double_mid = plus(bid, ask)
    has_mid = np.asarray(double_mid > 0, np.bool_)
    return Books(
        ts_align=ts_align,
        arrival=_int64(book["ts_available"]),
        clock=np.maximum.accumulate(ts_align),
        least_left=np.minimum.accumulate(ts_align[::-1])[::-1],
        admitted=admitted,
        usable=admitted & two_sided & has_mid & ~book["crossed"].to_numpy(),
        double_mid=double_mid,
    )


def _int64(column: pl.Series) -> Int64s:
    return column.cast(pl.Int64).to_numpy()


def _check(name: str, frame: pl.DataFrame, columns: Sequence[str]) -> None:
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise SchemaError(
            f"{name}: expected the columns {', '.join(columns)}; missing: {', '.join(missing)}; "
            f"found: {', '.join(frame.columns)}"
        )
