"""A bucket that processes share, `shared://`: the local disk, which the package takes for a bucket."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

PROTOCOL = "shared"


class SharedFileSystem(LocalFileSystem):
    """The bucket; uploads make the directories that buckets need not have, and copies appear whole or not at all."""

    protocol = PROTOCOL

    def __init__(self, **options: object) -> None:
        super().__init__(auto_mkdir=True, **options)

    def cp_file(self, path1: str, path2: str, **options: object) -> None:
        """Copy a file as buckets do: a process that is killed over it leaves nothing under the new name."""
        handle, copy = tempfile.mkstemp(prefix="shared-")
        os.close(handle)
        shutil.copyfile(self._strip_protocol(path1), copy)
        target = Path(self._strip_protocol(path2))
        target.parent.mkdir(parents=True, exist_ok=True)
        Path(copy).replace(target)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return f"/{path.removeprefix(f'{PROTOCOL}://').strip('/')}"


def register() -> None:
    """Let this process know `shared://`."""
    fsspec.register_implementation(PROTOCOL, SharedFileSystem, clobber=True)
