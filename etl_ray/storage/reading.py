"""A file open for reading whose failures are StorageErrors, once repeating has not helped."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, TypeVar, cast

from etl_ray.errors import StorageError
from etl_ray.storage import remote
from etl_ray.storage.access import filesystem
from etl_ray.storage.failures import failures
from etl_ray.storage.files import local_path
from etl_ray.storage.retries import persist
from etl_ray.storage.windows import Windows
from etl_ray.urls import is_local, redact

if TYPE_CHECKING:
    from typing_extensions import Buffer

Result = TypeVar("Result")


class Reader(io.RawIOBase):
    """A file open for reading from byte `start` on; where reading fails for a while, it is opened anew."""

    def __init__(self, url: str, start: int) -> None:
        self._url = url
        self._position = start
        self._failed = False
        self._inner, self._state = persist("read", url, self._open)

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, target: Buffer) -> int:
        """Read into `target` and return the number of bytes, 0 at the end."""
        count = self._persist(lambda inner: cast(io.FileIO, inner).readinto(target) or 0)
        self._position += count
        return count

    def readall(self) -> bytes:
        """Return all bytes from here to the end."""
        data = self._persist(lambda inner: inner.read())
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to another place."""
        self._position = self._persist(lambda inner: inner.seek(offset, whence))
        return self._position

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._inner.tell()

    def close(self) -> None:
        """Close the file."""
        self._inner.close()
        super().close()

    def _persist(self, read: Callable[[BinaryIO], Result]) -> Result:
        def attempt() -> Result:
            if self._failed:
                self._reopen()
            self._failed = True
            result = read(self._inner)
            self._failed = False
            return result

        return persist("read", self._url, attempt)

    def _reopen(self) -> None:
        with suppress(*failures()):
            self._inner.close()
        self._inner, state = self._open()
        if state != self._state:
            raise StorageError(f"cannot read {redact(self._url)}: it was replaced while it was read")

    def _open(self) -> tuple[BinaryIO, object]:
        inner = _open(self._url)
        if self._position:
            inner.seek(self._position)
        return inner, _state(self._url, inner)


def _open(url: str) -> BinaryIO:
    if is_local(url):
        return cast(BinaryIO, local_path(url).open("rb", buffering=0))
    fs, path = filesystem(url)
    if url.startswith("memory://"):  # all of whose handles of a file share one position
        return io.BytesIO(fs.cat_file(path))
    return cast(BinaryIO, Windows(fs.open(path, "rb", cache_type="none")))


def _state(url: str, inner: BinaryIO) -> object:
    """Return what changes when another file takes the name of this one; None if that is not known."""
    if is_local(url):
        status = os.fstat(inner.fileno())
        return status.st_dev, status.st_ino
    details = getattr(inner, "details", None)
    return remote.version(details) if isinstance(details, Mapping) else None
