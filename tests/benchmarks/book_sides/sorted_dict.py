"""sortedcontainers: a SortedDict a side, bids under their negative price, so that both begin with the best."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice

import numpy as np
from sortedcontainers import SortedDict

from tests.benchmarks.book_sides import BID, CLEAR, DEPTH


def prepare(rows: Mapping[str, np.ndarray]) -> Callable[[int], tuple[np.ndarray, ...]]:
    """Return the replay; rows are Python integers already."""
    offsets, sides = rows["offsets"].tolist(), rows["side"].tolist()
    prices, quantities = rows["price"].tolist(), rows["quantity"].tolist()

    def run(n: int) -> tuple[np.ndarray, ...]:
        bids, asks = SortedDict(), SortedDict()
        tops = []
        for m in range(n):
            for i in range(offsets[m], offsets[m + 1]):
                side, quantity = sides[i], quantities[i]
                if side == CLEAR:
                    bids, asks = SortedDict(), SortedDict()
                    continue
                levels, price = (bids, -prices[i]) if side == BID else (asks, prices[i])
                if quantity:
                    levels[price] = quantity
                else:
                    levels.pop(price, None)
            best_bids, best_asks = list(islice(bids, DEPTH)), list(islice(asks, DEPTH))
            tops.append((best_bids, [bids[p] for p in best_bids], best_asks, [asks[p] for p in best_asks]))
        return as_arrays(tops, bid_sign=-1)

    return run


def as_arrays(tops: list[tuple[list[int], ...]], *, bid_sign: int = 1) -> tuple[np.ndarray, ...]:
    """Return lists of best levels as padded arrays."""
    found = tuple(np.zeros((len(tops), DEPTH), np.int64) for _ in range(4))
    for m, top in enumerate(tops):
        for array, values in zip(found, top, strict=True):
            array[m, : len(values)] = values
    found[0][:] *= bid_sign
    return found
