"""All derived tables of a set of files: planned, computed on an engine, and told of."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from etl_ray.orchestrators.derive_plan import DeriveOptions, plan_derived
from etl_ray.orchestrators.final_files import content_of
from etl_ray.orchestrators.messages import pack
from etl_ray.orchestrators.receipts import Built, BuiltFile
from etl_ray.orchestrators.results import key_of
from etl_ray.orchestrators.stages import Item, Stages


def derive_all(
    files: Iterable[BuiltFile],
    options: DeriveOptions,
    stages: Stages,
    where: Callable[[str], str] = str,
) -> tuple[BuiltFile, ...]:
    """Write the derived tables that are asked for; return their files.

    `where` tells where a file of these is found, below `options.input`.
    """
    tasks = list(plan_derived(files, options.derived))
    if any(len(task.dates) > 1 for task in tasks):
        stages.progress.note("bars with reset: never are computed from the first trade on, over all dates")
    found = stages.run(
        "derive",
        options,
        [Item(pack(task.located(where)), task.bytes, key_of(task.located(content_of))) for task in tasks],
        Built,
    )
    return tuple(file for derived in found for file in derived.files)
