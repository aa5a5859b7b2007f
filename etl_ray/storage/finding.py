"""What is below a prefix of a bucket: prefixes are listed at the same time, a bounded number of requests at once."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import cast

from etl_ray.errors import MissingBucketError
from etl_ray.storage.access import AMAZON, GOOGLE, AmazonStorage, FileSystem, GoogleStorage, filesystem, scheme_of
from etl_ray.storage.failures import failures, missing_bucket
from etl_ray.storage.files import FileInfo, Listing
from etl_ray.storage.remote import info, look
from etl_ray.storage.retries import is_transient, persist

MOST_AT_ONCE = 16
"""Requests: waiting, not work."""
_PAGE = 1000
"""Names that one request for a listing returns."""
_DEEPEST = 3
"""How many levels of directories are looked at for enough of them to share out."""

_NEXT_PAGE = "nextPageToken"

_known_buckets: set[str] = set()

Entries = Mapping[str, Mapping[str, object]]


def search(url: str) -> Listing | None:
    """Find what a prefix, glob or name leads to; None if there is nothing. MissingBucketError if that is why."""
    fs, path = persist("look at", url, lambda: filesystem(url))
    alone = persist("look at", url, lambda: _entry(url))
    if alone is not None:
        matches: Entries = {path: alone}
    else:
        found = persist("look at", url, lambda: fs.glob(path, detail=True)) if glob.has_magic(path) else {}
        # As on disk: a wildcard does not match a leading dot, a pattern that spells it out does.
        matches = {name: entry for name, entry in found.items() if "/." in path or "/." not in name}
    if not matches:
        _expect_bucket(fs, url, path)
        return None
    named = tuple(info(url, entry) for entry in matches.values() if entry["type"] != "directory")
    roots = [name for name, entry in matches.items() if entry["type"] == "directory"]
    below = (file for root in roots for file in _below(fs, url, root))
    return Listing(named, tuple(below))


def folders(url: str) -> list[str]:
    """Return the names of the directories directly below one."""
    fs, path = filesystem(url)
    return [name.rpartition("/")[2] for name in _folders_in(fs.ls(path, detail=True), path)]


def _entry(url: str) -> Mapping[str, object] | None:
    try:
        return look(url)
    except FileNotFoundError:
        return None


def _expect_bucket(fs: FileSystem, url: str, path: str) -> None:
    bucket = f"{scheme_of(url)}://{path.partition('/')[0]}"
    if bucket in _known_buckets:
        return
    if not persist("look at", url, lambda: _is_there(fs, bucket)):
        raise MissingBucketError(missing_bucket("look at", url))
    _known_buckets.add(bucket)


def _is_there(fs: FileSystem, bucket: str) -> bool:
    scheme, _, name = bucket.partition("://")
    try:
        if scheme in GOOGLE:
            cast(GoogleStorage, fs).call("GET", "b/{}/o", name, maxResults=1)
        elif scheme in AMAZON:
            fs.info(name)
    except FileNotFoundError:
        return False
    except failures() as error:
        if is_transient(error):
            raise
    return True  # who may list nothing in it may not even know that it is there


def _below(fs: FileSystem, url: str, root: str) -> Iterator[FileInfo]:
    """Tell of all files below a directory, hidden ones left out."""
    for name, entry in _entries(fs, url, root).items():
        is_hidden = "/." in f"/{name.removeprefix(root)}"
        if entry["type"] != "directory" and not name.endswith("/") and not is_hidden:
            yield info(url, entry)


def _entries(fs: FileSystem, url: str, root: str) -> Entries:
    directly = _level(fs, url, root)
    folders = _folders_in(directly, root)
    if not folders:
        return _by_name(directly)
    if not persist("look at", url, lambda: _has_pages(fs, url, root)):
        return _tree(fs, url, root)
    return _shared_out(fs, url, root, directly)


def _shared_out(fs: FileSystem, url: str, root: str, directly: Sequence[Mapping[str, object]]) -> Entries:
    """List a large directory by its directories, or theirs, at the same time."""
    found = _by_name(directly)
    trees = _folders_in(directly, root)
    if len(trees) > _PAGE:  # a request for each would be more than one for each page
        return _tree(fs, url, root)
    with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        for _ in range(_DEEPEST):
            if not 0 < len(trees) < MOST_AT_ONCE:
                break
            levels = list(pool.map(lambda folder: _level(fs, url, folder), trees))
            deeper = [name for folder, level in zip(trees, levels, strict=True) for name in _folders_in(level, folder)]
            if len(deeper) > _PAGE:
                break
            found |= _by_name(entry for level in levels for entry in level)
            trees = deeper
        for tree in pool.map(lambda folder: _tree(fs, url, folder), trees):
            found |= tree
    return found


def _level(fs: FileSystem, url: str, folder: str) -> Sequence[Mapping[str, object]]:
    def look_at() -> Sequence[Mapping[str, object]]:
        with suppress(FileNotFoundError, NotADirectoryError):  # gone since
            return fs.ls(folder, detail=True)
        return []

    return persist("look at", url, look_at)


def _tree(fs: FileSystem, url: str, folder: str) -> dict[str, Mapping[str, object]]:
    return dict(persist("look at", url, lambda: fs.find(folder, detail=True)))


def _by_name(entries: Iterable[Mapping[str, object]]) -> dict[str, Mapping[str, object]]:
    return {str(entry["name"]): entry for entry in entries}


def _folders_in(entries: Iterable[Mapping[str, object]], folder: str) -> list[str]:
    """Return the directories among what is directly in one, which may be listed in itself as a marker."""
    names = {str(entry["name"]).rstrip("/") for entry in entries if entry["type"] == "directory"}
    return sorted(names - {folder.rstrip("/")})


def _has_pages(fs: FileSystem, url: str, folder: str) -> bool:
    """Tell whether a listing of everything below takes more than one request."""
    prefix = folder.partition("/")[2]
    prefix = f"{prefix.rstrip('/')}/" if prefix else ""
    bucket = folder.partition("/")[0]
    if scheme_of(url) in GOOGLE:
        google = cast(GoogleStorage, fs)
        page = google.call("GET", "b/{}/o", bucket, prefix=prefix, maxResults=_PAGE, fields=_NEXT_PAGE, json_out=True)
        return bool(cast(Mapping[str, object], page).get(_NEXT_PAGE))
    if scheme_of(url) in AMAZON:
        answer = cast(AmazonStorage, fs).call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=_PAGE)
        return bool(cast(Mapping[str, object], answer).get("IsTruncated"))
    return False
