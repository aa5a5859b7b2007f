"""This project: ranks of prices, the ladder, states in chunks as the job takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from etl_ray.book import Ladder, NetDelta, Replay, ReplayOptions, Updates
from tests.benchmarks.book_sides import DEPTH

_CHUNK = 4_096


def prepare(rows: Mapping[str, np.ndarray]) -> Callable[[int], tuple[np.ndarray, ...]]:
    """Return the replay; finding the ranks of all prices is part of it, as are the copies of states."""
    ladder = Ladder()
    scales = {"price_scale": int(rows["price_scale"]), "quantity_scale": int(rows["quantity_scale"])}

    def run(n: int) -> tuple[np.ndarray, ...]:
        updates = Updates(rows["offsets"][: n + 1], rows["side"], rows["price"], rows["quantity"])
        replay = Replay(NetDelta.empty(), updates, ReplayOptions(DEPTH), **scales, ladder=ladder)
        found = tuple(np.empty((n, DEPTH), np.int64) for _ in range(4))
        for first in range(0, n, _CHUNK):
            last = min(first + _CHUNK, n)
            states = replay.states(first, last)
            chunk = (states.bid_price, states.bid_quantity, states.ask_price, states.ask_quantity)
            for whole, part in zip(found, chunk, strict=True):
                whole[first:last] = part
        return found

    return run
