"""A bucket that processes share, `shared://`: the local disk, which the package takes for a bucket."""

from __future__ import annotations

import fsspec
from fsspec.implementations.local import LocalFileSystem

PROTOCOL = "shared"


class SharedFileSystem(LocalFileSystem):
    """The bucket; uploads make the directories that buckets need not have."""

    protocol = PROTOCOL

    def __init__(self, **options: object) -> None:
        super().__init__(auto_mkdir=True, **options)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return f"/{path.removeprefix(f'{PROTOCOL}://').strip('/')}"


def register() -> None:
    """Let this process know `shared://`."""
    fsspec.register_implementation(PROTOCOL, SharedFileSystem, clobber=True)
