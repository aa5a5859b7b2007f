"""All books of a committed OUTPUT, computed again on an engine."""

from __future__ import annotations

from etl_ray.config import JobConfig
from etl_ray.orchestrators.manifest import Manifest
from etl_ray.orchestrators.messages import pack
from etl_ray.orchestrators.rebook import RebookOptions, RebuiltBook
from etl_ray.orchestrators.rebook_cut import CutOptions
from etl_ray.orchestrators.rebook_plans import CutBook, plan_rebooks
from etl_ray.orchestrators.receipts import BuiltFile
from etl_ray.orchestrators.stages import Item, Stages
from etl_ray.tables.book import book_rows_per_group


def rebook_all(
    manifest: Manifest, source: str, target: str, config: JobConfig, stages: Stages
) -> tuple[tuple[BuiltFile, ...], tuple[str, ...]]:
    """Write the books of SOURCE as the config says below `target`; return their files, and why products have none."""
    level2 = config.level2
    plans = plan_rebooks(manifest, source, level2.columns, products=config.products)
    items = [Item(pack(plan), sum(shard.bytes for shard in plan.shards)) for plan in plans.plans]
    cut = stages.run("recut", CutOptions(source, level2.interval_ns), items, CutBook, shown="cut books")
    options = RebookOptions(
        source=source,
        output=target,
        rows_per_group=book_rows_per_group(config.staging.rows_per_group, level2.columns),
        columns=level2.columns,
        interval_ns=level2.interval_ns,
        skip_empty=level2.skip_empty,
    )
    items = [Item(pack(shard), shard.bytes) for book in cut for shard in book.shards]
    rebuilt = stages.run("rebook", options, items, RebuiltBook, shown="books")
    return tuple(file for shard in rebuilt for file in shard.files), plans.refused
