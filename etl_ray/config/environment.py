"""What the environment says. Nothing else in the package reads it."""

from __future__ import annotations

import os


def ray_address() -> str | None:
    """Return the cluster that RAY_ADDRESS names; None if it names none."""
    return os.environ.get("RAY_ADDRESS") or None


def inside_ray_job() -> bool:
    """Tell whether Ray started this process: as the entry point of a submitted job, or as a worker."""
    return any(os.environ.get(name) for name in ("RAY_JOB_ID", "RAY_JOB_CONFIG_JSON_ENV_VAR"))


def failpoint() -> str | None:
    """Return what ETL_RAY_FAILPOINT asks `etl_ray.storage.failpoints` for; None if it asks for nothing."""
    return os.environ.get("ETL_RAY_FAILPOINT") or None
