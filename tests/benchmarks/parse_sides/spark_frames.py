"""Spark in local mode: the rows of each table as frames that are kept in memory, each asked for once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame

from tests.benchmarks.sides.spark_sql import frames, read

_kept: list[DataFrame] = []


def parse(segments: Sequence[str]) -> dict[str, DataFrame]:
    """Return the rows of each table; those of the last call are forgotten."""
    while _kept:
        _kept.pop().unpersist()
    lines = read(segments).cache()
    found = {name: frame.cache() for name, frame in frames(lines).items()}
    for frame in found.values():
        frame.count()
    lines.unpersist()
    _kept.extend(found.values())
    return found


def store(parsed: Mapping[str, DataFrame], output: str) -> None:
    """Write each table below `output`."""
    for name, frame in parsed.items():
        frame.write.parquet(f"{output}/{name}")
