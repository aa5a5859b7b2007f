"""Rows into Hive partitions, whatever their number and order, in bounded memory.

Rows are taken in runs and split by partition; what is short of a row group waits. A partition that fills a row group
gets a file and streams into it. When too many rows wait, partitions that the latest run did not touch are completed,
which is all that sorted input needs. If still too many wait, those of partitions without a file are spilled to a
temporary file, and these partitions are written at the end, one after the other. A completed partition that goes on
after all has its last file written anew at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as pat

from etl_ray import storage
from etl_ray.writers.folders import partition_folder
from etl_ray.writers.parts import Layout, Part, PartFiles
from etl_ray.writers.spill import Piece, SpillFile


@dataclass(frozen=True)
class Limits:
    """What may be held at once: rows in memory, and open files."""

    rows: int
    files: int


@dataclass(frozen=True)
class _Slice:
    """Rows of a run that wait."""

    run: int
    first: int
    rows: int


@dataclass
class _Run:
    """Rows ordered by partition, and the number of their slices that wait."""

    rows: pa.Table
    slices: int


@dataclass
class _Partition:
    """A partition's rows are, in order, those of its files, `taken_back`, `spilled`, `waiting`."""

    files: PartFiles
    latest_run: int = 0
    taken_back: Part | None = None
    spilled: list[Piece] = field(default_factory=list)
    waiting: list[_Slice] = field(default_factory=list)

    @property
    def streams(self) -> bool:
        """Tell whether rows may go to its files at once, because none come before them."""
        return self.taken_back is None and not self.spilled


class PartitionedFiles:
    """Writes rows below `root`, each partition to its directory, in the order in which its rows arrive.

    Use as a context: an exception leaves no unfinished file.
    """

    def __init__(self, root: str, layout: Layout, columns: Sequence[str], limits: Limits) -> None:
        self._root = root
        self._layout = layout
        self._columns = columns
        self._rows_per_run = max(1, limits.rows // 4)  # a run is there twice while it is split
        self._max_held_rows = limits.rows // 2
        self._max_open_files = limits.files
        self._stack = ExitStack()
        self._spill = self._stack.enter_context(SpillFile(root))
        self._partitions: dict[str, _Partition] = {}
        self._open: dict[str, _Partition] = {}
        self._runs: dict[int, _Run] = {}
        self._run = 0

    def __enter__(self) -> PartitionedFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def write(self, tables: Iterable[pa.Table]) -> list[Part]:
        """Write all rows; return the files in the order of their paths."""
        for run in _runs(tables, self._rows_per_run):
            self._add(run)
        for folder in sorted(self._partitions):
            self._write_rest(self._partitions[folder])
            self._close(folder)
        return [part for folder in sorted(self._partitions) for part in self._partitions[folder].files.parts]

    def _add(self, run: pa.Table) -> None:
        self._run += 1
        rows, pieces = _split(run, self._columns)
        self._runs[self._run] = _Run(rows, len(pieces))
        for values, first, count in pieces:
            folder = partition_folder(self._columns, values)
            partition = self._partitions.get(folder)
            if partition is None:
                files = self._stack.enter_context(PartFiles(storage.join(self._root, folder), self._layout))
                partition = self._partitions[folder] = _Partition(files)
            elif partition.streams and folder not in self._open:
                partition.taken_back = partition.files.take_back()
            partition.latest_run = self._run
            partition.waiting.append(_Slice(self._run, first, count))
            if partition.streams:
                self._stream(folder, partition)
        self._relieve()

    def _stream(self, folder: str, partition: _Partition) -> None:
        """Write what fills row groups."""
        if folder not in self._open:
            if sum(item.rows for item in partition.waiting) < self._layout.rows_per_group:
                return
            while len(self._open) >= self._max_open_files:
                self._close(next(iter(self._open)))
        self._open.pop(folder, None)
        self._open[folder] = partition  # the latest in use stands last
        partition.files.add(self._take(partition))
        partition.files.write_groups()
        partition.files.own_latest()

    def _relieve(self) -> None:
        """Hold fewer rows, if they are too many."""
        if self._held_rows() <= self._max_held_rows:
            return
        for folder, partition in self._partitions.items():
            if partition.latest_run < self._run and partition.streams and (partition.waiting or folder in self._open):
                self._close(folder)
        if self._held_rows() <= self._max_held_rows:
            return
        for partition in self._partitions.values():
            if partition.waiting:
                partition.spilled.append(self._spill.put(self._take(partition)))
        while self._open and self._held_rows() > self._max_held_rows:
            self._close(next(iter(self._open)))

    def _held_rows(self) -> int:
        pending = sum(partition.files.pending_rows for partition in self._open.values())
        return pending + sum(len(run.rows) for run in self._runs.values())

    def _close(self, folder: str) -> None:
        """Complete the files of a partition."""
        partition = self._partitions[folder]
        if partition.waiting:
            partition.files.add(self._take(partition))
        partition.files.finish()
        self._open.pop(folder, None)

    def _write_rest(self, partition: _Partition) -> None:
        """Write rows that come before those that wait."""
        if partition.taken_back is not None:
            for group in _read(partition.taken_back):
                partition.files.add(group.cast(self._layout.schema))  # Parquet has no seconds, for example
                partition.files.write_groups()
        for piece in partition.spilled:
            partition.files.add(self._spill.get(piece))
            partition.files.write_groups()

    def _take(self, partition: _Partition) -> pa.Table:
        """Return the rows of a partition that wait, as slices of their runs; runs of which all is taken go."""
        taken = []
        for item in partition.waiting:
            run = self._runs[item.run]
            taken.append(run.rows.slice(item.first, item.rows))
            run.slices -= 1
            if not run.slices:
                del self._runs[item.run]
        partition.waiting = []
        return pa.concat_tables(taken)


def _runs(tables: Iterable[pa.Table], rows_per_run: int) -> Iterator[pa.Table]:
    """Yield the same rows in tables of exactly `rows_per_run`, but for the last."""
    waiting: list[pa.Table] = []
    rows = 0
    for table in tables:
        first = 0
        while rows + len(table) - first >= rows_per_run:
            count = rows_per_run - rows
            yield pa.concat_tables([*waiting, table.slice(first, count)])
            waiting, rows, first = [], 0, first + count
        if first < len(table):
            waiting.append(table.slice(first))
            rows += len(table) - first
    if rows:
        yield pa.concat_tables(waiting)


def _split(run: pa.Table, columns: Sequence[str]) -> tuple[pa.Table, list[tuple[tuple[object, ...], int, int]]]:
    """Return the rows ordered by partition, else in their order, and (values, first row, rows) of each partition."""
    whole = run.unify_dictionaries().combine_chunks()
    codes: npt.NDArray[np.int64] = np.zeros(len(whole), np.int64)
    known: list[tuple[object, ...]] = [()]
    for name in columns:
        column = whole.column(name)
        if pat.is_dictionary(column.type):
            column = column.cast(column.type.value_type)  # a foreign dictionary may hold a word twice
        words = pc.dictionary_encode(column.combine_chunks(), null_encoding="encode")
        values = words.dictionary.to_pylist()
        pairs = pc.dictionary_encode(pa.array(codes * len(values) + words.indices.to_numpy()))
        known = [(*known[code // len(values)], values[code % len(values)]) for code in pairs.dictionary.to_pylist()]
        codes = pairs.indices.to_numpy().astype(np.int64)
    if np.any(codes[1:] < codes[:-1]):
        narrow = codes.astype(np.uint16) if len(known) <= 2**16 else codes  # radix sort where there are few
        whole = whole.take(pa.array(np.argsort(narrow, kind="stable")))
    counts = np.bincount(codes, minlength=len(known))
    firsts = (np.cumsum(counts) - counts).tolist()
    return whole, list(zip(known, firsts, counts.tolist(), strict=True))


def _read(part: Part) -> Iterator[pa.Table]:
    with storage.open_read(part.url) as file, pq.ParquetFile(file) as parquet:
        for index in range(parquet.num_row_groups):
            yield parquet.read_row_group(index)
