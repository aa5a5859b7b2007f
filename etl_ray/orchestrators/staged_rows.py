"""Files of staged rows: groups in sections, each an Arrow stream with its checksum, and an index at the end.

Parquet would be smaller, but such a file is read once or twice, and encoding it costs three times as much. Sections
keep the number of files small: each costs a request in a bucket, and on a disk as much as some thousand rows.
Checksums are ours, since neither Arrow's format nor its LZ4 has one, and a file that was not flushed to the disk may be
damaged by a power cut.

Layout: groups; index (JSON: by section the offset, bytes and CRC-32 of each group); bytes and CRC-32 of the index.
"""

from __future__ import annotations

import json
import os
import struct
from types import TracebackType
from typing import BinaryIO, TypeAlias

import pyarrow as pa
from isal import isal_zlib

from etl_ray import storage
from etl_ray.errors import StorageError

_MAGIC = b"ERstaged"
_TRAILER = struct.Struct("<QL8s")
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
_TAIL_BYTES = 16 << 10
"""So many bytes are read from the end at first: mostly the whole index."""
_Index: TypeAlias = dict[str, list[tuple[int, int, int]]]


class GroupWriter:
    """Writes groups of rows to a file; who opened that closes it, behind `finish`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._index: _Index = {}
        self.bytes = 0

    def write(self, section: str, rows: pa.RecordBatch) -> None:
        """Append a group to a section."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema, options=_OPTIONS) as stream:
            stream.write_batch(rows)
        data = sink.getvalue()
        self._index.setdefault(section, []).append((self.bytes, data.size, isal_zlib.crc32(data)))
        self._put(data)

    def finish(self) -> None:
        """Write the index."""
        index = json.dumps(self._index, separators=(",", ":")).encode()
        self._put(index + _TRAILER.pack(len(index), isal_zlib.crc32(index), _MAGIC))

    def _put(self, data: pa.Buffer | bytes) -> None:
        self._file.write(data)
        self.bytes += len(data)


class GroupReader:
    """Reads groups of an open file, which it closes. StorageError where the file is not as it was written."""

    def __init__(self, file: BinaryIO, staging: str, path: str) -> None:
        self._file = file
        self._staging, self._path = staging, path
        try:
            self._index = self._read_index()
        except BaseException:
            file.close()
            raise

    @staticmethod
    def open(staging: str, path: str) -> GroupReader:
        """Open a file by its path below the staging directory; to be closed."""
        return GroupReader(storage.open_read(storage.join(staging, path)), staging, path)

    def __enter__(self) -> GroupReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def sections(self) -> tuple[str, ...]:
        """The names of sections."""
        return tuple(self._index)

    def count(self, section: str) -> int:
        """Return how many groups a section has."""
        return len(self._index.get(section, ()))

    def read(self, section: str, group: int) -> pa.RecordBatch:
        """Return the rows of a group."""
        try:
            with pa.ipc.open_stream(pa.py_buffer(self._bytes(section, group))) as stream:
                return stream.read_next_batch()
        except (pa.ArrowException, StopIteration) as error:
            raise self._damaged(str(error)) from None

    def _bytes(self, section: str, group: int) -> bytearray:
        offset, size, checksum = self._index[section][group]
        self._file.seek(offset)
        data = _read_exactly(self._file, size)
        if len(data) != size or isal_zlib.crc32(data) != checksum:
            raise self._damaged(f"group {group} of {section} has another checksum than when it was written")
        return data

    def _read_index(self) -> _Index:
        end = self._file.seek(0, os.SEEK_END)
        tail = self._tail(end, min(end, _TAIL_BYTES))
        if len(tail) < _TRAILER.size:
            raise self._damaged(f"expected at least {_TRAILER.size} bytes, found {end:,}")
        size, checksum, magic = _TRAILER.unpack(tail[-_TRAILER.size :])
        if magic != _MAGIC or size > end - _TRAILER.size:
            raise self._damaged("its end is missing")
        if len(tail) < size + _TRAILER.size:
            tail = self._tail(end, size + _TRAILER.size)
        index = tail[-_TRAILER.size - size : -_TRAILER.size]
        if isal_zlib.crc32(index) != checksum:
            raise self._damaged("its index has another checksum than when it was written")
        found: _Index = json.loads(index)
        return found

    def _tail(self, end: int, size: int) -> bytes:
        self._file.seek(end - size)
        return bytes(_read_exactly(self._file, size))

    def _damaged(self, reason: str) -> StorageError:
        return StorageError(
            f"the staged piece {storage.redact(storage.join(self._staging, self._path))} cannot be read: {reason}. "
            f"Delete {storage.redact(self._staging)} and start again"
        )


def _read_exactly(file: BinaryIO, size: int) -> bytearray:
    """Return the next `size` bytes, fewer only where the file ends."""
    data = bytearray(size)
    done = 0
    with memoryview(data) as view:
        while done < size:
            count = file.readinto(view[done:])  # type: ignore[attr-defined]
            if not count:
                break
            done += count
    del data[done:]
    return data
