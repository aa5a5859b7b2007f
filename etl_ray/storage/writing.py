"""A file open for writing whose failures are StorageErrors, once repeating has not helped."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO

from etl_ray.storage.retries import persist

if TYPE_CHECKING:
    from typing_extensions import Buffer

_WRITE_BYTES = 1 << 20


class Writer(io.RawIOBase):
    """A file open for writing. Who opened the inner file, which has no buffer of its own, drains and closes it.

    Small writes, of which Parquet makes thousands, are put together.
    """

    def __init__(self, url: str, inner: BinaryIO) -> None:
        self._url = url
        self._inner = inner
        self._position = 0
        self._waiting = bytearray()

    def writable(self) -> bool:
        """Say yes."""
        return True

    def write(self, data: Buffer) -> int:
        """Write all of `data`."""
        view = memoryview(data).cast("B")
        if len(self._waiting) + len(view) < _WRITE_BYTES:
            self._waiting += view
        else:
            self.drain()
            self._put(view)
        return len(view)

    def drain(self) -> None:
        """Hand on what waits."""
        waiting, self._waiting = self._waiting, bytearray()
        self._put(memoryview(waiting))

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self._position + len(self._waiting)

    def _put(self, data: memoryview) -> None:
        failed = False

        def put() -> None:
            nonlocal failed
            if failed:  # after some of the bytes, perhaps
                self._inner.seek(self._position)
            failed = True
            done = 0
            while done < len(data):
                done += self._inner.write(data[done:])

        persist("write", self._url, put)
        self._position += len(data)
