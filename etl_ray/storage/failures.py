"""Failures of every storage as StorageErrors that say what was tried, where, and why it failed, without credentials."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from etl_ray.errors import MissingBucketError, NotFoundError, StorageError
from etl_ray.storage.refusals import advice, code_of, loaded
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
_WITH_BUCKETS = ("gs://", "gcs://", "s3://", "s3a://")


@contextmanager
def reporting(action: str, url: str) -> Iterator[None]:
    """Turn failures of the storage into StorageErrors. The cause is cut off the chain: it may hold credentials."""
    try:
        yield
    except failures() as error:
        raise described(action, url, error) from None


def described(action: str, url: str, error: Exception) -> StorageError:
    """Return what says of a failure what was tried, where, why it failed, and what to do if that is known."""
    if isinstance(error, FileNotFoundError):
        # Buckets have no directories, so nothing else can be missing for what is written.
        writes = action in ("write", "create") and url.startswith(_WITH_BUCKETS)
        if writes or code_of(error) == "NoSuchBucket":
            return MissingBucketError(missing_bucket(action, url))
        return NotFoundError(f"cannot {action} {redact(url)}: {cause(error)}")
    told = f"cannot {action} {redact(url)}: {cause(error)}"
    hint = advice(action, url, error)
    return StorageError(f"{told}; {hint}" if hint else told)


def missing_bucket(action: str, url: str) -> str:
    """Say what a missing bucket has kept from being done."""
    bucket = "/".join(redact(url).split("/")[:3])
    return f"cannot {action} {redact(url)}: there is no bucket {bucket}; create it, or correct the URL"


def cause(error: Exception) -> str:
    """Say in one line why a storage failed, without credentials."""
    if isinstance(error, FileNotFoundError):
        return "no such file, directory or bucket"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, FileExistsError):
        return "a file has this name already"
    text = " ".join(str(error).split()) or "no details"
    for pattern, replacement in _HIDDEN:
        text = pattern.sub(replacement, text)
    return f"{type(error).__name__}: {text[:_CAUSE_CHARS]}"


def failures() -> tuple[type[Exception], ...]:
    """Return the types with which storages report."""
    return (OSError, ValueError, *loaded(_REMOTE_FAILURES))
