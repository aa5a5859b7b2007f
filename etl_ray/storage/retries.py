"""Failures that pass: a call that meets one is repeated, with pauses that grow; every other failure is told at once."""

from __future__ import annotations

import errno
import random
import socket
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from etl_ray.errors import StorageError
from etl_ray.storage.failures import described, failures
from etl_ray.storage.refusals import code_of, loaded

ATTEMPTS = 7
"""Of every call. The clients of buckets repeat requests on their own as well: this is for what outlives that."""

Result = TypeVar("Result")

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_ERRNOS = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,  # as which s3fs reports SlowDown and ServiceUnavailable
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EINTR,
        errno.ENETDOWN,
        errno.ENETRESET,
        errno.ENETUNREACH,
        errno.ENOBUFS,
        errno.ENOTCONN,
        errno.EPIPE,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)
_TRANSIENT = (
    ("aiohttp.client_exceptions", "ClientConnectionError"),
    ("aiohttp.client_exceptions", "ClientPayloadError"),
    ("botocore.exceptions", "ConnectionError"),
    ("botocore.exceptions", "HTTPClientError"),
    ("botocore.exceptions", "IncompleteReadError"),
    ("gcsfs.retry", "ChecksumError"),
    ("google.api_core.exceptions", "RetryError"),
    ("google.auth.exceptions", "TransportError"),
    ("requests.exceptions", "ChunkedEncodingError"),
    ("requests.exceptions", "ConnectionError"),
    ("requests.exceptions", "ContentDecodingError"),
    ("requests.exceptions", "Timeout"),
)
_PERMANENT = (
    ("aiohttp.client_exceptions", "ClientConnectorCertificateError"),
    ("gcsfs.retry", "NonRetryableError"),
)
_TOO_EARLY = frozenset({408, 425, 429})
_NEVER = frozenset({501, 505, 507, 511})  # not implemented, no such version, no space, log in first
_CODES = frozenset(  # with status 400, the last one with 409
    {"RequestTimeout", "Throttling", "ThrottlingException", "RequestLimitExceeded", "ConditionalRequestConflict"}
)


def pause(seconds: float) -> None:
    """Wait between two attempts."""
    time.sleep(seconds)


def persist(action: str, url: str, call: Callable[[], Result]) -> Result:
    """Return what `call` returns, which is repeated while it fails for a reason that may pass.

    StorageError that says what was tried, where, and why it failed, if need be after how many attempts.
    """
    # Libraries for this cost 10 µs a call, which is more than most calls on local files.
    for attempt in range(ATTEMPTS):
        try:
            return call()
        except failures() as error:
            told = described(action, url, error)
            if not is_transient(error):
                raise told from None
        if attempt < ATTEMPTS - 1:
            # Drawn from the whole range, so that workers that failed together do not come back together.
            pause(random.uniform(0, min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**attempt)))  # noqa: S311
    raise StorageError(f"{told}; gave up after {ATTEMPTS} attempts")


def is_transient(error: BaseException | None) -> bool:
    """Tell whether a storage may do what it has refused if it is asked again."""
    if isinstance(error, (FileNotFoundError, FileExistsError, PermissionError, *loaded(_PERMANENT))):
        return False
    if not isinstance(error, failures()):
        return False
    if isinstance(error, (ConnectionError, TimeoutError, *loaded(_TRANSIENT))):
        return True
    if isinstance(error, socket.gaierror):
        return error.errno == socket.EAI_AGAIN
    if isinstance(error, OSError) and error.errno in _ERRNOS:
        return True
    if getattr(error, "retryable", False) is True:  # google.auth knows it of its own errors
        return True
    # s3fs gives an OSError for what it caught.
    return _asks_for_patience(error) or is_transient(error.__cause__)


def _asks_for_patience(error: Exception) -> bool:
    """Look at the status of the answer over HTTP, if there was one."""
    response = getattr(error, "response", None)
    status = getattr(error, "status", None) or getattr(error, "code", None) or getattr(response, "status_code", None)
    if isinstance(response, Mapping):  # of botocore
        status = _at(response, "ResponseMetadata", "HTTPStatusCode")
        if code_of(error) in _CODES:
            return True
    if not isinstance(status, int | str) or not str(status).isdigit():
        return False
    return int(status) in _TOO_EARLY or (500 <= int(status) < 600 and int(status) not in _NEVER)


def _at(response: Mapping[str, object], outer: str, inner: str) -> object:
    found = response.get(outer)
    return found.get(inner) if isinstance(found, Mapping) else None
