"""The rows of one Parquet file, a window at a time: by pyarrow as batches, by Polars as lazy frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pyarrow.types as pat

from etl_ray import storage
from etl_ray.errors import SchemaError, StorageError
from etl_ray.readers.filters import Condition, arrow_expression, mask
from etl_ray.readers.parquet_files import ParquetPart, RowGroup
from etl_ray.tables import SYMBOL

if TYPE_CHECKING:
    import polars as pl

WINDOW_ROWS = 262_144
_WINDOW_BYTES = 128 << 20
_WIDEST = 4  # windows: a row group of more is cut into pieces of so many, each of which begins to read it anew


def rows_at_once(part: ParquetPart, rows: int) -> int:
    """Return how many rows to hold at once: `rows`, or fewer if they are long."""
    row_bytes = max((group.bytes / group.rows for group in part.groups if group.rows), default=0.0)
    return max(1, min(rows, int(_WINDOW_BYTES / max(row_bytes, 1.0))))


def windows(groups: Sequence[RowGroup], rows: int) -> Iterator[tuple[int, int]]:
    """Yield (first row, number of rows): whole row groups of up to `rows` rows together, huge ones in pieces."""
    widest = _WIDEST * rows
    first = count = 0
    for group in groups:
        if count and count + group.rows > rows:
            yield first, count
            first, count = first + count, 0
        count += group.rows
        while count > widest:
            yield first, widest
            first, count = first + widest, count - widest
    if count:
        yield first, count


def arrow_batches(
    part: ParquetPart, schema: pa.Schema, conditions: Sequence[Condition], *, rows: int
) -> Iterator[pa.RecordBatch]:
    """Yield the matching rows with the columns of `schema`, at most `rows` at once; row groups are passed over."""
    inside = [name for name in schema.names if name not in part.added]
    try:
        with storage.open_read(part.url) as file, pq.ParquetFile(file) as parquet:
            groups = _row_groups(file, [condition for condition in conditions if condition.column in inside])
            for found in parquet.iter_batches(batch_size=rows, row_groups=groups, columns=inside):
                columns = {name: found.column(name) for name in inside}
                for name, value in part.added.items():
                    columns[name] = pa.repeat(pa.scalar(value, pa.string()), found.num_rows).cast(SYMBOL)
                batch = pa.RecordBatch.from_pydict({name: columns[name] for name in schema.names})
                if conditions:
                    batch = batch.filter(mask(conditions, batch))
                if batch.num_rows:
                    yield batch.cast(schema)
    except (pa.ArrowException, OSError) as error:
        raise damaged(part, error) from None


def _row_groups(file: object, conditions: Sequence[Condition]) -> list[int] | None:
    """Return the row groups whose statistics do not exclude a match; None for all."""
    if not conditions:
        return None
    fragment = ds.ParquetFileFormat().make_fragment(file)
    return [group.id for group in fragment.subset(arrow_expression(conditions)).row_groups]


def check_polars_types(schema: pa.Schema) -> None:
    """Raise SchemaError if a column would not come back from Polars with its type."""
    import polars as pl

    for field in schema:
        alone = pa.schema([field])
        reason = "its decimals are not 128 bits wide" if _has_odd_decimals(field.type) else ""
        try:
            if not reason:
                from_polars(pl.DataFrame(alone.empty_table()), alone)
        except (pl.exceptions.PolarsError, pa.ArrowException) as error:
            reason = str(error)
        if reason:
            raise SchemaError(
                f"column {field.name!r} is {field.type}, which Polars cannot hold: {reason}. Read with "
                "use_polars=False, or leave it out by `columns`"
            )


def from_polars(frame: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    """Return the rows of a frame with the types and metadata of `schema`, which Polars does not keep."""
    import polars as pl

    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    return pa.Table.from_arrays([_restore(table.column(field.name), field.type) for field in schema], schema=schema)


def _restore(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | pa.Array:
    if not isinstance(kind, pa.BaseExtensionType):
        return column.cast(kind)
    plain = column.combine_chunks()
    if isinstance(plain, pa.ExtensionArray):
        plain = plain.storage
    return pa.ExtensionArray.from_storage(kind, plain.cast(kind.storage_type))


def _has_odd_decimals(kind: pa.DataType) -> bool:
    # Polars would panic.
    if pat.is_decimal(kind):
        return not pat.is_decimal128(kind)
    return any(_has_odd_decimals(kind.field(index).type) for index in range(kind.num_fields))


def polars_windows(part: ParquetPart, schema: pa.Schema, *, rows: int) -> Iterator[pl.LazyFrame]:
    """Yield lazy frames that together hold the rows, in order, with the columns of `schema` and perhaps others.

    Each is short-lived: the categories of a frame live as long as any part of it does.
    """
    import polars as pl

    rows = rows_at_once(part, max(rows, WINDOW_ROWS))
    if not storage.is_local(part.url):
        for batch in arrow_batches(part, schema, (), rows=rows):
            yield pl.DataFrame(_whole(batch)).lazy()
        return
    added = [pl.lit(value, dtype=pl.Categorical()).alias(name) for name, value in part.added.items()]
    for first, count in windows(part.groups, rows):
        yield polars_scan([part.url]).slice(first, count).with_columns(added)


def _whole(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch whose fixed-size lists are no parts of longer columns: over those Polars 2.1 panics."""
    if not any(_has_fixed_lists(kind) for kind in batch.schema.types):
        return batch
    rows = pa.array(np.arange(len(batch)))
    columns = [column.take(rows) if _has_fixed_lists(column.type) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _has_fixed_lists(kind: pa.DataType) -> bool:
    return pat.is_fixed_size_list(kind) or any(
        _has_fixed_lists(kind.field(index).type) for index in range(kind.num_fields)
    )


def polars_scan(urls: Sequence[str]) -> pl.LazyFrame:
    """Return the lazy frame over local files, taken literally; columns that some of them lack must not be used."""
    import polars as pl

    paths = [storage.local_path(url) for url in urls]
    return pl.scan_parquet(paths, glob=False, hive_partitioning=False, extra_columns="ignore", missing_columns="insert")


def damaged(part: ParquetPart, error: BaseException) -> StorageError:
    """Return the error of a file that cannot be read to its end."""
    return StorageError(f"{storage.redact(part.url)}: cannot be read as Parquet: {' '.join(str(error).split())}")
