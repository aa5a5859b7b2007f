"""What work costs a core, measured by `python -m tests.benchmarks.stage_rates`, and in requests.

Seconds are CPU seconds of one core of a cloud machine with Python 3.11; on another machine all of them are longer or
shorter by about the same factor, which `etl-ray plan --calibrate` measures. `mb` are unpacked unless said otherwise,
`mrows` and `mcells` millions, a cell being one value of a row. Requests are those of a run on buckets, counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """What one of something costs: CPU seconds, and requests."""

    cpu_s: float = 0.0
    reads: float = 0.0
    writes: float = 0.0
    deletes: float = 0.0


@dataclass(frozen=True)
class Size:
    """Bytes of a final file: per row, and per file."""

    row: float
    file: float


AT_ONCE: Mapping[str, int] = {"build": 4, "trades": 4, "candles": 4, "compose": 16, "books": 8, "driver": 16}
"""How many requests a worker, or the driver, waits for at the same time in a stage; one in the others.

Of books it is as many as stretches are read together, which depends on how long these are.
"""

RATES: Mapping[str, Mapping[str, Cost]] = {
    "normalize": {
        "mb": Cost(0.62e-3),
        "zst_mb": Cost(0.39e-3),
        "gz_mb": Cost(0.44e-3),
        "mcells": Cost(9.8e-3),
        "groups": Cost(0.088e-3),
        "book_mrows": Cost(103e-3),
        "book_products": Cost(0.44e-3),
        "units": Cost(1.73e-3, reads=9, writes=8),
        "windows": Cost(reads=1),
    },
    "build": {
        "mcells": Cost(7.9e-3),
        "groups": Cost(0.64e-3, reads=2.4),
        "files": Cost(2.9e-3, reads=2, writes=1),
    },
    "trades": {
        "mrows": Cost(209e-3),
        "groups": Cost(0.59e-3, reads=2.1),
        "shards": Cost(7.9e-3, reads=2),
        "files": Cost(writes=1),
    },
    "candles": {
        "groups": Cost(0.63e-3, reads=2.1),
        "products": Cost(5.5e-3, reads=2),
        "files": Cost(writes=1),
    },
    "compose": {
        "stretches": Cost(0.3e-3, reads=4.9),
        "moperations": Cost(5.8e-3),
        "products": Cost(6.3e-3, writes=2),
    },
    "books": {
        "moperations": Cost(15.8e-3),
        "mcells": Cost(49.0e-3),
        "stretches": Cost(1.01e-3, reads=7.9),
        "shards": Cost(6.1e-3, reads=5),
        "files": Cost(writes=1),
    },
    "witness": {
        "mb": Cost(0.36e-3),
        "tasks": Cost(2.3e-3, reads=6.3),
        "candle_mb": Cost(10.6e-3),
        "candle_tasks": Cost(9.0e-3, reads=7),
    },
    "derive": {
        "mb": Cost(4.9e-3),
        "tasks": Cost(40.6e-3, reads=16),
        "files": Cost(writes=1),
    },
    "driver": {
        "runs": Cost(0.025, reads=90, writes=10),
        "segments": Cost(0.045e-3),
        "units": Cost(0.77e-3, reads=4, deletes=2),
        "old_pieces": Cost(deletes=1),
        "groups": Cost(0.0066e-3),
        "messages": Cost(0.063e-6),
        "files": Cost(0.6e-3, reads=1, writes=1, deletes=1),
    },
}
"""By stage, what one of each of its quantities costs; `witness` is both stages of witnesses.

Those of the driver by unit, group and message, and of compose by stretch, are of `tests.benchmarks.stage_two`, those by
segment of `tests.benchmarks.many_segments`. A group is a staged row group, or a unit and a product in books.
"""

FILE_SIZES: Mapping[str, Size] = {
    "level2": Size(7.7, 0),
    "market_trades": Size(10.8, 13389),
    "ticker": Size(27.1, 26521),
    "candles": Size(126.9, 9115),
    "status": Size(17.3, 9491),
    "heartbeats": Size(0.0, 8174),
    "subscriptions": Size(0.5, 6180),
    "errors": Size(3.4, 2993),
    "instruments": Size(17.2, 6193),
    "book": Size(192.2, 48300),
    "book_checkpoints": Size(9.2, 4848),
    "bars": Size(96.9, 12773),
    "trades_with_book": Size(15.8, 23939),
    "features": Size(92.0, 4583),
    "rejects": Size(100.0, 6000),
}
"""What files of a table take, zstd-compressed; of `book` with ten levels and all features."""

GROUP_BYTES = 2_400
GROUP_KEPT_BYTES = 1_000
"""What a staged row group takes beside its rows, and what of that is kept for later runs."""
WINDOW_BYTES = 16 << 20
"""Of a ranged request, when a segment is read from its beginning to its end."""
PIECES_PER_UNIT = 8
"""Files that a unit leaves in staging, of which a listing tells a thousand per request."""
WORKER_MB = 704
"""The peak of a worker in `tests.benchmarks.memory`, with `block_mb: 32`, whatever the size of the segment."""
