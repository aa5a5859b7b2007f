"""What the storage tests share."""

from __future__ import annotations

from collections.abc import Callable

import fsspec

from etl_ray import storage


def listed(root: str) -> list[str]:
    """List below `root`, temporary files included, relative to it."""
    if storage.is_local(root):
        top = storage.local_path(root)
        return sorted(str(path.relative_to(top)) for path in top.rglob("*") if path.is_file())
    found = fsspec.filesystem("memory").find("/root")
    return sorted(name.removeprefix("/root/") for name in found)


def refusal(error: Exception) -> Callable[..., None]:
    def refuse(*_: object, **__: object) -> None:
        raise error

    return refuse
