"""This job through Ray, as many tasks at a time as there are cores; Ray stays from one run to the next."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache

import ray

from tests.benchmarks.measurement import cores
from tests.benchmarks.sides.etl_job import run_job


def convert(segments: Sequence[str], output: str) -> None:
    """Run the job on `segments`."""
    _start()
    run_job(segments, output, {"engine": "ray", "resources": {"memory_mb_per_task": 500}})


@lru_cache(maxsize=1)
def _start() -> None:
    os.environ["RAY_AUTH_MODE"] = "disabled"
    ray.init(address="local", num_cpus=cores(), include_dashboard=False, log_to_driver=False)
