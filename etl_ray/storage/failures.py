"""Failures of every storage as StorageErrors that say what was tried, where, and why it failed, without credentials."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast

from etl_ray.errors import NotFoundError, StorageError
from etl_ray.storage.files import redact

if TYPE_CHECKING:
    from typing_extensions import Buffer

_REMOTE_FAILURES = (
    ("aiohttp.client_exceptions", "ClientError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("gcsfs.retry", "HttpError"),
    ("gcsfs.retry", "ChecksumError"),
    ("gcsfs.retry", "NonRetryableError"),
    ("google.auth.exceptions", "GoogleAuthError"),
)
_HIDDEN = (
    (re.compile(r"(\w+://)[^/@\s]+@"), r"\1"),  # user and password of a URL
    (re.compile(r"(\w+://[^\s?'\"]+)\?[^\s'\"]+"), r"\1"),  # query of a signed URL
    (re.compile(r"(?i)\b(bearer|basic)\s+\S+"), r"\1 [hidden]"),
    (
        re.compile(r"(?i)([\w-]*(?:token|secret|password|signature|credential|key)[\w-]*[\"']?\s*[:=]\s*)[^\s,;&]+"),
        r"\1[hidden]",
    ),
)
_CAUSE_CHARS = 300


@contextmanager
def reporting(action: str, url: str) -> Iterator[None]:
    """Turn failures of the storage into StorageErrors. The cause is cut off the chain: it may hold credentials."""
    try:
        yield
    except _failures() as error:
        kind = NotFoundError if isinstance(error, FileNotFoundError) else StorageError
        raise kind(f"cannot {action} {redact(url)}: {cause(error)}") from None


def cause(error: Exception) -> str:
    """Say in one line why a storage failed, without credentials."""
    if isinstance(error, FileNotFoundError):
        return "no such file, directory or bucket"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).split()) or "no details"
    for pattern, replacement in _HIDDEN:
        text = pattern.sub(replacement, text)
    return f"{type(error).__name__}: {text[:_CAUSE_CHARS]}"


def _failures() -> tuple[type[Exception], ...]:
    # The clients of buckets report with types of their own, which exist only once their modules are loaded.
    loaded = ((sys.modules[module], name) for module, name in _REMOTE_FAILURES if module in sys.modules)
    return (OSError, ValueError, *(cast(type[Exception], getattr(module, name)) for module, name in loaded))


_WRITE_BYTES = 1 << 20


class Reader(io.RawIOBase):
    """A file open for reading whose failures are StorageErrors."""

    def __init__(self, url: str, inner: BinaryIO) -> None:
        self._url = url
        self._inner = inner

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, target: Buffer) -> int:
        """Read into `target` and return the number of bytes, 0 at the end."""
        with reporting("read", self._url):
            return cast(io.FileIO, self._inner).readinto(target) or 0

    def readall(self) -> bytes:
        """Return all bytes from here to the end."""
        with reporting("read", self._url):
            return self._inner.read()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to another place."""
        with reporting("read", self._url):
            return self._inner.seek(offset, whence)

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._inner.tell()

    def close(self) -> None:
        """Close the file."""
        self._inner.close()
        super().close()


class Writer(io.RawIOBase):
    """A file open for writing whose failures are StorageErrors. Who opened the inner file drains and closes it.

    Small writes, of which Parquet makes thousands, are put together.
    """

    def __init__(self, url: str, inner: BinaryIO) -> None:
        self._url = url
        self._inner = inner
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
            with reporting("write", self._url):
                self._inner.write(view)
        return len(view)

    def drain(self) -> None:
        """Hand on what waits."""
        with reporting("write", self._url):
            self._inner.write(self._waiting)
        self._waiting.clear()

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self._inner.tell() + len(self._waiting)
