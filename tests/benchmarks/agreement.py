"""Whether two outputs hold the same rows: counts and checksums that do not depend on the order of rows or files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from tests.benchmarks.columns import COLUMNS


@dataclass(frozen=True)
class Fingerprint:
    """The rows of one table: their number, a checksum over whole rows, and one per column to say what differs."""

    rows: int
    checksum: int
    columns: Mapping[str, int]


def fingerprint(output: str, table: str, *, dated: bool = True) -> Fingerprint:
    """Read `table` below `output` (keys from the paths) and add up the hashes of its rows, modulo 2^64.

    Times count as integers of ns, numbers as their float64, so equal checksums mean equal to the last digit. Without
    `dated` there is no column `date`.
    """
    columns = [column for column in COLUMNS[table] if dated or column != "date"]
    stored = pl.scan_parquet(f"{output}/{table}/**/*.parquet", hive_partitioning=dated, try_parse_hive_dates=False)
    types = stored.collect_schema()
    frame = stored.select(_canonical(column, types[column]) for column in columns).collect()
    return Fingerprint(
        rows=frame.height,
        checksum=_sum(frame.hash_rows()),
        columns={column: _sum(frame[column].hash()) for column in frame.columns},
    )


def differences(expected: Fingerprint, found: Fingerprint) -> list[str]:
    """Return what is not the same, in words; nothing if the rows are equal."""
    if found.rows != expected.rows:
        return [f"{found.rows:,} rows instead of {expected.rows:,}"]
    columns = [column for column, checksum in expected.columns.items() if found.columns[column] != checksum]
    if columns:
        return [f"other values in {', '.join(columns)}"]
    return [] if found.checksum == expected.checksum else ["the same values in every column, but in other rows"]


def _canonical(column: str, dtype: pl.DataType) -> pl.Expr:
    values = pl.col(column)
    if column.startswith("ts_"):  # a timestamp, or an integer of ns already
        return values.cast(pl.Int64) if dtype.is_integer() else values.dt.timestamp("ns")
    if column in ("sequence_num", "trade_id"):
        return values.cast(pl.Int64)
    if column in ("is_snapshot", "is_batch"):
        return values.cast(pl.Boolean)
    if column in ("product_id", "date", "side", "maker_side", "taker_side"):
        return values.cast(pl.String)
    return values.cast(pl.Float64)


def _sum(hashes: pl.Series) -> int:
    return int(hashes.to_numpy().sum(dtype=np.uint64))
