"""Parquet as a stream of Arrow batches or as a lazy Polars frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from etl_ray import storage
from etl_ray.errors import ConfigError
from etl_ray.readers.base import BaseReader
from etl_ray.readers.filters import Condition, Filter, bind, check_form, may_hold, polars_expression
from etl_ray.readers.parquet_decode import (
    arrow_batches,
    check_polars_types,
    damaged,
    from_polars,
    polars_scan,
    polars_windows,
    rows_at_once,
)
from etl_ray.readers.parquet_files import ParquetPart, find_table

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class _Plan:
    """Files to read, the columns to read of them, those to yield, and what rows have to match."""

    parts: tuple[ParquetPart, ...]
    schema: pa.Schema
    output: pa.Schema
    conditions: tuple[Condition, ...]


class ParquetReader(BaseReader):
    """Reads a table of Parquet files: a directory (recursively), a glob, a file or a URL.

    Rows come in the order of the files' paths, then of the files. Names that begin with a dot or underscore are passed
    over. Hive keys of the paths that are no columns in the files become columns of type dictionary<int32, string>.
    `columns` selects and orders columns. `filters` are joined by "and": (column, op, value), op one of ==, !=, <, <=,
    >, >=, in; they are pushed down to files, row groups and pages. Memory holds about one row group, whatever the size
    of the input and the number of threads. With `use_polars` Polars decodes local files, else pyarrow; files elsewhere
    are decoded by pyarrow, through this package's storage, and filtered by Polars or pyarrow.
    """

    def __init__(
        self,
        *,
        use_polars: bool = True,
        columns: Sequence[str] | None = None,
        filters: Sequence[Filter] | None = None,
        batch_rows: int = 131_072,
    ) -> None:
        if batch_rows < 1:
            raise ConfigError(f"expected batch_rows of at least 1, found {batch_rows}")
        self._use_polars = use_polars
        self._columns = None if columns is None else _check_columns(columns)
        self._filters = check_form(filters or ())
        self._batch_rows = batch_rows

    def read(self, input_path: str) -> Iterator[pa.RecordBatch]:
        """Yield batches of at most `batch_rows` rows, all of one schema; an empty one if there are no rows.

        Files and options are checked before this returns: ConfigError, SchemaError or StorageError.
        """
        return self._batches(self._plan(input_path))

    def scan(self, input_path: str) -> pl.LazyFrame:
        """Return the rows of `read` as a lazy frame; dictionaries are categoricals, times keep their ns.

        Files are checked before this returns, as by `read`; what Polars finds later is Polars' error.
        """
        if not self._use_polars:
            raise ConfigError("scan() gives a Polars frame; expected a ParquetReader with use_polars=True")
        plan = self._plan(input_path)
        if plan.parts and all(storage.is_local(part.url) and not part.added for part in plan.parts):
            lazy = polars_scan([part.url for part in plan.parts])
        else:
            lazy = _window_scan(plan, self._batch_rows)
        if plan.conditions:
            lazy = lazy.filter(polars_expression(plan.conditions))
        return lazy.select(plan.output.names)

    def _plan(self, input_path: str) -> _Plan:
        filtered = [column for column, _, _ in self._filters]
        needed = None if self._columns is None else tuple(dict.fromkeys([*self._columns, *filtered]))
        table = find_table(input_path, needed)
        conditions = bind(self._filters, table.schema)
        if self._use_polars:
            check_polars_types(table.schema)
        parts = tuple(part for part in table.parts if may_hold(conditions, part.path_values))
        names = table.schema.names if self._columns is None else self._columns
        output = pa.schema([table.schema.field(name) for name in names], metadata=table.schema.metadata)
        return _Plan(parts, table.schema, output, conditions)

    def _batches(self, plan: _Plan) -> Iterator[pa.RecordBatch]:
        decode = _polars_batches if self._use_polars else _arrow_batches
        rows = 0
        for part in plan.parts:
            for batch in decode(part, plan, self._batch_rows):
                rows += batch.num_rows
                yield batch
        if not rows:
            yield pa.RecordBatch.from_pylist([], schema=plan.output)


def _check_columns(columns: Sequence[str]) -> tuple[str, ...]:
    if isinstance(columns, str) or not columns or not all(isinstance(name, str) for name in columns):
        raise ConfigError(f"columns: expected a list of at least one name, found {columns!r}")
    twice = [name for name in columns if list(columns).count(name) > 1]
    if twice:
        raise ConfigError(f"columns: expected each name once, found {twice[0]!r} twice")
    return tuple(columns)


def _arrow_batches(part: ParquetPart, plan: _Plan, batch_rows: int) -> Iterator[pa.RecordBatch]:
    rows = rows_at_once(part, batch_rows)
    for batch in arrow_batches(part, plan.schema, plan.conditions, rows=rows):
        yield batch.select(plan.output.names).cast(plan.output)


def _polars_batches(part: ParquetPart, plan: _Plan, batch_rows: int) -> Iterator[pa.RecordBatch]:
    import polars as pl

    rows = rows_at_once(part, batch_rows)
    failures = (pl.exceptions.PolarsError, pl.exceptions.PanicException, pa.ArrowException, OSError)
    try:
        for lazy in polars_windows(part, plan.schema, rows=batch_rows):
            matching = lazy.filter(polars_expression(plan.conditions)) if plan.conditions else lazy
            frame = matching.select(plan.output.names).collect(engine="streaming")
            table = from_polars(frame, plan.output)
            del lazy, matching, frame  # before the next window, for the sake of its categories
            yield from (batch for batch in table.to_batches(max_chunksize=rows) if batch.num_rows)
    except failures as error:
        raise damaged(part, error) from None


def _window_scan(plan: _Plan, batch_rows: int) -> pl.LazyFrame:
    """Return a lazy frame over files of which Polars cannot be told, window by window."""
    import polars as pl
    from polars.io.plugins import register_io_source

    schema = pl.DataFrame(plan.schema.empty_table()).schema

    def windows(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _batch_rows: int | None
    ) -> Iterator[pl.DataFrame]:
        for part in plan.parts:
            for lazy in polars_windows(part, plan.schema, rows=batch_rows):
                typed = lazy.select(schema.names()).cast(schema)
                if rows is not None:
                    # They are counted before the predicate.
                    typed = typed.head(rows).collect(engine="streaming").lazy()
                    rows -= typed.select(pl.len()).collect().item()
                matching = typed if predicate is None else typed.filter(predicate)
                yield matching.select(columns or schema.names()).collect(engine="streaming")
                if rows == 0:
                    return

    return register_io_source(windows, schema=schema, is_pure=True)
