"""The files of one directory: part-00000.parquet and so on, in row groups of a fixed size."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as pat

from etl_ray import storage
from etl_ray.writers.encodings import writer_options


@dataclass(frozen=True)
class Layout:
    """How rows are laid out: `rows_per_group` in every row group and `rows_per_file` in every file but the last."""

    schema: pa.Schema
    rows_per_group: int
    rows_per_file: int


@dataclass(frozen=True)
class Part:
    """A finished file."""

    url: str
    rows: int


class PartFiles:
    """Writes rows to part files below `root`, each of which appears when it is complete.

    Rows short of a row group wait in memory. Use as a context: an exception leaves no unfinished file.
    """

    def __init__(self, root: str, layout: Layout) -> None:
        self.parts: list[Part] = []
        self._root = root
        self._layout = layout
        self._pending: list[pa.Table] = []
        self._pending_rows = 0
        self._stack = ExitStack()
        self._writer: pq.ParquetWriter | None = None
        self._file_rows = 0

    def __enter__(self) -> PartFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @property
    def pending_rows(self) -> int:
        """Return the number of rows that wait in memory."""
        return self._pending_rows

    def add(self, table: pa.Table) -> None:
        """Take rows in, without writing any."""
        self._pending.append(table)
        self._pending_rows += len(table)

    def own_latest(self) -> None:
        """Copy the rows added last, so that they do not keep the bigger table alive of which they are a slice."""
        if self._pending:
            self._pending[-1] = self._pending[-1].take(pa.array(np.arange(len(self._pending[-1]))))

    def take_back(self) -> Part | None:
        """Give up the last file if it is not full: its rows have to be added again, before all others."""
        if self.parts and self.parts[-1].rows < self._layout.rows_per_file:
            return self.parts.pop()
        return None

    def write_groups(self) -> None:
        """Write all full row groups."""
        if self._pending_rows < self._next_group:
            return
        rows = self._take_pending()
        first = 0
        while len(rows) - first >= self._next_group:
            count = self._next_group
            self._write(rows.slice(first, count))
            first += count
        if first < len(rows):
            self.add(rows.slice(first))

    def finish(self) -> None:
        """Write what waits as the last row group and complete the file; later rows begin another file."""
        self.write_groups()
        if self._pending_rows:
            self._write(self._take_pending())
        if self._writer is not None:
            self._close()

    def write_empty(self) -> None:
        """Write a file without rows, which keeps the schema."""
        self._write(self._layout.schema.empty_table())
        self._close()

    def _take_pending(self) -> pa.Table:
        rows = pa.concat_tables(self._pending)
        self._pending, self._pending_rows = [], 0
        return rows

    @property
    def _next_group(self) -> int:
        return min(self._layout.rows_per_group, self._layout.rows_per_file - self._file_rows)

    def _write(self, rows: pa.Table) -> None:
        if self._writer is None:
            schema = self._layout.schema
            file = self._stack.enter_context(storage.open_write(self._url()))
            self._writer = self._stack.enter_context(pq.ParquetWriter(file, schema, **writer_options(schema)))
        self._writer.write_table(_group(rows), row_group_size=max(1, len(rows)))
        self._file_rows += len(rows)
        if self._file_rows == self._layout.rows_per_file:
            self._close()

    def _close(self) -> None:
        self._stack.close()
        self.parts.append(Part(self._url(), self._file_rows))
        self._writer = None
        self._file_rows = 0

    def _url(self) -> str:
        return storage.join(self._root, f"part-{len(self.parts):05}.parquet")


def _group(rows: pa.Table) -> pa.Table:
    """Return the rows in one piece; dictionaries hold their words in order of appearance and no others.

    So a file does not depend on how its rows were cut into batches, nor on other partitions.
    """
    columns = [_compact(column) if pat.is_dictionary(column.type) else column for column in rows.columns]
    return pa.Table.from_arrays(columns, schema=rows.schema)


def _compact(column: pa.ChunkedArray) -> pa.Array:
    whole = column.unify_dictionaries().combine_chunks()
    if whole.type.ordered:
        return whole  # its order is not that of appearance
    words = pc.unique(whole.indices).drop_null()
    if len(words) == len(whole.dictionary) and words.equals(pa.array(np.arange(len(words)), words.type)):
        return whole
    place = np.zeros(max(1, len(whole.dictionary)), np.int32)
    place[words.to_numpy()] = np.arange(len(words))
    indices = pa.array(place).take(whole.indices)
    return pa.DictionaryArray.from_arrays(indices, whole.dictionary.take(words))
