"""What derived tables are computed of: trades and books around some dates, as Polars frames."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from etl_ray import storage
from etl_ray.orchestrators.derive_plan import DeriveOptions, DeriveTask
from etl_ray.readers.parquet import ParquetReader
from etl_ray.tables import BOOK, MARKET_TRADES

_TRADES = ("ts_event", "ts_server", "ts_capture", "trade_id", "price", "size", "taker_side")
_BOOK = ("segment", "line", "ts_align", "ts_available", "book_state", "crossed")
_LEVELS = ("bid_price_0", "bid_size_0", "ask_price_0", "ask_size_0")


def read_trades(task: DeriveTask, options: DeriveOptions) -> pl.DataFrame:
    """Return the trades around the task's dates by (ts_event, trade_id), with the last before and the first behind."""
    found = [_scan(options.input, path, _TRADES) for paths in task.trades.values() for path in paths]
    first = min(task.dates)
    for day, paths in task.edges.items():
        found += [_edge(options.input, path, is_before=day < first).lazy() for path in paths]
    times = [pl.col(name).cast(pl.Int64) for name in ("ts_event", "ts_server", "ts_capture")]
    trades = _joined(found, _TRADES, options).with_columns(*times, pl.col("taker_side").cast(pl.String))
    trades = trades.with_columns(pl.coalesce("ts_capture", "ts_server").alias("ts_available"))
    return trades.drop("ts_server", "ts_capture").sort("ts_event", "trade_id").collect()


def read_book(task: DeriveTask, options: DeriveOptions) -> pl.DataFrame:
    """Return the rows of `book` around the task's dates in arrival order."""
    paths = [path for found in task.books.values() for path in found]
    columns = _BOOK + _LEVELS + (("ofi",) if paths and _has_ofi(options.input, paths[0]) else ())
    book = _joined([_scan(options.input, path, columns) for path in paths], columns, options).with_columns(
        pl.col("ts_align").cast(pl.Int64),
        pl.col("ts_available").cast(pl.Int64),
        pl.col("book_state").cast(pl.String),
        pl.col("segment").cast(pl.String).rank("dense").alias("segment"),
    )
    return book.sort("segment", "line").drop("segment", "line").collect()


def _scan(root: str, path: str, columns: Iterable[str]) -> pl.LazyFrame:
    return ParquetReader(use_polars=True, columns=list(columns)).scan(storage.join(root, path))


def _edge(root: str, path: str, *, is_before: bool) -> pl.DataFrame:
    """Return the last or the first row of a file, which is sorted by time."""
    with storage.open_read(storage.join(root, path)) as raw, pq.ParquetFile(raw) as file:
        group = file.metadata.num_row_groups - 1 if is_before else 0
        rows = file.read_row_group(group, columns=list(_TRADES), use_threads=False)
    return pl.DataFrame(pl.from_arrow(rows.slice(len(rows) - 1) if is_before else rows.slice(0, 1)))


def _has_ofi(root: str, path: str) -> bool:
    with storage.open_read(storage.join(root, path)) as raw, pq.ParquetFile(raw) as file:
        return "ofi" in file.schema_arrow.names


def _joined(found: list[pl.LazyFrame], columns: tuple[str, ...], options: DeriveOptions) -> pl.LazyFrame:
    """Return the rows of several files; there may be none."""
    source = MARKET_TRADES if columns is _TRADES else BOOK
    schema = source.schema(options.numbers)
    empty = pa.schema([schema.field(name) for name in columns]).empty_table()
    return pl.concat([*found, pl.DataFrame(pl.from_arrow(empty)).lazy()])
