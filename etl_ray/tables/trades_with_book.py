"""`trades_with_book`: each trade beside the last book before it, and what its taker paid."""

from __future__ import annotations

import pyarrow as pa

from etl_ray.tables.lineage import PRODUCT_ID, date_column
from etl_ray.tables.schema import NUMBER, SYMBOL, TIME, Column, Table

_NO_BOOK = "null if there is no such row of the day before"
_NO_MID = (
    "null unless book_state is verified (with admit_unverifiable also unverifiable), if the book is crossed, or one of "
    "its sides is empty"
)

TRADES_WITH_BOOK = Table(
    name="trades_with_book",
    version=1,
    meaning="Trades, each with the last row of book whose clock is before the first fill of its taker order.",
    columns=(
        PRODUCT_ID,
        date_column("ts_event"),
        Column("ts_event", TIME, "the venue's time of the trade", "ns UTC"),
        Column(
            "ts_available",
            TIME,
            "latest arrival (ts_capture, else ts_server) of the trade, of what tells the first fill of its order, and "
            "of the row of book",
            "ns UTC",
        ),
        Column("trade_id", pa.int64(), "the venue's number of the trade"),
        Column("price", NUMBER, "price of the trade", "quote"),
        Column("size", NUMBER, "quantity of the trade", "base"),
        Column(
            "taker_side", SYMBOL, "side of the order that caused the trade, buy or sell: the opposite of the maker's"
        ),
        Column(
            "taker_order_id",
            pa.int64(),
            "trade_id of the first fill of its taker order, inferred: trades that follow each other by (ts_event, "
            "trade_id) with the same ts_event and taker_side",
        ),
        Column("is_first_fill", pa.bool_(), "the trade is the first fill of its taker order"),
        Column(
            "book_ts_align",
            TIME,
            "ts_align of the row of book: the last in order of arrival with ts_align strictly below ts_event, by a day "
            "at most; null if there is none",
            "ns UTC",
            True,
        ),
        Column("book_state", SYMBOL, f"book_state of that row; {_NO_BOOK}", "", True),
        Column("book_crossed", pa.bool_(), f"crossed of that row; {_NO_BOOK}", "", True),
        Column("bid_price_0", NUMBER, f"best bid of that row; {_NO_BOOK}, or the side is empty", "quote", True),
        Column("bid_size_0", NUMBER, f"quantity of the best bid; {_NO_BOOK}, or the side is empty", "base", True),
        Column("ask_price_0", NUMBER, f"best ask of that row; {_NO_BOOK}, or the side is empty", "quote", True),
        Column("ask_size_0", NUMBER, f"quantity of the best ask; {_NO_BOOK}, or the side is empty", "base", True),
        Column("mid", pa.float64(), f"M = (bid_price_0 + ask_price_0) / 2; {_NO_MID}", "quote", True),
        Column("book_age_ns", pa.int64(), f"ts_event - book_ts_align; {_NO_BOOK}", "ns", True),
        Column(
            "effective_spread_bps",
            pa.float64(),
            "2 10^4 D (P - M) / M, P the price of this trade, D 1 if the taker bought and -1 if he sold: twice the "
            "effective half-spread D (P - M) (Huang & Stoll 1996), relative to mid; no warm-up; null if mid is, or if "
            "book_age_ns is above max_book_age",
            "bps",
            True,
        ),
    ),
    partition_cols=("product_id", "date"),
    order=("ts_event", "trade_id"),
)
