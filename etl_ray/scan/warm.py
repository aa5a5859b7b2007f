"""Compiling the scanner ahead of time: it takes seconds once, and is kept on disk for later processes."""

from __future__ import annotations

from functools import cache

import numpy as np

from etl_ray.scan import kernel
from etl_ray.scan.connections import ConnectionTracker
from etl_ray.scan.parser import LineParser
from etl_ray.venues import VENUES

_LINE = (
    b'{"channel":"heartbeats","timestamp":"2025-11-26T14:00:00Z","sequence_num":1,'
    b'"events":[{"current_time":"2025-11-26 14:00:00 +0000 UTC","heartbeat_counter":1}]}\n'
)


def is_compiled() -> bool:
    """Return whether an earlier process has left the compiled scanner on disk, of just this source."""
    return bool(kernel.scan_block._cache._cache_file._load_index())


@cache  # a process that runs several jobs has it from the first
def warm_up() -> None:
    """Compile everything that is compiled, or load it from disk."""
    venue = next(iter(VENUES.values()))
    parser = LineParser(venue, "float64", block_bytes=len(_LINE))
    data = np.zeros(len(_LINE) + 64, np.uint8)
    data[: len(_LINE)] = np.frombuffer(_LINE, np.uint8)
    tracker = ConnectionTracker()
    for parsed in parser.parse(data, len(_LINE), 0):
        messages = parsed.messages
        tracker.assign(messages.sequence_num, messages.product, parsed.heartbeat_counters(), parsed.symbols, str)
