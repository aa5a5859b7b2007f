"""What a bucket says of a refusal, and what can be done about it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import cast

_NO_CREDENTIALS = (
    ("botocore.exceptions", "NoCredentialsError"),
    ("botocore.exceptions", "PartialCredentialsError"),
)
_BAD_CREDENTIALS = (
    ("botocore.exceptions", "CredentialRetrievalError"),
    ("botocore.exceptions", "TokenRetrievalError"),
    ("botocore.exceptions", "UnauthorizedSSOTokenError"),
    ("google.auth.exceptions", "GoogleAuthError"),
)
_BAD_CREDENTIAL_CODES = frozenset(
    {
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "401",
    }
)
_ANONYMOUS = "Anonymous caller"
_GOOGLE_FORBIDDEN = "Forbidden: "
_LOG_IN = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give this machine a role",
    "gs": "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a key file",
}
_RIGHTS = {
    "s3": {
        "look at": "s3:ListBucket and s3:GetObject",
        "read": "s3:GetObject",
        "write": "s3:PutObject",
        "create": "s3:PutObject",
        "delete": "s3:DeleteObject",
    },
    "gs": {
        "look at": "storage.objects.list and storage.objects.get",
        "read": "storage.objects.get",
        "write": "storage.objects.create and storage.objects.delete",
        "create": "storage.objects.create",
        "delete": "storage.objects.delete",
    },
}
_CLOUDS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}


def advice(action: str, url: str, error: Exception) -> str:
    """Say what to do about a bucket that refuses `action`; empty if it is not for want of credentials or rights."""
    cloud = _CLOUDS.get(url.partition("://")[0].lower())
    if cloud is None:
        return ""
    if isinstance(error, loaded(_NO_CREDENTIALS)) or _ANONYMOUS in str(error):
        return f"no credentials were found: {_LOG_IN[cloud]}"
    code = code_of(error)
    if isinstance(error, loaded(_BAD_CREDENTIALS)) or code in _BAD_CREDENTIAL_CODES:
        return f"the credentials are not accepted, or have expired: {_LOG_IN[cloud]}"
    if (
        isinstance(error, PermissionError)
        or code in ("AccessDenied", "403")
        or str(error).startswith(_GOOGLE_FORBIDDEN)
    ):
        rights = _RIGHTS[cloud].get(action)
        return f"the credentials lack the permission{f' {rights}' if rights else ''}"
    return ""


def code_of(error: BaseException) -> str:
    """Return the code that a bucket has answered with, of S3 a word if there was one; empty if there was no answer."""
    for one in (error, error.__cause__):
        response = getattr(one, "response", None)
        if isinstance(response, Mapping):  # of botocore
            details = response.get("Error")
            return str(details.get("Code", "")) if isinstance(details, Mapping) else ""
        code = getattr(one, "code", None) or getattr(one, "status", None)
        if isinstance(code, int | str):
            return str(code)
    return ""


def is_unmet_condition(error: OSError) -> bool:
    """Tell whether a bucket has not done something because there is already, or no longer, what was asked for."""
    return isinstance(error, FileExistsError) or code_of(error) in ("PreconditionFailed", "412")


def loaded(names: Iterable[tuple[str, str]]) -> tuple[type[Exception], ...]:
    """Return exceptions by module and name; those of clients of buckets exist only once their modules are loaded."""
    found = ((sys.modules[module], name) for module, name in names if module in sys.modules)
    return tuple(cast(type[Exception], getattr(module, name)) for module, name in found if hasattr(module, name))
