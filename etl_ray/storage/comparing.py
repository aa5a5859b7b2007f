"""Whether two URLs lead to one file, and whether two files have one content."""

from __future__ import annotations

import io

from etl_ray.storage.access import filesystem
from etl_ray.storage.files import local_path
from etl_ray.storage.reading import Reader
from etl_ray.storage.retries import persist
from etl_ray.urls import is_local

_BLOCK_BYTES = 1 << 20


def is_same_file(one: str, other: str) -> bool:
    """Tell whether two URLs of files that are there lead to one and the same, by whatever names."""
    if is_local(one) != is_local(other):
        return False

    def compare() -> bool:
        if is_local(one):
            return local_path(one).samefile(local_path(other))
        (fs, path), (other_fs, other_path) = filesystem(one), filesystem(other)
        return fs is other_fs and path == other_path

    return persist("look at", other, compare)


def is_same_content(one: str, other: str) -> bool:
    """Tell whether two files have the same bytes; both are read."""
    with _open(one) as first, _open(other) as second:
        while True:
            block = first.read(_BLOCK_BYTES)
            if block != second.read(_BLOCK_BYTES):
                return False
            if not block:
                return True


def _open(url: str) -> io.BufferedReader:
    return io.BufferedReader(Reader(url, 0), _BLOCK_BYTES)
