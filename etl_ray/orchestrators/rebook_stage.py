"""All books of a committed OUTPUT, computed again on an engine."""

from __future__ import annotations

from collections.abc import Sequence

from etl_ray.config import JobConfig
from etl_ray.orchestrators.engines import Engine
from etl_ray.orchestrators.manifest import Manifest
from etl_ray.orchestrators.messages import pack, to_json
from etl_ray.orchestrators.rebook import RebookOptions
from etl_ray.orchestrators.rebook_cut import CutOptions
from etl_ray.orchestrators.rebook_plans import RebookShard, plan_rebooks
from etl_ray.orchestrators.receipts import BuiltFile
from etl_ray.orchestrators.work import read_cut_book, read_rebuilt_book
from etl_ray.progress import Progress
from etl_ray.tables.book import book_rows_per_group


def rebook_all(
    manifest: Manifest, source: str, target: str, config: JobConfig, *, engine: Engine, progress: Progress
) -> tuple[tuple[BuiltFile, ...], tuple[str, ...]]:
    """Write the books of SOURCE as the config says below `target`; return their files, and why products have none."""
    level2 = config.level2
    plans = plan_rebooks(manifest, source, level2.columns, products=config.products)
    progress.stage("recut", 0, len(plans.plans))
    cut = to_json(CutOptions(source, level2.interval_ns))
    items = [(pack(plan), sum(shard.bytes for shard in plan.shards)) for plan in plans.plans]
    shards: list[RebookShard] = []
    for result in engine.run("recut", cut, items):
        shards += read_cut_book(result).shards
        progress.advance(0, 1)
    progress.done()
    options = RebookOptions(
        source=source,
        output=target,
        rows_per_group=book_rows_per_group(config.staging.rows_per_group, level2.columns),
        columns=level2.columns,
        interval_ns=level2.interval_ns,
        skip_empty=level2.skip_empty,
    )
    return _rebuilt(shards, options, engine=engine, progress=progress), plans.refused


def _rebuilt(
    shards: Sequence[RebookShard], options: RebookOptions, *, engine: Engine, progress: Progress
) -> tuple[BuiltFile, ...]:
    progress.stage("rebook", 0, len(shards))
    files: list[BuiltFile] = []
    for result in engine.run("rebook", to_json(options), [(pack(shard), shard.bytes) for shard in shards]):
        files += read_rebuilt_book(result).files
        progress.advance(0, 1)
    progress.done()
    return tuple(files)
