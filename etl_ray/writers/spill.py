"""Rows that do not fit into memory, in a temporary file without a name: nothing of it outlives the process."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import IO

import pyarrow as pa

from etl_ray import storage
from etl_ray.storage.failures import reporting


@dataclass(frozen=True)
class Piece:
    """Rows in the file, by place and length in bytes."""

    offset: int
    length: int


class SpillFile:
    """Takes tables and gives them back in any order.

    It lies below a local `output`, else where the system's temporary files do.
    """

    def __init__(self, output: str) -> None:
        self._folder = str(storage.local_path(output)) if storage.is_local(output) else tempfile.gettempdir()
        self._stack = ExitStack()
        self._file: IO[bytes] | None = None
        self._end = 0

    def __enter__(self) -> SpillFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def put(self, rows: pa.Table) -> Piece:
        """Append rows."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as stream:
            stream.write_table(rows)
        data = sink.getvalue()
        with reporting("write a temporary file in", self._folder):
            file = self._opened()
            file.seek(self._end)
            file.write(data)
        piece = Piece(self._end, data.size)
        self._end += data.size
        return piece

    def get(self, piece: Piece) -> pa.Table:
        """Read rows back."""
        with reporting("read a temporary file in", self._folder):
            file = self._opened()
            file.seek(piece.offset)
            data = file.read(piece.length)
        return pa.ipc.open_stream(data).read_all()

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            storage.local_path(self._folder).mkdir(parents=True, exist_ok=True)
            self._file = self._stack.enter_context(tempfile.TemporaryFile(dir=self._folder))  # noqa: SIM115  # closed by the stack
        return self._file
