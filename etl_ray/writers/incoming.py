"""What a writer may be given, as one schema and a stream of tables that have it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast, runtime_checkable

import pyarrow as pa
import pyarrow.types as pat

from etl_ray.errors import ConfigError, SchemaError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

_MERGED_ROWS = 65_536
_MERGED_TABLES = 1_024


@runtime_checkable
class ArrowStream(Protocol):
    """Whatever can export itself as a stream of Arrow batches: relations of DuckDB, frames of other libraries."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


Data: TypeAlias = (
    "pa.Table | pa.RecordBatch | pa.RecordBatchReader | Iterable[pa.RecordBatch | pa.Table] "
    "| pl.DataFrame | pl.LazyFrame | pd.DataFrame | ArrowStream"
)
"""Columns with rows: Arrow, Polars or pandas, at once or as a stream."""


@dataclass(frozen=True)
class Incoming:
    """Rows to write: `schema` is that of all tables, as Parquet can hold it; None if nothing ever says one."""

    schema: pa.Schema | None
    tables: Iterator[pa.Table]


def incoming(data: Data) -> Incoming:
    """Return the rows of `data`, all with the schema of the first batch, matched by name, in tables of some size.

    SchemaError, when a table is taken, if one differs from the first.
    """
    schema, tables = _open(data)
    if schema is None:
        first = next(tables, None)
        if first is None:
            return Incoming(None, iter(()))
        schema, tables = first.schema, chain([first], tables)
    twice = [name for name in schema.names if schema.names.count(name) > 1]
    if twice:
        raise SchemaError(f"expected columns of different names, found {twice[0]!r} twice")
    stored = pa.schema([_stored(field) for field in schema], metadata=schema.metadata)
    return Incoming(stored, _merged(_conform(table, stored, number) for number, table in enumerate(tables, 1)))


def _open(data: Data) -> tuple[pa.Schema | None, Iterator[pa.Table]]:
    polars, pandas = sys.modules.get("polars"), sys.modules.get("pandas")
    if isinstance(data, pa.Table):
        return data.schema, iter([data])
    if isinstance(data, pa.RecordBatch):
        return data.schema, iter([pa.Table.from_batches([data])])
    if polars is not None and isinstance(data, polars.DataFrame | polars.LazyFrame):
        return _open_polars(cast("pl.DataFrame | pl.LazyFrame", data).lazy())
    if pandas is not None and isinstance(data, pandas.DataFrame):
        table = pa.Table.from_pandas(data)
        return table.schema, iter([table])
    if isinstance(data, ArrowStream):
        stream = pa.RecordBatchReader.from_stream(data)
        return stream.schema, (pa.Table.from_batches([batch]) for batch in stream)
    if isinstance(data, Iterable) and not isinstance(data, str | bytes | dict):
        return None, (_table(item, number) for number, item in enumerate(data, 1))
    raise ConfigError(
        "data: expected a pyarrow Table, RecordBatch or RecordBatchReader, an iterable of batches or tables, or a "
        f"frame of Polars or pandas; found {type(data).__name__}"
    )


def _open_polars(lazy: pl.LazyFrame) -> tuple[pa.Schema, Iterator[pa.Table]]:
    import polars as pl

    layout = pl.CompatLevel.oldest()
    schema: pa.Schema = pl.DataFrame(schema=lazy.collect_schema()).to_arrow(compat_level=layout).schema
    frames = lazy.collect_batches(maintain_order=True, lazy=True, engine="streaming")
    return schema, (frame.to_arrow(compat_level=layout) for frame in frames)


def _table(item: object, number: int) -> pa.Table:
    if isinstance(item, pa.Table):
        return item
    if isinstance(item, pa.RecordBatch):
        return pa.Table.from_batches([item])
    raise ConfigError(f"data: expected only pyarrow batches and tables, found {type(item).__name__} as item {number:,}")


def _stored(field: pa.Field) -> pa.Field:
    """Return the field as it is written and read back: of the kinds of text and of dictionaries, one each."""
    kind = field.type
    if _has_views(kind):
        raise SchemaError(f"column {field.name!r} is {kind}; expected string or binary for the views in it")
    values = kind.value_type if pat.is_dictionary(kind) else kind
    if pat.is_string_view(values) or (pat.is_dictionary(kind) and pat.is_large_string(values)):
        values = pa.string()
    elif pat.is_binary_view(values) or (pat.is_dictionary(kind) and pat.is_large_binary(values)):
        values = pa.binary()
    if pat.is_dictionary(kind) and values in (pa.string(), pa.binary()):
        return field.with_type(pa.dictionary(pa.int32(), values, kind.ordered))
    return field.with_type(values)  # Parquet has no other dictionaries


def _has_views(kind: pa.DataType) -> bool:
    """Tell whether a nested type holds views, whose rows Arrow cannot reorder."""
    inner = [kind.field(index).type for index in range(kind.num_fields)]
    return any(pat.is_string_view(item) or pat.is_binary_view(item) or _has_views(item) for item in inner)


def _conform(table: pa.Table, schema: pa.Schema, number: int) -> pa.Table:
    """Return the table with exactly this schema, or say how it differs."""
    missing = [name for name in schema.names if name not in table.column_names]
    unknown = [name for name in table.column_names if name not in schema.names]
    if missing or unknown:
        raise SchemaError(
            f"batch {number:,} has other columns than the first: missing: {', '.join(missing) or 'none'}; "
            f"unknown: {', '.join(unknown) or 'none'}; expected: {', '.join(schema.names)}"
        )
    columns = []
    for field in schema:
        column = table.column(field.name)
        found = _stored(table.schema.field(field.name)).type
        if found != field.type:
            raise SchemaError(
                f"batch {number:,}: column {field.name!r} is {found}, in the first batch it was {field.type}"
            )
        if not field.nullable and column.null_count:
            raise SchemaError(
                f"batch {number:,}: column {field.name!r} is declared without nulls, found {column.null_count:,}"
            )
        columns.append(column if column.type == field.type else column.cast(field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _merged(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield the same rows, small tables merged: each has a price of its own in memory, however few its rows."""
    waiting: list[pa.Table] = []
    rows = 0
    for table in tables:
        waiting.append(table)
        rows += len(table)
        if rows >= _MERGED_ROWS or len(waiting) >= _MERGED_TABLES:
            yield _merge(waiting)
            waiting, rows = [], 0
    if rows:
        yield _merge(waiting)


def _merge(tables: list[pa.Table]) -> pa.Table:
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables).combine_chunks()
