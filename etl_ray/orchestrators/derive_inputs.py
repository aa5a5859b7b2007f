"""What derived tables are computed of: trades and books around some dates, as Polars frames."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from etl_ray import storage
from etl_ray.errors import StorageError
from etl_ray.orchestrators.derive_plan import DeriveOptions, DeriveTask
from etl_ray.tables import BOOK, MARKET_TRADES

_TRADES = ("ts_event", "ts_server", "ts_capture", "trade_id", "price", "size", "taker_side")
_BOOK = ("segment", "line", "ts_align", "ts_available", "book_state", "crossed")
_LEVELS = ("bid_price_0", "bid_size_0", "ask_price_0", "ask_size_0")


def read_trades(task: DeriveTask, options: DeriveOptions) -> pl.DataFrame:
    """Return the trades around the task's dates by (ts_event, trade_id), with the last before and the first behind."""
    tables = [_read(options.input, path, _TRADES) for paths in task.trades.values() for path in paths]
    first = min(task.dates)
    for day, paths in task.edges.items():
        tables += [_edge(options.input, path, is_before=day < first) for path in paths]
    found = _frame(tables, _TRADES, options)
    times = [pl.col(name).cast(pl.Int64) for name in ("ts_event", "ts_server", "ts_capture")]
    found = found.with_columns(times).with_columns(pl.col("taker_side").cast(pl.String))
    found = found.with_columns(pl.coalesce("ts_capture", "ts_server").alias("ts_available"))
    return found.drop("ts_server", "ts_capture").sort("ts_event", "trade_id")


def read_book(task: DeriveTask, options: DeriveOptions) -> pl.DataFrame:
    """Return the rows of `book` around the task's dates in arrival order."""
    paths = [path for found in task.books.values() for path in found]
    columns = _BOOK + _LEVELS + (("ofi",) if paths and _has_ofi(options.input, paths[0]) else ())
    found = _frame([_read(options.input, path, columns) for path in paths], columns, options)
    found = found.with_columns(
        pl.col("ts_align").cast(pl.Int64),
        pl.col("ts_available").cast(pl.Int64),
        pl.col("book_state").cast(pl.String),
        pl.col("segment").cast(pl.String).rank("dense").alias("segment"),
    )
    return found.sort("segment", "line").drop("segment", "line")


def _read(root: str, path: str, columns: Iterable[str]) -> pa.Table:
    url = storage.join(root, path)
    try:
        with storage.open_read(url) as raw, pq.ParquetFile(raw) as file:
            return file.read(columns=list(columns), use_threads=False)
    except (OSError, pa.ArrowInvalid) as error:
        raise StorageError(f"{storage.redact(url)} cannot be read: {error}. Run the job again") from None


def _edge(root: str, path: str, *, is_before: bool) -> pa.Table:
    """Return the last or the first row of a file, which is sorted by time."""
    url = storage.join(root, path)
    with storage.open_read(url) as raw, pq.ParquetFile(raw) as file:
        group = file.metadata.num_row_groups - 1 if is_before else 0
        rows = file.read_row_group(group, columns=list(_TRADES), use_threads=False)
    return rows.slice(len(rows) - 1) if is_before else rows.slice(0, 1)


def _has_ofi(root: str, path: str) -> bool:
    with storage.open_read(storage.join(root, path)) as raw, pq.ParquetFile(raw) as file:
        return "ofi" in file.schema_arrow.names


def _frame(tables: list[pa.Table], columns: tuple[str, ...], options: DeriveOptions) -> pl.DataFrame:
    source = MARKET_TRADES if columns is _TRADES else BOOK
    schema = source.schema(options.numbers)
    empty = pa.schema([schema.field(name) for name in columns]).empty_table()
    whole = pa.concat_tables([table.replace_schema_metadata() for table in (*tables, empty)], promote_options="default")
    return pl.DataFrame(pl.from_arrow(whole))
