"""Polars: the frames of the whole chain, collected together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from tests.benchmarks.sides.polars_lazy import frames


def parse(segments: Sequence[str]) -> dict[str, pl.DataFrame]:
    """Return the columns of each table."""
    lazy = frames(segments)
    return dict(zip(lazy, pl.collect_all(lazy.values(), engine="streaming"), strict=True))


def store(parsed: Mapping[str, pl.DataFrame], output: str) -> None:
    """Write each table to a file below `output`."""
    for name, frame in parsed.items():
        frame.write_parquet(Path(output, name, "rows.parquet"), mkdir=True, compression="uncompressed")
