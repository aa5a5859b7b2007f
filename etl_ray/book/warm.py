"""Compiling the order book ahead of time: it takes seconds once, and is kept on disk for later processes."""

from __future__ import annotations

from functools import cache

import numpy as np

from etl_ray.book import kernel
from etl_ray.book.net_delta import NetDelta
from etl_ray.book.replay import Replay, ReplayOptions
from etl_ray.book.updates import ASK, BID, Updates


def is_compiled() -> bool:
    """Return whether an earlier process has left the compiled order book on disk, of just this source."""
    return bool(kernel.levels_of._cache._cache_file._load_index())  # what `warm_up` compiles last


@cache  # a process that runs several jobs has it from the first
def warm_up() -> None:
    """Compile everything that is compiled, or load it from disk."""
    delta = NetDelta.of([BID, ASK], [1, 2], [1, 1])
    start = delta.compose(NetDelta.of([BID], [1], [2])).apply(NetDelta.empty_book())
    updates = Updates(np.array([0, 1]), np.array([BID], np.int8), np.array([1]), np.array([3]))
    replay = Replay(start, updates, ReplayOptions(1, (10,), (1.0,)), price_scale=0, quantity_scale=0)
    replay.states(0, 1)
    replay.book()
