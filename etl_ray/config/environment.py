"""What the environment says. Nothing else in the package reads or changes it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def ray_address() -> str | None:
    """Return the cluster that RAY_ADDRESS names; None if it names none."""
    return os.environ.get("RAY_ADDRESS") or None


def inside_ray_job() -> bool:
    """Tell whether Ray started this process: as the entry point of a submitted job, or as a worker."""
    return any(os.environ.get(name) for name in ("RAY_JOB_ID", "RAY_JOB_CONFIG_JSON_ENV_VAR"))


def user_cache_dir() -> Path:
    """Return where programs of this user keep what they can make again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def ray_auth_mode() -> str | None:
    """Return how Ray is to protect clusters, in lower case: `token` or `disabled`; None if nothing is said."""
    return os.environ.get("RAY_AUTH_MODE", "").lower() or None


def has_ray_token() -> bool:
    """Tell whether there is a token for Ray, in the environment or in the home directory."""
    told = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return told or (Path.home() / ".ray" / "auth_token").exists()


@contextmanager
def with_ray_token(token: str) -> Iterator[None]:
    """Let Ray, and the processes that it starts, find `token` for a while."""
    mode = os.environ.get("RAY_AUTH_MODE")
    os.environ["RAY_AUTH_TOKEN"] = token
    try:
        yield
    finally:
        del os.environ["RAY_AUTH_TOKEN"]
        if mode is None:
            os.environ.pop("RAY_AUTH_MODE", None)  # where nothing is said Ray sets it


def failpoint() -> str | None:
    """Return what ETL_RAY_FAILPOINT asks `etl_ray.storage.failpoints` for; None if it asks for nothing."""
    return os.environ.get("ETL_RAY_FAILPOINT") or None
