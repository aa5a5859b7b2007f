"""A final file in the making: Parquet that gets its name by its content when it is done."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from contextlib import ExitStack
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from etl_ray import storage
from etl_ray.orchestrators.receipts import BuiltFile
from etl_ray.writers.encodings import writer_options

_NAME = re.compile(r"(?P<directory>.*/)part-(?P<number>[0-9]{5,})-(?P<content>[0-9a-f]{12})\.parquet")
_TIMES = ("ts_start", "ts_server", "valid_from", "ts_first")
_BUFFER_BYTES = 256 << 10
_OF_EVENTS = ("market_trades", "trades_with_book")


class FinalFile:
    """The `number`-th file of a directory of `table`, below `output`; it appears when the block ends without error.

    Rows go to `writer`; `built` describes the file then.
    """

    def __init__(self, table: str, directory: str, number: int, *, output: str, schema: pa.Schema) -> None:
        self._table, self._directory, self._number, self._output = table, directory, number, output
        self._schema = schema
        self._stack = ExitStack()
        self._metadata: list[pq.FileMetaData] = []

    def __enter__(self) -> FinalFile:
        # Every temporary name of a file is its own, so this one only says where.
        url = storage.join(self._output, self._directory, f"part-{self._number:05d}.parquet")
        raw = self._stack.enter_context(storage.open_write(url, final_url=self._url))
        self._file = _Hashed(raw)
        # Thousands of small writes become a few before they come to Python.
        sink = self._stack.enter_context(pa.BufferedOutputStream(pa.PythonFile(self._file, mode="w"), _BUFFER_BYTES))
        self.writer = self._stack.enter_context(
            pq.ParquetWriter(sink, self._schema, metadata_collector=self._metadata, **writer_options(self._schema))
        )
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]

    def write_groups(self, groups: Iterable[pa.Table]) -> None:
        """Write each table as a row group."""
        for group in groups:
            self.writer.write_table(group, row_group_size=max(1, len(group)))

    @property
    def built(self) -> BuiltFile:
        """The file as it was written."""
        (metadata,) = self._metadata
        first, last = _times(metadata, self._table)
        return BuiltFile(
            table=self._table,
            path=self._path,
            rows=metadata.num_rows,
            bytes=self._file.size,
            sha256=self._file.digest,
            ts_min=first,
            ts_max=last,
        )

    @property
    def _path(self) -> str:
        return f"{self._directory}/{file_name(self._number, self._file.digest)}"

    def _url(self) -> str:
        return storage.join(self._output, self._path)


def write_final(
    table: str, directory: str, number: int, groups: Iterable[pa.Table], *, output: str, schema: pa.Schema
) -> BuiltFile:
    """Write tables as the row groups of one final file."""
    file = FinalFile(table, directory, number, output=output, schema=schema)
    with file:
        file.write_groups(groups)
    return file.built


def file_name(number: int, sha256: str) -> str:
    """Return the name of a final file: its place in its directory, and the beginning of its checksum."""
    return f"part-{number:05d}-{sha256[:12]}.parquet"


def file_number(path: str) -> int:
    """Return the place of a final file in its directory."""
    match = _NAME.fullmatch(path)
    if match is None:
        raise ValueError(f"{path}: expected the name of a final file")
    return int(match["number"])


def content_of(path: str) -> str:
    """Return what tells a final file from others of other content, wherever it stands in its directory."""
    match = _NAME.fullmatch(path)
    return path if match is None else f"{match['directory']}{match['content']}"


def _times(metadata: pq.FileMetaData, table: str) -> tuple[int | None, int | None]:
    """Return the least and the greatest time of a file's rows, ns UTC; None where there is none."""
    names = {metadata.schema.column(k).path: k for k in range(metadata.num_columns)}
    wanted = ("ts_event",) if table in _OF_EVENTS else _TIMES
    column = next((names[name] for name in wanted if name in names), None)
    if column is None:
        return None, None
    found = [metadata.row_group(k).column(column).statistics for k in range(metadata.num_row_groups)]
    known = [item for item in found if item is not None and item.has_min_max]
    if not known:
        return None, None
    return min(int(item.min_raw) for item in known), max(int(item.max_raw) for item in known)


class _Hashed:
    """A file open for writing that knows the checksum and the number of the bytes that went to it."""

    def __init__(self, inner: BinaryIO) -> None:
        self._inner = inner
        self._hash = hashlib.sha256()
        self.size = 0
        self.closed = False

    @property
    def digest(self) -> str:
        """The SHA-256 of what was written so far, hexadecimal."""
        return self._hash.hexdigest()

    def write(self, data: pa.Buffer | bytes) -> int:
        """Write all of `data`."""
        self._hash.update(memoryview(data))
        written = self._inner.write(cast(bytes, data))
        self.size += written
        return written

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self.size

    def flush(self) -> None:
        """Do nothing: the inner file is whole when it is closed."""

    def close(self) -> None:
        """Close this view; who opened the inner file closes that."""
        self.closed = True

    def writable(self) -> bool:
        """Say yes."""
        return True

    def readable(self) -> bool:
        """Say no."""
        return False

    def seekable(self) -> bool:
        """Say no."""
        return False
