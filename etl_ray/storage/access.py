"""File systems of URLs other than this machine's, and the credentials that they use."""

# ruff: noqa: D102  # the methods below are those of fsspec, gcsfs and s3fs

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from typing import BinaryIO, Protocol, cast

from etl_ray.errors import ConfigError
from etl_ray.storage.failures import cause
from etl_ray.storage.retries import persist
from etl_ray.urls import redact

GOOGLE = ("gs", "gcs")
AMAZON = ("s3", "s3a")
_NO_CREDENTIALS = "default credentials were not found"


class FileSystem(Protocol):
    """The part of fsspec's interface that is used here; these methods take names literally, never as globs."""

    def info(self, path: str) -> Mapping[str, object]: ...
    def find(self, path: str, *, detail: bool) -> Mapping[str, Mapping[str, object]]: ...
    def ls(self, path: str, *, detail: bool) -> Sequence[Mapping[str, object]]: ...
    def glob(self, path: str, *, detail: bool) -> Mapping[str, Mapping[str, object]]: ...
    def open(self, path: str, mode: str, *, cache_type: str) -> BinaryIO: ...
    def cat_file(self, path: str, start: int | None = ..., end: int | None = ...) -> bytes: ...
    def pipe_file(self, path: str, value: bytes, *, mode: str = ...) -> object: ...
    def put_file(self, lpath: str, rpath: str, *, mode: str = ...) -> object: ...
    def cp_file(self, path1: str, path2: str) -> object: ...
    def rm_file(self, path: str) -> object: ...
    def rm(self, path: str, *, recursive: bool) -> object: ...


class GoogleStorage(Protocol):
    """The part of gcsfs that sends a request of one's own."""

    def split_path(self, path: str) -> tuple[str, str, str | None]: ...
    def call(self, method: str, path: str, *args: str, **parameters: object) -> object: ...


class AmazonStorage(Protocol):
    """The part of s3fs that sends a request of one's own."""

    def split_path(self, path: str) -> tuple[str, str, str | None]: ...
    def call_s3(self, method: str, **parameters: object) -> object: ...


def scheme_of(url: str) -> str:
    """Return the scheme of a URL, in lower case."""
    return url.partition("://")[0].lower()


def filesystem(url: str) -> tuple[FileSystem, str]:
    """Return the file system of a URL and the path within it."""
    import fsspec

    scheme = scheme_of(url)
    credentials = persist("log in to", url, google_credentials) if scheme in GOOGLE else {}
    try:
        # Listings kept from earlier calls would hide what other processes write.
        fs, path = fsspec.core.url_to_fs(url, use_listings_cache=False, **credentials)
    except ImportError as error:
        hint = "; install etl-ray[s3]" if scheme in AMAZON else ""
        raise ConfigError(f"{redact(url)}: {scheme}:// needs a package that is missing{hint}: {cause(error)}") from None
    except ValueError as error:
        raise ConfigError(f"{redact(url)}: expected a path or a URL that fsspec knows; {cause(error)}") from None
    if scheme in GOOGLE:
        # Here, where a refusal is told at once; within a request gcsfs repeats it for half a minute.
        persist("log in to", url, fs.credentials.maybe_refresh)
    return cast(FileSystem, fs), cast(str, path)


@functools.cache
def google_credentials() -> Mapping[str, str]:
    """Say which credentials gcsfs is to use: the application default ones, or none where there are none.

    By itself it would look for a metadata server twice, which takes most of a minute where nobody answers.
    """
    import fsspec
    from google.auth.exceptions import DefaultCredentialsError

    # It tells failures with tracebacks; they are told by whoever catches them.
    logging.getLogger("gcsfs").addHandler(logging.NullHandler())
    configured = {**fsspec.config.conf.get("gcs", {}), **fsspec.config.conf.get("gs", {})}
    if "token" in configured:
        return {}
    anonymous = fsspec.filesystem("gs", token="anon", use_listings_cache=False)  # noqa: S106  # no secret
    if not anonymous.on_google:  # but an emulator, which asks for none
        return {"token": "anon"}
    try:
        fsspec.filesystem("gs", token="google_default", use_listings_cache=False)  # noqa: S106
    except DefaultCredentialsError as error:
        if _NO_CREDENTIALS not in str(error):  # but some that cannot be used
            raise
        return {"token": "anon"}
    return {"token": "google_default"}
