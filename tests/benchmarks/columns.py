"""The columns that every side writes, and the wire's names of a ticker's figures."""

from __future__ import annotations

FIGURES = {
    "price": "price",
    "volume_24_h": "volume_24h",
    "low_24_h": "low_24h",
    "high_24_h": "high_24h",
    "low_52_w": "low_52w",
    "high_52_w": "high_52w",
    "price_percent_chg_24_h": "price_percent_chg_24h",
    "best_bid": "best_bid",
    "best_bid_quantity": "best_bid_quantity",
    "best_ask": "best_ask",
    "best_ask_quantity": "best_ask_quantity",
}
"""Columns of `ticker` by their names on the wire; all but `price` may be null."""

_KEYS = ("product_id", "date")
_MESSAGE = ("ts_server", "ts_capture", "sequence_num", "is_snapshot")

COLUMNS = {
    "level2": (*_KEYS, "ts_event", *_MESSAGE, "side", "price", "quantity"),
    "market_trades": (*_KEYS, "ts_event", *_MESSAGE, "trade_id", "price", "size", "maker_side", "taker_side"),
    "ticker": (*_KEYS, *_MESSAGE, "is_batch", *FIGURES.values()),
}
"""What is compared, by table: everything but this job's `is_last` and lineage, which the other sides do not write."""

FIRST_PLAUSIBLE_DAY = "2010-01-01"
"""Event times before it are null, as in snapshots that say 1970."""
