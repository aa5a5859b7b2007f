"""`etl-ray run` and `etl-ray config`."""

from __future__ import annotations

import sys
from typing import Annotated

import orjson
import typer

from etl_ray.cli.options import (
    AddressOption,
    AfterOption,
    ArchiveToOption,
    BarsOption,
    BooksOption,
    BreakLockOption,
    ChannelsOption,
    ConfigOption,
    EndOption,
    EngineOption,
    FeaturesOption,
    NumbersOption,
    OverwriteOption,
    ProductsOption,
    RunOptions,
    SettleOption,
    StartOption,
    StrictOption,
    TradesWithBookOption,
)
from etl_ray.cli.report import print_summary, warn
from etl_ray.config import JobConfig
from etl_ray.progress import choose_progress
from etl_ray.summary import RunSummary


def run(  # noqa: PLR0913 - one parameter per option
    source: Annotated[str, typer.Argument(metavar="INPUT", help="Directory (searched deeply), glob, file or URL.")],
    target: Annotated[str, typer.Argument(metavar="OUTPUT", help="Directory or URL that holds the tables.")],
    *,
    config: ConfigOption = None,
    channels: ChannelsOption = None,
    products: ProductsOption = None,
    start: StartOption = None,
    end: EndOption = None,
    engine: EngineOption = None,
    address: AddressOption = None,
    numbers: NumbersOption = None,
    books: BooksOption = None,
    bars: BarsOption = None,
    trades_with_book: TradesWithBookOption = None,
    features: FeaturesOption = None,
    strict: StrictOption = None,
    overwrite: OverwriteOption = None,
    break_lock: BreakLockOption = None,
    after: AfterOption = None,
    archive_to: ArchiveToOption = None,
    settle: SettleOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no summary table.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print the summary as one JSON object on the last line.")
    ] = False,
) -> int:
    """Turn the segments of INPUT into Parquet tables below OUTPUT.

    Lists are separated by commas, and their options may be repeated.

    Exit codes: 0 committed; 1 not committed; 2 usage or config;
    3 committed, but a segment is damaged or --strict found something;
    4 OUTPUT is locked by another run.
    """
    options = RunOptions(
        config=config,
        channels=channels,
        products=products,
        start=start,
        end=end,
        engine=engine,
        address=address,
        numbers=numbers,
        books=books,
        bars=bars,
        trades_with_book=trades_with_book,
        features=features,
        strict=strict,
        overwrite=overwrite,
        break_lock=break_lock,
        after=after,
        archive_to=archive_to,
        settle=settle,
    )
    effective = options.job_config()
    summary = run_job(source, target, config=effective, quiet=quiet)
    if not quiet:
        print_summary(summary, config=effective)
    warn(summary, strict=effective.strict)
    if json:
        typer.echo(orjson.dumps(summary.as_dict()).decode())
    return summary.exit_code(effective.strict)


def config(  # noqa: PLR0913 - one parameter per option
    *,
    config: ConfigOption = None,
    channels: ChannelsOption = None,
    products: ProductsOption = None,
    start: StartOption = None,
    end: EndOption = None,
    engine: EngineOption = None,
    address: AddressOption = None,
    numbers: NumbersOption = None,
    books: BooksOption = None,
    bars: BarsOption = None,
    trades_with_book: TradesWithBookOption = None,
    features: FeaturesOption = None,
    strict: StrictOption = None,
    overwrite: OverwriteOption = None,
    break_lock: BreakLockOption = None,
    after: AfterOption = None,
    archive_to: ArchiveToOption = None,
    settle: SettleOption = None,
) -> None:
    """Print the config that a run with the same options would use, as YAML."""
    options = RunOptions(
        config=config,
        channels=channels,
        products=products,
        start=start,
        end=end,
        engine=engine,
        address=address,
        numbers=numbers,
        books=books,
        bars=bars,
        trades_with_book=trades_with_book,
        features=features,
        strict=strict,
        overwrite=overwrite,
        break_lock=break_lock,
        after=after,
        archive_to=archive_to,
        settle=settle,
    )
    typer.echo(options.job_config().to_yaml(), nl=False)


def run_job(source: str, target: str, *, config: JobConfig, quiet: bool) -> RunSummary:
    """Run the job with progress on standard error."""
    from etl_ray.job import ETLJob

    progress = choose_progress(quiet, sys.stderr)
    try:
        return ETLJob(source, target, config=config, progress=progress).process_all()
    finally:
        progress.done()
