"""This project: all columns of the table `bars`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from etl_ray.bars import BarOptions, bars, parse_bar
from tests.benchmarks.bar_sides import CHECKED


def prepare(path: Path, bar: str) -> Callable[[], dict[str, np.ndarray]]:
    """Return what makes bars, reading the file included if they are by time."""
    spec, options = parse_bar(bar), BarOptions(reset="never")
    stored = None if spec.kind == "time" else pl.read_parquet(path)

    def run() -> dict[str, np.ndarray]:
        trades = pl.read_parquet(path) if stored is None else stored
        made = bars(trades, spec, options, first_ns=0, end_ns=2**62)
        return {name: made[name].to_numpy() for name in CHECKED}

    return run
