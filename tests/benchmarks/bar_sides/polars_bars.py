"""Polars alone: the columns that one grouping gives, sums as floats.

Telling it that the groups are sorted was the fastest way on one core: `group_by_dynamic`, `rle_id`, groups in any order
and the streaming engine took the same time for bars of a second, or up to 1.5 times as long.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from tests.benchmarks.bar_sides import CHECKED, LENGTHS_NS

_NOTIONAL = pl.col("price") * pl.col("size")
_BOUGHT = pl.col("size").filter(pl.col("taker_side") == "buy").sum()
_VOLUME = pl.col("size").sum()
_COLUMNS = (
    pl.col("ts_available").max(),
    pl.col("price").first().alias("open"),
    pl.col("price").max().alias("high"),
    pl.col("price").min().alias("low"),
    pl.col("price").last().alias("close"),
    _VOLUME.alias("volume"),
    _NOTIONAL.sum().alias("quote_volume"),
    pl.len().alias("trades"),
    _BOUGHT.alias("buy_volume"),
    pl.col("trade_id").first().alias("first_trade_id"),
    pl.col("trade_id").last().alias("last_trade_id"),
    pl.col("ts_event").first().alias("ts_first_trade"),
    pl.col("ts_event").last().alias("ts_last_trade"),
)
_DERIVED = (
    (pl.col("quote_volume") / pl.col("volume")).alias("vwap"),
    (pl.col("volume") - pl.col("buy_volume")).alias("sell_volume"),
    (2 * pl.col("buy_volume") - pl.col("volume")).alias("signed_volume"),
    (2 * pl.col("buy_volume") / pl.col("volume") - 1).alias("trade_imbalance"),
)


def prepare(path: Path, bar: str) -> Callable[[], dict[str, np.ndarray]]:
    """Return what makes time bars, reading the file included."""
    number = (pl.col("ts_event") // LENGTHS_NS[bar]).alias("number").set_sorted()

    def run() -> dict[str, np.ndarray]:
        trades = pl.scan_parquet(path).with_columns(number)
        made = trades.group_by("number", maintain_order=True).agg(_COLUMNS).with_columns(_DERIVED).collect()[:-1]
        return {name: made[name].to_numpy() for name in CHECKED}

    return run
