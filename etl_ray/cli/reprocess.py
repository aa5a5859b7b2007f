"""`etl-ray reprocess`: tables computed again from the tables of an output."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import orjson
import typer

from etl_ray.cli.options import (
    AddressOption,
    BarsOption,
    BreakLockOption,
    ConfigOption,
    EngineOption,
    FeaturesOption,
    OverwriteOption,
    ProductsOption,
    TradesWithBookOption,
    derived_overrides,
    split_names,
)
from etl_ray.cli.report import print_reprocessed
from etl_ray.config import JobConfig, load_config
from etl_ray.progress import choose_progress

logger = logging.getLogger(__name__)


def reprocess(  # noqa: PLR0913 - one parameter per option
    source: Annotated[str, typer.Argument(metavar="OUTPUT", help="What `etl-ray run` has written.")],
    target: Annotated[str, typer.Argument(metavar="DEST", help="Directory or URL for the new tables.")],
    *,
    config: ConfigOption = None,
    bars: BarsOption = None,
    trades_with_book: TradesWithBookOption = None,
    features: FeaturesOption = None,
    books: Annotated[
        bool, typer.Option("--books", help="The table book again, with the options of level2 in the config.")
    ] = False,
    depth: Annotated[int | None, typer.Option("--depth", metavar="N", help="Levels a side; implies --books.")] = None,
    emit: Annotated[
        str | None, typer.Option("--emit", metavar="LENGTH", help="message, or an interval; implies --books.")
    ] = None,
    products: ProductsOption = None,
    engine: EngineOption = None,
    address: AddressOption = None,
    overwrite: OverwriteOption = None,
    break_lock: BreakLockOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no summary table.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print the summary as one JSON object on the last line.")
    ] = False,
) -> int:
    """Compute derived tables, and books, again from the tables of OUTPUT: no recording is read.

    Of the config the sections derived, engine, products and staging count, and the processor options of level2.

    Exit codes: 0 committed; 1 not committed; 2 usage or config; 4 DEST is locked by another run.
    """
    from etl_ray.orchestrators.reprocess import reprocess as compute

    base = JobConfig() if config is None else load_config(config)
    level2 = {key: value for key, value in {"depth": depth, "emit": emit}.items() if value is not None}
    given = {"engine": engine, "address": address, "overwrite": overwrite, "break_lock": break_lock}
    overrides: dict[str, object] = {key: value for key, value in given.items() if value is not None}
    if products is not None:
        overrides["products"] = split_names(products, "--products")
    if level2:
        overrides["channels"] = {"level2": {"processor_options": level2}}
    effective = base.merge(overrides | {"derived": derived_overrides(bars, trades_with_book, features)})
    progress = choose_progress(quiet, sys.stderr)
    try:
        summary = compute(source, target, effective, progress, books=books or bool(level2))
    finally:
        progress.done()
    if not quiet:
        print_reprocessed(summary, config=effective)
    for finding in summary.findings:
        logger.warning("%s", finding)
    if json:
        typer.echo(orjson.dumps(summary.as_dict()).decode())
    return 0
