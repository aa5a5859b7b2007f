"""The package `order-book` (a C extension): one OrderBook, ten levels by index after each message."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from order_book import OrderBook

from tests.benchmarks.book_sides import BID, CLEAR, DEPTH
from tests.benchmarks.book_sides.sorted_dict import as_arrays


def prepare(rows: Mapping[str, np.ndarray]) -> Callable[[int], tuple[np.ndarray, ...]]:
    """Return the replay; rows are Python integers already."""
    offsets, sides = rows["offsets"].tolist(), rows["side"].tolist()
    prices, quantities = rows["price"].tolist(), rows["quantity"].tolist()

    def run(n: int) -> tuple[np.ndarray, ...]:
        book = OrderBook()
        bids, asks = book.bids, book.asks
        tops = []
        for m in range(n):
            for i in range(offsets[m], offsets[m + 1]):
                side, price, quantity = sides[i], prices[i], quantities[i]
                if side == CLEAR:
                    book = OrderBook()
                    bids, asks = book.bids, book.asks
                    continue
                levels = bids if side == BID else asks
                if quantity:
                    levels[price] = quantity
                elif price in levels:
                    del levels[price]
            best_bids = [bids.index(k) for k in range(min(DEPTH, len(bids)))]
            best_asks = [asks.index(k) for k in range(min(DEPTH, len(asks)))]
            tops.append(
                (
                    [p for p, _ in best_bids],
                    [q for _, q in best_bids],
                    [p for p, _ in best_asks],
                    [q for _, q in best_asks],
                )
            )
        return as_arrays(tops)

    return run
