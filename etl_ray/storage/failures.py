"""Failures of every storage as StorageErrors that say what was tried, where, and why it failed, without credentials."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import cast

from etl_ray.errors import NotFoundError, StorageError
from etl_ray.urls import redact

_REMOTE_FAILURES = (
    ("aiohttp.client_exceptions", "ClientError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("gcsfs.retry", "HttpError"),
    ("gcsfs.retry", "ChecksumError"),
    ("gcsfs.retry", "NonRetryableError"),
    ("google.api_core.exceptions", "GoogleAPIError"),
    ("google.auth.exceptions", "GoogleAuthError"),
)
_HIDDEN = (
    (re.compile(r"(\w+://)[^/@\s]+@"), r"\1"),  # user and password of a URL
    (re.compile(r"(\w+://[^\s?'\"]+)\?[^\s'\"]+"), r"\1"),  # query of a signed URL
    (re.compile(r"(?i)\b(bearer|basic)\s+\S+"), r"\1 [hidden]"),
    (
        re.compile(r"(?i)([\w-]*(?:token|secret|password|signature|credential|key)[\w-]*[\"']?\s*[:=]\s*)[^\s,;&]+"),
        r"\1[hidden]",
    ),
)
_CAUSE_CHARS = 300


@contextmanager
def reporting(action: str, url: str) -> Iterator[None]:
    """Turn failures of the storage into StorageErrors. The cause is cut off the chain: it may hold credentials."""
    try:
        yield
    except failures() as error:
        raise described(action, url, error) from None


def described(action: str, url: str, error: Exception) -> StorageError:
    """Return what says of a failure what was tried, where, and why it failed."""
    kind = NotFoundError if isinstance(error, FileNotFoundError) else StorageError
    return kind(f"cannot {action} {redact(url)}: {cause(error)}")


def cause(error: Exception) -> str:
    """Say in one line why a storage failed, without credentials."""
    if isinstance(error, FileNotFoundError):
        return "no such file, directory or bucket"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).split()) or "no details"
    for pattern, replacement in _HIDDEN:
        text = pattern.sub(replacement, text)
    return f"{type(error).__name__}: {text[:_CAUSE_CHARS]}"


def failures() -> tuple[type[Exception], ...]:
    """Return the types with which storages report."""
    return (OSError, ValueError, *loaded(_REMOTE_FAILURES))


def loaded(names: Iterable[tuple[str, str]]) -> tuple[type[Exception], ...]:
    """Return exceptions by module and name; those of clients of buckets exist only once their modules are loaded."""
    found = ((sys.modules[module], name) for module, name in names if module in sys.modules)
    return tuple(cast(type[Exception], getattr(module, name)) for module, name in found if hasattr(module, name))
