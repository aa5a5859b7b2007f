"""Files in buckets, in memory, and on whatever else fsspec knows."""

from __future__ import annotations

import errno
import glob
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import BinaryIO, Protocol, cast

from etl_ray.errors import ConfigError
from etl_ray.storage.failpoints import reach
from etl_ray.storage.failures import cause, reporting
from etl_ray.storage.files import FileInfo, Listing
from etl_ray.storage.retries import persist
from etl_ray.storage.writing import Writer
from etl_ray.urls import redact

_VERSION_KEYS = ("generation", "ETag", "etag", "mtime", "LastModified", "last_modified", "modified", "created")
_TIME_KEYS = ("mtime", "LastModified", "last_modified", "modified")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _FileSystem(Protocol):
    """The part of fsspec's interface that is used here; these methods take names literally, never as globs."""

    def info(self, path: str) -> Mapping[str, object]: ...
    def find(self, path: str, *, detail: bool) -> Mapping[str, Mapping[str, object]]: ...
    def ls(self, path: str, *, detail: bool) -> Sequence[Mapping[str, object]]: ...
    def glob(self, path: str, *, detail: bool) -> Mapping[str, Mapping[str, object]]: ...
    def open(self, path: str, mode: str, *, block_size: int) -> BinaryIO: ...
    def cat_file(self, path: str) -> bytes: ...
    def pipe_file(self, path: str, value: bytes, *, mode: str = ...) -> object: ...
    def put_file(self, lpath: str, rpath: str, *, mode: str = ...) -> object: ...
    def cp_file(self, path1: str, path2: str) -> object: ...
    def rm_file(self, path: str) -> object: ...
    def rm(self, path: str, *, recursive: bool) -> object: ...


def filesystem(url: str) -> tuple[_FileSystem, str]:
    """Return the file system of a URL and the path within it."""
    import fsspec

    scheme = url.partition("://")[0]
    try:
        # Listings kept from earlier calls would hide what other processes write.
        fs, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        hint = "; install etl-ray[s3]" if scheme in ("s3", "s3a") else ""
        raise ConfigError(f"{redact(url)}: {scheme}:// needs a package that is missing{hint}: {cause(error)}") from None
    except ValueError as error:
        raise ConfigError(f"{redact(url)}: expected a path or a URL that fsspec knows; {cause(error)}") from None
    return cast(_FileSystem, fs), cast(str, path)


def search(url: str) -> Listing | None:
    """Find what a prefix, glob or name leads to; None if there is nothing."""
    fs, path = persist("look at", url, lambda: filesystem(url))
    alone = persist("look at", url, lambda: _entry(fs, path))
    if alone is not None:
        matches = {path: alone}
    else:
        found = persist("look at", url, lambda: fs.glob(path, detail=True)) if glob.has_magic(path) else {}
        # As on disk: a wildcard does not match a leading dot, a pattern that spells it out does.
        matches = {name: entry for name, entry in found.items() if "/." in path or "/." not in name}
    if not matches:
        return None
    named: list[FileInfo] = []
    below: list[FileInfo] = []
    for name, entry in matches.items():
        if entry["type"] != "directory":
            named.append(info(url, entry))
        else:
            below += _find(fs, url, name)
    return Listing(tuple(named), tuple(below))


def _entry(fs: _FileSystem, path: str) -> Mapping[str, object] | None:
    try:
        return fs.info(path)
    except FileNotFoundError:
        return None


def folders(url: str) -> list[str]:
    """Return the names of the directories directly below one."""
    fs, path = filesystem(url)
    found = fs.ls(path, detail=True)
    return [str(entry["name"]).rstrip("/").rpartition("/")[2] for entry in found if entry["type"] == "directory"]


def _find(fs: _FileSystem, url: str, folder: str) -> Iterator[FileInfo]:
    for name, entry in persist("look at", url, lambda: fs.find(folder, detail=True)).items():
        inside = name.removeprefix(folder).split("/")
        if entry["type"] != "directory" and not name.endswith("/") and not any(part.startswith(".") for part in inside):
            yield info(url, entry)


def info(url: str, entry: Mapping[str, object]) -> FileInfo:
    """Read what fsspec says of a file of the same storage as `url`."""
    scheme = url.partition("://")[0]
    name = str(entry["name"])
    if entry["type"] == "directory":
        raise IsADirectoryError(errno.EISDIR, "is a directory")
    size = entry.get("size")
    return FileInfo(
        name if "://" in name else f"{scheme}://{name.lstrip('/')}",
        size if isinstance(size, int) else 0,
        version(entry),
        _modified_ns(entry, scheme),
    )


def version(entry: Mapping[str, object]) -> str:
    """Read of what fsspec says of a file what changes with its content; empty if nothing does."""
    found = next((entry[key] for key in _VERSION_KEYS if entry.get(key)), "")
    # Some file systems give a datetime for one file and seconds in a listing.
    return str(found.timestamp() if isinstance(found, datetime) else found).strip('"')


def _modified_ns(entry: Mapping[str, object], scheme: str) -> int | None:
    # In memory a file is written once; elsewhere the time of its creation does not tell when that was.
    keys = (*_TIME_KEYS, "created") if scheme == "memory" else _TIME_KEYS
    found = next((entry[key] for key in keys if entry.get(key)), None)
    if isinstance(found, datetime):
        since = (found if found.tzinfo else found.replace(tzinfo=UTC)) - _EPOCH
        return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
    return round(found * 1_000_000) * 1_000 if isinstance(found, int | float) else None


@contextmanager
def write(url: str, final_url: Callable[[], str], *, new: bool) -> Iterator[Writer]:
    """Open a file that is uploaded under its final URL when the block ends without an exception.

    `new`: where one is there already, that is a failure.
    """
    # The bytes wait on local disk: fsspec's own writers finish the upload also when the block fails.
    with tempfile.NamedTemporaryFile(prefix="etl-ray-") as file:
        writer = Writer(url, cast(BinaryIO, file))
        yield writer
        writer.drain()
        with reporting("write", url):
            file.flush()
        final = final_url()
        reach("write.whole", final)
        persist("write", url, lambda: _upload(file.name, final, new=new))


def _upload(source: str, url: str, *, new: bool) -> None:
    fs, path = filesystem(url)
    if new:
        fs.put_file(source, path, mode="create")
    else:
        fs.put_file(source, path)
