"""The final files of a shard of books, one for each date."""

from __future__ import annotations

from contextlib import ExitStack

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from etl_ray.orchestrators.final_files import FinalFile
from etl_ray.orchestrators.receipts import BuiltFile
from etl_ray.tables.partitions import partition_path

PARTITION_COLS = ("product_id", "date")


class DatedFiles:
    """The files of a table of shard `number` of a product, below `output`: one for each date, rows in arrival order.

    Their bytes depend on the rows and the size of row groups alone, not on how the rows come.
    """

    def __init__(
        self, table: str, product: str, number: int, *, output: str, rows_per_group: int, schema: pa.Schema
    ) -> None:
        self._table, self._product, self._number = table, product, number
        self._output, self._rows_per_group, self._schema = output, rows_per_group, schema
        self._stack = ExitStack()
        self._open: dict[str, FinalFile] = {}
        self._waiting: dict[str, list[pa.Table]] = {}

    def __enter__(self) -> DatedFiles:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]

    def write(self, rows: pa.Table) -> None:
        """Add rows; their dates tell in which file."""
        if not len(rows):
            return
        dates = rows.column("date").cast(pa.string())
        found = pc.unique(dates).to_pylist()
        for date in found:
            part = rows if len(found) == 1 else rows.filter(pc.equal(dates, date))
            waiting = self._waiting.setdefault(date, [])
            waiting.append(part.select(self._schema.names).cast(self._schema))
            if sum(len(item) for item in waiting) >= self._rows_per_group:
                self._flush(date, whole=False)

    def finish(self) -> tuple[BuiltFile, ...]:
        """Write what waits, close the files and describe them."""
        for date in self._waiting:
            self._flush(date, whole=True)
        self._stack.close()
        return tuple(file.built for _, file in sorted(self._open.items()))

    def _flush(self, date: str, *, whole: bool) -> None:
        if not self._waiting[date]:
            return
        rows = pa.concat_tables(self._waiting[date])
        size = self._rows_per_group
        ready = len(rows) if whole else len(rows) - len(rows) % size
        for begin in range(0, ready, size):
            group = _compact(rows.slice(begin, min(size, ready - begin)))
            self._writer(date).write_table(group, row_group_size=len(group))
        self._waiting[date] = [rows.slice(ready)] if ready < len(rows) else []

    def _writer(self, date: str) -> pq.ParquetWriter:
        if date not in self._open:
            directory = partition_path(self._table, PARTITION_COLS, (self._product, date))
            file = FinalFile(self._table, directory, self._number, output=self._output, schema=self._schema)
            self._open[date] = self._stack.enter_context(file)
        return self._open[date].writer


def _compact(rows: pa.Table) -> pa.Table:
    """Return the same rows in one piece, with dictionaries of the words that they have, in order of appearance."""
    rows = rows.unify_dictionaries().combine_chunks()
    columns = []
    for column in rows.columns:
        array = column.chunk(0)
        if pa.types.is_dictionary(array.type):
            codes = array.indices.dictionary_encode()
            array = pa.DictionaryArray.from_arrays(codes.indices, array.dictionary.take(codes.dictionary))
        columns.append(array)
    return pa.Table.from_arrays(columns, schema=rows.schema)
