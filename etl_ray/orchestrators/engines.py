"""Where work is done: in this process, or on Ray. Which one changes nothing in the output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from etl_ray.config import JobConfig, inside_ray_job, ray_address
from etl_ray.orchestrators.finished import Finished
from etl_ray.orchestrators.threads import use_cpus_of_process
from etl_ray.orchestrators.work import Stage, work

SMALL_INPUT_BYTES = 256_000_000
"""Stored bytes up to which a run in this process ends before a Ray cluster would have started."""


class Engine(Protocol):
    """Does the work of a stage."""

    def run(self, stage: Stage, options: bytes, items: Sequence[tuple[bytes, int]]) -> Iterator[tuple[int, bytes]]:
        """Yield the result of each item, given with its weight in bytes, with its index; they come in any order."""

    def count(self, stage: str, item: Finished) -> None:
        """Count an item of a stage, named as people see it, where the engine keeps metrics."""

    def close(self) -> None:
        """Release what the engine has started."""


class LocalEngine:
    """Works in this process, one item after the other."""

    def __init__(self) -> None:
        use_cpus_of_process()

    def run(self, stage: Stage, options: bytes, items: Sequence[tuple[bytes, int]]) -> Iterator[tuple[int, bytes]]:
        """Yield the results, in order."""
        for index, (item, _) in enumerate(items):
            yield index, work(stage, options, item)

    def count(self, stage: str, item: Finished) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def choose_engine(config: JobConfig, input_bytes: int, note: Callable[[str], None]) -> Engine:
    """Return the engine that the config asks for; `note` is told when it waits for its cluster.

    `auto`: a cluster by --address, RAY_ADDRESS or inside a Ray job; else this process for small inputs; else a
    local Ray.
    """
    address = config.address or ray_address()
    on_cluster = address is not None or inside_ray_job()
    if config.engine == "local" or (config.engine == "auto" and not on_cluster and input_bytes <= SMALL_INPUT_BYTES):
        return LocalEngine()
    from etl_ray.orchestrators.ray_engine import RayEngine

    resources = config.resources
    return RayEngine(
        address="auto" if address is None and inside_ray_job() else address,
        cpus_per_task=resources.cpus_per_task,
        memory_mb_per_task=resources.memory_mb_per_task,
        max_tasks=resources.max_tasks,
        placement_timeout_s=resources.placement_timeout_s,
        note=note,
    )
