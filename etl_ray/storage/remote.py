"""Files in buckets, in memory, and on whatever else fsspec knows."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import BinaryIO, cast

from etl_ray.storage.access import AMAZON, AmazonStorage, filesystem, scheme_of
from etl_ray.storage.failpoints import reach
from etl_ray.storage.failures import reporting
from etl_ray.storage.files import FileInfo
from etl_ray.storage.retries import persist
from etl_ray.storage.writing import Writer

_VERSION_KEYS = ("generation", "ETag", "etag", "mtime", "LastModified", "last_modified", "modified", "created")
_TIME_KEYS = ("mtime", "LastModified", "last_modified", "modified")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def look(url: str) -> Mapping[str, object]:
    """Return what the storage says of a file or directory."""
    fs, path = filesystem(url)
    try:
        return fs.info(path)
    except PermissionError:
        if scheme_of(url) in AMAZON:
            # It refuses without a reason what has no body, and tells it where there is one.
            _list_one(cast(AmazonStorage, fs), path)
        raise


def _list_one(fs: AmazonStorage, path: str) -> None:
    bucket, key, _ = fs.split_path(path)
    fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=key, MaxKeys=1)


def info(url: str, entry: Mapping[str, object]) -> FileInfo:
    """Read what fsspec says of a file of the same storage as `url`."""
    scheme = scheme_of(url)
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
