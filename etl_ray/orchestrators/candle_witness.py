"""Candles held to our own bars: the stage behind trades and candles, from the files that were just written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from etl_ray import storage
from etl_ray.bars import BarOptions, parse_bar
from etl_ray.config.derived import DerivedConfig
from etl_ray.orchestrators.derive_plan import DeriveOptions, DeriveTask, plan_derived, span_ns
from etl_ray.orchestrators.receipts import BuiltFile
from etl_ray.orchestrators.witness import Witnessed, WitnessSpan
from etl_ray.tables import CANDLES
from etl_ray.tables.partitions import encode_value

if TYPE_CHECKING:
    import polars as pl

_BAR = "5m"
_FIGURES = ("open", "high", "low", "close", "volume")
_COLUMNS = ("ts_start", "is_final", *_FIGURES)


@dataclass(frozen=True)
class CandleTask:
    """The candles of a product on a date, by their files, and its trades on that date."""

    trades: DeriveTask
    candles: tuple[str, ...]

    def located(self, where: Callable[[str], str]) -> CandleTask:
        """Return the task with other names for its files."""
        return CandleTask(self.trades.located(where), tuple(map(where, self.candles)))

    @property
    def bytes(self) -> int:
        """The size of what is read, about."""
        return self.trades.bytes


def plan_candle_witness(files: Sequence[BuiltFile]) -> tuple[CandleTask, ...]:
    """Return a task for each product and date with candles and trades, whose files are by product and date."""
    candles: dict[tuple[str, str], list[str]] = {}
    for file in files:
        if file.table == CANDLES.name and file.rows:
            keys = dict(part.split("=", 1) for part in file.path.split("/")[1:-1])
            candles.setdefault((keys["product_id"], keys["date"]), []).append(file.path)
    tasks = []
    for trades in plan_derived(files, DerivedConfig(bars=(_BAR,))):
        (date,) = trades.dates
        paths = candles.get((encode_value(trades.product), date))
        if paths:
            tasks.append(CandleTask(trades, tuple(sorted(paths))))
    return tuple(tasks)


def candle_witness(task: CandleTask, options: DeriveOptions) -> Witnessed:
    """Hold the candles of a product on a date to bars of its trades."""
    import polars as pl  # which takes time, and few recordings have candles

    from etl_ray.bars import bars
    from etl_ray.orchestrators.derive_inputs import read_trades

    first_ns, end_ns = span_ns(task.trades.dates)
    tables = [_read(options.input, path) for path in task.candles]
    candles = pl.DataFrame(pl.from_arrow(pa.concat_tables(tables)))
    found = bars(read_trades(task.trades, options), parse_bar(_BAR), BarOptions(), first_ns=first_ns, end_ns=end_ns)
    counts = compare_candles(candles, found)
    spans = (WitnessSpan(first_ns, *counts),) if counts[0] else ()
    return Witnessed(task.trades.product, "candle", spans)


def compare_candles(candles: pl.DataFrame, own: pl.DataFrame) -> tuple[int, int, int]:
    """Return how many candles are final, how many of them have a complete bar, and how many of these are equal to it.

    They are equal in open, high, low, close and volume, all exactly. Both have a product's rows by ts_start, each once.
    """
    import polars as pl

    start = pl.col("ts_start").cast(pl.Int64)
    final = candles.filter("is_final").with_columns(start)
    complete = own.filter("is_complete").with_columns(start).select("ts_start", *_FIGURES)
    pairs = final.join(complete, on="ts_start", how="inner", suffix="_own")
    equal = pairs.filter(*(pl.col(name) == pl.col(f"{name}_own") for name in _FIGURES))
    return len(final), len(pairs), len(equal)


def _read(root: str, path: str) -> pa.Table:
    with storage.open_read(storage.join(root, path)) as raw, pq.ParquetFile(raw) as file:
        return file.read(columns=list(_COLUMNS), use_threads=False).replace_schema_metadata()
