"""All derived tables of a set of files: planned, computed on an engine, and told of."""

from __future__ import annotations

from collections.abc import Iterable

from etl_ray.orchestrators.derive_plan import DeriveOptions, plan_derived
from etl_ray.orchestrators.engines import Engine
from etl_ray.orchestrators.messages import pack, to_json
from etl_ray.orchestrators.receipts import BuiltFile
from etl_ray.orchestrators.work import read_derived
from etl_ray.progress import Progress


def derive_all(
    files: Iterable[BuiltFile], options: DeriveOptions, *, engine: Engine, progress: Progress
) -> tuple[BuiltFile, ...]:
    """Write the derived tables that are asked for; return their files."""
    tasks = list(plan_derived(files, options.derived))
    if not tasks:
        return ()
    if any(len(task.dates) > 1 for task in tasks):
        progress.note("bars with reset: never are computed from the first trade on, over all dates")
    progress.stage("derive", 0, len(tasks))
    found: list[BuiltFile] = []
    for result in engine.run("derive", to_json(options), [(pack(task), task.bytes) for task in tasks]):
        found += read_derived(result).files
        progress.advance(0, 1)
    progress.done()
    return tuple(found)
