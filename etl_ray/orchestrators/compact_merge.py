"""Files of a partition merged into one, and the proof that it has their rows in their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from etl_ray import storage
from etl_ray.errors import NotFoundError, StorageError
from etl_ray.orchestrators.build import grouped
from etl_ray.orchestrators.compact_plan import BY_ID, Merge
from etl_ray.orchestrators.final_files import write_final
from etl_ray.orchestrators.receipts import Built, BuiltFile
from etl_ray.orchestrators.row_groups import damaged, missing
from etl_ray.orchestrators.verify import file_sha256
from etl_ray.venues.rows import Int64s


@dataclass(frozen=True)
class MergeOptions:
    """Files are read below `input`, and the new ones are written below `output`."""

    input: str
    output: str


def merge(item: Merge, options: MergeOptions) -> Built:
    """Write the merged file, read it again, and compare every row; there is none of files that cannot be merged.

    StorageError if a file is not what was committed, AssertionError if the new one does not have the same rows.
    """
    for file in item.files:
        url = storage.join(options.input, file.path)
        if file_sha256(url) != file.sha256:
            found = "expected the bytes that were committed, found others; `etl-ray verify` compares all files"
            raise StorageError(f"{storage.redact(url)}: {found}")
    files = [_File.of(options.input, file) for file in item.files]
    if any(not file.schema.equals(files[0].schema, check_metadata=True) for file in files):
        return Built(())  # processors of the user's own may yield what they like
    if item.by_id and not _has_ranges(files):
        return Built(())
    rows = _by_time(files) if item.by_id else (rows for file in files for rows in file.groups())
    groups = (_own_words(group) for group in grouped(rows, item.rows_per_group))
    built = write_final(item.table, item.directory, item.number, groups, output=options.output, schema=files[0].schema)
    _prove(files, _File.of(options.output, built), by_id=item.by_id)
    return Built((built,))


@dataclass(frozen=True)
class _File:
    """A file of rows; those of trades with the least and the greatest of their ids and times (ns)."""

    url: str
    rows: int
    schema: pa.Schema
    ids: tuple[int, int] = (0, 0)
    times: tuple[int, int] = (0, 0)

    @staticmethod
    def of(root: str, built: BuiltFile) -> _File:
        """Look into a file below `root`."""
        url = storage.join(root, built.path)
        with ExitStack() as opened:
            file = _open(url, opened)
            if built.table != BY_ID:
                return _File(url, built.rows, file.schema_arrow)
            return _File(url, built.rows, file.schema_arrow, _bounds(file, "trade_id"), _bounds(file, "ts_event"))

    def groups(self) -> Iterator[pa.Table]:
        """Yield the rows of each row group; the file is open in between."""
        with ExitStack() as opened:
            file = _open(self.url, opened)
            for index in range(file.num_row_groups):
                try:
                    rows = file.read_row_group(index, use_threads=False)
                except (pa.ArrowException, OSError) as error:
                    raise damaged(self.url, error) from None
                yield rows


def _open(url: str, opened: ExitStack) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(opened.enter_context(storage.open_read(url)))
    except NotFoundError:
        raise missing(url) from None
    except (pa.ArrowException, OSError) as error:
        raise damaged(url, error) from None


def _bounds(file: pq.ParquetFile, column: str) -> tuple[int, int]:
    """Return the least and the greatest value of a column of integers or times."""
    index = file.schema_arrow.names.index(column)
    found = [file.metadata.row_group(k).column(index).statistics for k in range(file.num_row_groups)]
    return min(item.min_raw for item in found), max(item.max_raw for item in found)


def _has_ranges(files: Sequence[_File]) -> bool:
    """Tell whether files of trades have ranges of ids that follow each other."""
    return all(before.ids[1] < behind.ids[0] for before, behind in pairwise(files))


@dataclass
class _Waiting:
    """What has been read of a file that is sorted by time, and not been passed on."""

    groups: Iterator[pa.Table]
    rows: pa.Table
    times: Int64s
    more: bool = True

    @staticmethod
    def of(file: _File) -> _Waiting:
        """Begin to read a file."""
        groups = file.groups()
        rows = next(groups)
        return _Waiting(groups, rows, _times(rows))

    def read(self) -> None:
        """Add the next row group, if there is one."""
        rows = next(self.groups, None)
        if rows is None:
            self.more = False
            return
        self.rows = pa.concat_tables([self.rows, rows])
        self.times = np.concatenate([self.times, _times(rows)])

    def take(self, before: int | None) -> pa.Table:
        """Remove and return the rows before a time; None: all."""
        count = len(self.rows) if before is None else int(np.searchsorted(self.times, before))
        found = self.rows.slice(0, count)
        self.rows, self.times = self.rows.slice(count), self.times[count:]
        return found


def _by_time(files: Iterable[_File]) -> Iterator[pa.Table]:
    """Yield the rows of files of trades by (ts_event, trade_id); each file is sorted so.

    Of each file whose times meet those of others one row group is held, as a rule.
    """
    later = sorted(files, key=lambda file: file.times[0])
    begun: list[_Waiting] = []
    while later or begun:
        # All rows before this time are there.
        ends = [(int(item.times[-1]) if len(item.times) else -(2**63), item) for item in begun if item.more]
        end, behind = min(ends, key=lambda pair: pair[0], default=(None, None))
        if later and (end is None or later[0].times[0] <= end):
            begun.append(_Waiting.of(later.pop(0)))
            continue
        yield from _sorted(item.take(end) for item in begun)
        if behind is not None:
            behind.read()
        begun = [item for item in begun if item.more or len(item.rows)]


def _sorted(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    found = [rows for rows in tables if len(rows)]
    if len(found) <= 1:
        yield from found
        return
    rows = pa.concat_tables(found).unify_dictionaries()
    yield rows.take(pa.array(np.lexsort((rows.column("trade_id").to_numpy(), _times(rows)))))


def _times(rows: pa.Table) -> Int64s:
    found: Int64s = rows.column("ts_event").cast(pa.int64()).to_numpy()
    return found


def _own_words(rows: pa.Table) -> pa.Table:
    """Return the same rows, with dictionaries of the words that they have, in order of appearance."""
    columns = []
    for column in rows.unify_dictionaries().combine_chunks().columns:
        array = column.chunk(0)
        if pa.types.is_dictionary(array.type):
            codes = array.indices.dictionary_encode()
            array = pa.DictionaryArray.from_arrays(
                codes.indices.cast(array.type.index_type), array.dictionary.take(codes.dictionary)
            )
        columns.append(array)
    return pa.Table.from_arrays(columns, schema=rows.schema)


@dataclass
class _Cursor:
    """The rows of files, taken in portions."""

    schema: pa.Schema
    files: Sequence[_File]
    taken: int = 0
    rest: list[pa.Table] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._tables = (rows for file in self.files for rows in file.groups())
        self._total = sum(file.rows for file in self.files)

    def take(self, count: int) -> pa.Table:
        """Return the next rows, fewer at the end."""
        while sum(len(rows) for rows in self.rest) < count and (rows := next(self._tables, None)) is not None:
            self.rest.append(rows)
        whole = pa.concat_tables([self.schema.empty_table(), *self.rest])
        # An empty slice would keep the memory of all rows.
        self.rest = [whole.slice(count)] if len(whole) > count else []
        found = whole.slice(0, count)
        self.taken += len(found)
        if self.taken == self._total:
            self._tables.close()  # there may be many files, of which few are read at once
        return found


def _prove(files: Sequence[_File], merged: _File, *, by_id: bool) -> None:
    """Raise AssertionError unless the merged file has all rows of the others, and no other ones, in order."""
    if by_id:
        cursors = [_Cursor(merged.schema, [file]) for file in files]
        begins = np.array([file.ids[0] for file in files], np.int64)
    else:
        cursors = [_Cursor(merged.schema, files)]
        begins = np.zeros(0, np.int64)
    last: tuple[int, int] | None = None
    for rows in merged.groups():
        if not by_id:
            _check_same(rows, cursors[0], merged)
            continue
        ids, times = rows.column("trade_id").to_numpy(), _times(rows)
        if not _is_sorted(times, ids, last):
            raise AssertionError(f"{merged.url} is not sorted by ts_event and trade_id")
        last = int(times[-1]), int(ids[-1])
        # Each file has a range of ids, and the order that it had.
        owner = np.searchsorted(begins, ids, "right") - 1
        for number in np.unique(owner).tolist():
            _check_same(rows.filter(pa.array(owner == number)), cursors[number], merged)
    taken, wanted = sum(cursor.taken for cursor in cursors), sum(file.rows for file in files)
    if not taken == merged.rows == wanted:
        raise AssertionError(f"{merged.url} has {merged.rows} rows, of which {taken} were compared; expected {wanted}")


def _is_sorted(times: Int64s, ids: Int64s, last: tuple[int, int] | None) -> bool:
    rises = (times[1:] > times[:-1]) | ((times[1:] == times[:-1]) & (ids[1:] > ids[:-1]))
    return bool(rises.all()) and (last is None or last < (int(times[0]), int(ids[0])))


def _check_same(rows: pa.Table, cursor: _Cursor, merged: _File) -> None:
    before = cursor.taken
    expected = cursor.take(len(rows))
    for name in rows.column_names:
        if not _is_same(rows.column(name), expected.column(name)):
            raise AssertionError(f"{merged.url}: {name} differs from what was merged, near row {before} of its file")


def _is_same(left: pa.ChunkedArray, right: pa.ChunkedArray) -> bool:
    """Tell whether columns have the same values, bit by bit, whatever the words of their dictionaries."""
    kind = left.type
    if kind != right.type or len(left) != len(right):
        return False
    if pa.types.is_dictionary(kind):
        return bool(left.cast(kind.value_type).equals(right.cast(kind.value_type)))
    if pa.types.is_floating(kind):  # NaN is not equal to itself, and the two zeros are equal
        bits = {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[kind.bit_width]
        return bool(left.combine_chunks().view(bits).equals(right.combine_chunks().view(bits)))
    if pa.types.is_nested(kind):  # may have floats inside
        return repr(left.to_pylist()) == repr(right.to_pylist())
    return bool(left.equals(right))
