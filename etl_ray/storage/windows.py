"""A file in a bucket, read by ranges: small ones after a jump, larger ones while it is read on."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from typing_extensions import Buffer

FIRST_BYTES = 256 << 10
"""Of the first range after a jump: the head of a segment, the footer or one column of a Parquet file."""
MOST_BYTES = 16 << 20
"""Of a range: less would be dominated by the latency of the request."""
_GROWTH = 4


class Windows(io.RawIOBase):
    """A file open for reading over `inner`, each of whose reads is one request for just these bytes.

    The caches of gcsfs and s3fs do not do: one asks for as little as each call does, and reads up to 256 MB ahead in
    the background, the other asks for a whole block even if four bytes are wanted.
    """

    def __init__(self, inner: BinaryIO) -> None:
        self._inner = inner
        self._window = bytearray()
        self._start = 0
        self._position = inner.tell()
        self._size = inner.seek(0, io.SEEK_END)
        self._next_bytes = FIRST_BYTES

    @property
    def details(self) -> Mapping[str, object] | None:
        """What the storage says of the file; None if it says nothing."""
        details = getattr(self._inner, "details", None)
        return details if isinstance(details, Mapping) else None

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, target: Buffer) -> int:
        """Read into `target` and return the number of bytes: those at hand, else those of the next range."""
        view = memoryview(target).cast("B")
        if not self._start <= self._position < self._start + len(self._window) and len(view):
            self._fetch(len(view))
        offset = self._position - self._start
        count = max(0, min(len(view), len(self._window) - offset))
        view[:count] = memoryview(self._window)[offset : offset + count]
        self._position += count
        return count

    def readall(self) -> bytes:
        """Return all bytes from here to the end."""
        pieces = []
        while piece := self.read(MOST_BYTES):
            pieces.append(piece)
        return b"".join(pieces)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to another place; no request is made."""
        if whence == io.SEEK_CUR:
            offset, whence = offset + self._position, io.SEEK_SET
        self._position = self._inner.seek(offset, whence)
        return self._position

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._position

    def close(self) -> None:
        """Close the file."""
        self._inner.close()
        super().close()

    def _fetch(self, wanted: int) -> None:
        goes_on = self._position == self._start + len(self._window)
        self._next_bytes = min(self._next_bytes * _GROWTH, MOST_BYTES) if goes_on and self._window else FIRST_BYTES
        left = max(0, self._size - self._position)  # to ask for more is refused
        window = bytearray(min(left, max(self._next_bytes, min(wanted, MOST_BYTES))))
        count = 0
        if window:
            self._inner.seek(self._position)
            with memoryview(window) as view:
                count = cast(io.FileIO, self._inner).readinto(view) or 0
        del window[count:]
        self._start, self._window = self._position, window
