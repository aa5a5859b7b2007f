"""All derived tables of a set of files: planned, computed on an engine, and told of."""

from __future__ import annotations

from collections.abc import Iterable

from etl_ray.orchestrators.derive import Derived
from etl_ray.orchestrators.derive_plan import DeriveOptions, plan_derived
from etl_ray.orchestrators.messages import pack
from etl_ray.orchestrators.receipts import BuiltFile
from etl_ray.orchestrators.stages import Stages


def derive_all(files: Iterable[BuiltFile], options: DeriveOptions, stages: Stages) -> tuple[BuiltFile, ...]:
    """Write the derived tables that are asked for; return their files."""
    tasks = list(plan_derived(files, options.derived))
    if any(len(task.dates) > 1 for task in tasks):
        stages.progress.note("bars with reset: never are computed from the first trade on, over all dates")
    found = stages.run("derive", options, [(pack(task), task.bytes) for task in tasks], Derived)
    return tuple(file for derived in found for file in derived.files)
