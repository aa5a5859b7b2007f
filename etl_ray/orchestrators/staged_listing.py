"""Which staged files there are: found with several listings at once, since a large run has a million of them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from etl_ray import storage
from etl_ray.errors import ConfigError
from etl_ray.orchestrators.isolation import BEGUN
from etl_ray.orchestrators.kept_composition import COMPOSED
from etl_ray.orchestrators.numbered import ASSIGNED, NUMBERED
from etl_ray.orchestrators.staged_books import FOLDERS
from etl_ray.orchestrators.staging import KEPT, PRUNABLE
from etl_ray.storage import FileInfo

_FOLDERS = (PRUNABLE, KEPT, NUMBERED, ASSIGNED, *FOLDERS, COMPOSED, "receipts", BEGUN)
_AT_ONCE = 4  # each folder may hold a hundred thousand


def staged_files(staging: str) -> Iterator[tuple[str, int]]:
    """Yield path below the staging directory, and size, of every staged file, folder by folder."""
    root = staging.rstrip("/") + "/"
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for begin in range(0, len(_FOLDERS), _AT_ONCE):
            urls = [storage.join(staging, folder) for folder in _FOLDERS[begin : begin + _AT_ONCE]]
            for found in pool.map(_listed, urls):
                for info in found:
                    yield info.url.removeprefix(root), info.size


def _listed(url: str) -> list[FileInfo]:
    try:
        return storage.list_files(url)
    except ConfigError:
        return []
