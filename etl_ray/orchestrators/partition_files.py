"""The rows of a table that are made all at once, as final files: one for each partition."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from etl_ray.orchestrators.build import BuildOptions, grouped
from etl_ray.orchestrators.custom import apply, load_processors
from etl_ray.orchestrators.final_files import write_final
from etl_ray.orchestrators.receipts import BuiltFile
from etl_ray.orchestrators.staging import split
from etl_ray.tables.partitions import partition_path
from etl_ray.tables.schema import SYMBOL


def write_partitions(
    table: str, rows: pa.Table, *, partition_cols: tuple[str, ...], number: int, options: BuildOptions
) -> Iterator[BuiltFile]:
    """Write rows, in their order, to the `number`-th file of each partition; the user's processors come before."""
    processors = options.processors.get(table, ())
    if not len(rows):
        return
    (whole,) = rows.combine_chunks().to_batches()
    for values, part in split(whole, [whole.column(name) for name in partition_cols]):
        directory = partition_path(table, partition_cols, values)
        batches = iter([_compact(pa.Table.from_batches([part]))])
        if processors:
            batches = apply(load_processors(processors), batches, directory)
        groups = list(grouped(batches, options.rows_per_group))
        if not groups:
            continue
        yield write_final(table, directory, number, groups, output=options.output, schema=groups[0].schema)


def _compact(rows: pa.Table) -> pa.Table:
    """Return the same rows, with dictionaries of the words that they have."""
    columns = [
        column.cast(pa.string()).combine_chunks().dictionary_encode().cast(SYMBOL) if column.type == SYMBOL else column
        for column in rows.columns
    ]
    return pa.Table.from_arrays(columns, schema=rows.schema)
