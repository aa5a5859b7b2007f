"""Row groups of written tables in arrival order, with the bounds that say which of them have to be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from etl_ray import storage
from etl_ray.errors import NotFoundError, StorageError
from etl_ray.orchestrators.receipts import BuiltFile
from etl_ray.tables.partitions import encode_value
from etl_ray.venues.rows import Bools, Int64s

NO_DATE = ""
"""The date of files that are not partitioned by it."""


class Place(NamedTuple):
    """A line of a recording; places compare in arrival order."""

    segment: str
    line: int


@dataclass(frozen=True)
class RowGroup:
    """A row group of a file. No row lies before `first` or behind `last`, or is earlier than `ts_min` (ns UTC).

    `constants` are the values of columns that have only one.
    """

    file: pq.ParquetFile
    url: str
    index: int
    first: Place
    last: Place
    ts_min: int
    constants: dict[str, object]

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Return some columns of its rows."""
        try:
            # A thread of Arrow's that outlives the call may abort the process when Python ends.
            return self.file.read_row_group(self.index, columns=list(columns), use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise damaged(self.url, error) from None


class ProductFiles:
    """The files of a table that may hold rows of a product, as a manifest lists them; `opened` closes them."""

    def __init__(self, output: str, table: str, product: str, *, files: Iterable[BuiltFile], opened: ExitStack) -> None:
        self._output = output
        self._stack = opened
        self._by_date: dict[str, list[str]] = {}
        self._opened: dict[str, list[RowGroup]] = {}
        for file in files:
            keys = dict(part.split("=", 1) for part in file.path.split("/")[1:-1])
            if file.table == table and keys.get("product_id", encode_value(product)) == encode_value(product):
                self._by_date.setdefault(keys.get("date", NO_DATE), []).append(file.path)

    @property
    def dates(self) -> list[str]:
        """The dates of the files, in order."""
        return sorted(self._by_date)

    def files_backwards(self, date: str) -> Iterator[list[RowGroup]]:
        """Yield the row groups of each file of a date, the last file first, each opened when its turn comes."""
        for path in sorted(self._by_date.get(date, ()), key=lambda path: (len(path), path), reverse=True):
            yield self._groups(path)

    def groups_backwards(self, date: str) -> Iterator[RowGroup]:
        """Yield the row groups of a date, the last one first."""
        for groups in self.files_backwards(date):
            yield from reversed(groups)

    def _groups(self, path: str) -> list[RowGroup]:
        if path not in self._opened:
            self._opened[path] = open_groups(storage.join(self._output, path), self._stack)
        return self._opened[path]


def open_groups(url: str, opened: ExitStack) -> list[RowGroup]:
    """Return the row groups of a file that a manifest lists; `opened` closes it."""
    try:
        file = pq.ParquetFile(opened.enter_context(storage.open_read(url)))
        return [_group(file, url, index) for index in range(file.num_row_groups)]
    except NotFoundError:
        raise missing(url) from None
    except (pa.ArrowException, OSError) as error:
        raise damaged(url, error) from None


def places_of(rows: pa.Table) -> tuple[list[str], Int64s, Int64s]:
    """Return segments in order, and of each row the index of its segment and the line."""
    column = rows.column("segment").unify_dictionaries().combine_chunks()
    names = column.dictionary.to_pylist()
    ordered = sorted(names)
    rank = np.array([ordered.index(name) for name in names], np.int64)
    return ordered, rank[column.indices.to_numpy()], rows.column("line").to_numpy()


def not_behind(rows: pa.Table, place: Place) -> Bools:
    """Tell which rows are not behind a place."""
    segments, segment, line = places_of(rows)
    below = sum(name < place.segment for name in segments)
    same = place.segment in segments
    found: Bools = (segment < below) | (same & (segment == below) & (line <= place.line))
    return found


def equals(rows: pa.Table, column: str, value: str) -> Bools:
    """Tell which rows have a value in a column of strings."""
    found: Bools = pc.equal(rows.column(column).cast(pa.string()), value).to_numpy()
    return found


def _group(file: pq.ParquetFile, url: str, index: int) -> RowGroup:
    metadata = file.metadata.row_group(index)
    columns = {metadata.column(k).path_in_schema: k for k in range(metadata.num_columns)}
    absent = [name for name in ("segment", "line", "ts_server") if name not in columns]
    if absent:
        raise StorageError(f"{storage.redact(url)}: expected the columns of its table, missing: {', '.join(absent)}")
    known = {name: metadata.column(k).statistics for name, k in columns.items()}
    segment, line = known["segment"], known["line"]
    constants = {
        name: known[name].min
        for name in ("product_id", "connection_id", "is_snapshot")
        if name in known and known[name].min == known[name].max
    }
    first, last = Place(segment.min, line.min), Place(segment.max, line.max)
    return RowGroup(file, url, index, first, last, known["ts_server"].min_raw, constants)


def missing(url: str) -> StorageError:
    """Return the error of a file that a manifest lists and that is not there."""
    return StorageError(f"{storage.redact(url)} is missing, though a run has committed it; run again with --overwrite")


def damaged(url: str, error: BaseException) -> StorageError:
    """Return the error of a file that cannot be read."""
    return StorageError(f"{storage.redact(url)}: cannot be read as Parquet: {' '.join(str(error).split())}")
