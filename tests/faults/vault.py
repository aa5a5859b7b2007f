"""A bucket in memory, `vault://`, that lets in only who has the password, and that says it when it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar
from urllib.parse import urlsplit

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

PROTOCOL = "vault"
USER = "u5er7531"
PASSWORD = "pa55word97"
TOKEN = "t0ken86420"
STORAGE_OPTION = "st0rage0ption11"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIA5ECRET5ECRET",
    "AWS_SECRET_ACCESS_KEY": "aws5ecret/abcdef+0123456789",
    "AWS_SESSION_TOKEN": "aws5ession0123456789",
    "GOOGLE_APPLICATION_CREDENTIALS": "/nowhere/g00gle-account-4321.json",
    "AZURE_STORAGE_CONNECTION_STRING": "AccountName=x;AccountKey=azure5ecretkey==",
    "FSSPEC_VAULT_KEY": STORAGE_OPTION,
}
"""What clients of buckets take from the environment; fsspec takes the last as the option `key`."""
SECRETS = (USER, PASSWORD, TOKEN, *ENVIRONMENT.values(), "azure5ecretkey", "g00gle-account-4321")


def with_credentials(path: str) -> str:
    """Return the URL of a path with user, password and token."""
    return f"{PROTOCOL}://{USER}:{PASSWORD}@{path}?token={TOKEN}&X-Amz-Signature={TOKEN}"


class VaultFileSystem(MemoryFileSystem):
    """The bucket; calls named in `refused` raise an error that holds every secret."""

    protocol = PROTOCOL
    store: ClassVar[dict[str, object]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    refused: ClassVar[dict[str, str]] = {}

    def __init__(self, key: str = "", **options: object) -> None:
        super().__init__(**options)
        self.key = key

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        if "://" in path:
            split = urlsplit(path)
            path = f"{split.netloc.rpartition('@')[2]}{split.path}"
        return str(super()._strip_protocol(path))

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: object) -> object:
        self._meet("pipe_file", path)
        return super().pipe_file(path, value, mode=mode, **options)

    def put_file(self, lpath: str, rpath: str, *arguments: object, **options: object) -> object:
        self._meet("put_file", rpath)
        return super().put_file(lpath, rpath, *arguments, **options)

    def cat_file(self, path: str, *arguments: object, **options: object) -> object:
        self._meet("cat_file", path)
        return super().cat_file(path, *arguments, **options)

    def info(self, path: str, **options: object) -> dict[str, object]:
        return _dated(super().info(path, **options))

    def ls(self, path: str, detail: bool = True, **options: object) -> list[dict[str, object]]:
        found = super().ls(path, detail=True, **options)
        return [_dated(entry) for entry in found] if detail else [entry["name"] for entry in found]

    def _open(self, path: str, mode: str = "rb", **options: object) -> object:
        if mode == "rb":
            self._meet("open", path)
        return super()._open(path, mode, **options)

    def _meet(self, call: str, path: str) -> None:
        part = self.refused.get(call)
        if part is not None and part in path:
            raise ValueError(
                f"403 Forbidden: {with_credentials(path.lstrip('/'))} Authorization: Bearer {TOKEN} "
                f"aws_secret_access_key={ENVIRONMENT['AWS_SECRET_ACCESS_KEY']}, 'password': '{PASSWORD}', "
                f'"api_key": "{self.key}"; AccountKey=azure5ecretkey=='
            )


def _dated(entry: dict[str, object]) -> dict[str, object]:
    """Return an entry with the time of the last change, as buckets tell it."""
    return {**entry, "LastModified": entry["created"]} if "created" in entry else entry


@contextmanager
def vault() -> Iterator[type[VaultFileSystem]]:
    """Let this process know `vault://`; it is empty before and after."""
    fsspec.register_implementation(PROTOCOL, VaultFileSystem, clobber=True)
    VaultFileSystem.store.clear()
    VaultFileSystem.pseudo_dirs[:] = [""]
    VaultFileSystem.refused.clear()
    VaultFileSystem.clear_instance_cache()
    try:
        yield VaultFileSystem
    finally:
        VaultFileSystem.store.clear()
        VaultFileSystem.refused.clear()
