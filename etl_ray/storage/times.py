"""When stored files were written last."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol, cast

from etl_ray.storage.files import is_local, local_path
from etl_ray.storage.remote import filesystem
from etl_ray.storage.retries import persist

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _KnowsTimes(Protocol):
    def modified(self, path: str) -> datetime: ...


def modified_ns(url: str) -> int | None:
    """Return when a file was written last, ns UTC; None on storages that do not tell."""

    def look() -> int | None:
        if is_local(url):
            return local_path(url).stat().st_mtime_ns
        fs, path = filesystem(url)
        try:
            found = cast(_KnowsTimes, fs).modified(path)
        except NotImplementedError:
            return None
        since = (found if found.tzinfo else found.replace(tzinfo=UTC)) - _EPOCH
        return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000

    return persist("look at", url, look)
