"""A recording of a few seconds over a midnight, and the configs that the tests of faults run over it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from etl_ray.sample import SampleOptions, write_sample

TINY = SampleOptions(
    minutes=0.08,
    products=("BTC-USD", "ETH-USD"),
    rate=6,
    levels=25,
    segment_mb=0.05,
    start="2025-11-26T23:59:57.500Z",
)
"""136 lines in five segments, with all channels."""
EVERYTHING: dict[str, object] = {
    "derived": {"bars": ["1s", "tick:5"], "trades_with_book": True, "features": "1s"},
    "staging": {"unit_mb": 1, "block_mb": 0.5, "max_line_mb": 0.25, "rows_per_file": 200, "rows_per_group": 80},
}
"""The part of a config that asks for all tables, in several files each."""
CONFIG = """
derived: {bars: [1s, "tick:5"], trades_with_book: true, features: 1s}
staging: {unit_mb: 1, block_mb: 0.5, max_line_mb: 0.25, rows_per_file: 200, rows_per_group: 80}
"""
"""The same as YAML."""
_WRITTEN_NS = 1_764_201_600_000_000_000  # long ago: the segments have settled


def write_tiny(directory: Path) -> list[Path]:
    """Write the recording into a new directory; return its segments."""
    directory.mkdir(parents=True)
    write_sample(str(directory), TINY)
    segments = sorted(directory.iterdir())
    for path in segments:
        os.utime(path, ns=(_WRITTEN_NS, _WRITTEN_NS))
    return segments


def copy_segments(segments: list[Path], directory: Path, *numbers: int) -> None:
    """Copy some of the segments, with their times, into a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        shutil.copy2(segments[number], directory)


def half_of(data: bytes) -> bytes:
    """Return about the first half of a segment, in whole lines."""
    return data[: data.find(b"\n", len(data) // 2) + 1]
