"""Order books as algorithms over arrays of exact integers: no files, no Ray."""

from __future__ import annotations

from etl_ray.book.features import book_features, ofi, ofi_levels
from etl_ray.book.ladder import Ladder
from etl_ray.book.net_delta import NetDelta
from etl_ray.book.numbers import to_float64
from etl_ray.book.order_book import OrderBook, Side
from etl_ray.book.replay import Replay, ReplayOptions, States, replay
from etl_ray.book.updates import ASK, BID, CLEAR, Updates

__all__ = [
    "ASK",
    "BID",
    "CLEAR",
    "Ladder",
    "NetDelta",
    "OrderBook",
    "Replay",
    "ReplayOptions",
    "Side",
    "States",
    "Updates",
    "book_features",
    "ofi",
    "ofi_levels",
    "replay",
    "to_float64",
]
