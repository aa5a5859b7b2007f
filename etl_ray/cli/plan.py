"""`etl-ray plan`: what a run would take, without running it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import orjson
import typer

from etl_ray.cli.options import (
    BarsOption,
    BooksOption,
    ChannelsOption,
    ConfigOption,
    EndOption,
    FeaturesOption,
    NumbersOption,
    OverwriteOption,
    ProductsOption,
    RunOptions,
    StartOption,
    TradesWithBookOption,
)
from etl_ray.config.prices import Prices, load_prices
from etl_ray.progress import choose_progress

PricesOption = Annotated[
    Path | None,
    typer.Option("--prices", metavar="FILE", help="YAML with prices and what is assumed; the defaults are examples."),
]
CoreHourOption = Annotated[
    float | None, typer.Option("--core-hour-price", metavar="PRICE", help="What a core costs an hour.")
]


def plan(  # noqa: PLR0913 - one parameter per option
    source: Annotated[str, typer.Argument(metavar="INPUT", help="Directory (searched deeply), glob, file or URL.")],
    target: Annotated[
        str | None, typer.Argument(metavar="OUTPUT", help="If it holds tables already, only what is new counts.")
    ] = None,
    *,
    cores: Annotated[float, typer.Option("--cores", metavar="N", help="How many cores the run would have.")],
    config: ConfigOption = None,
    channels: ChannelsOption = None,
    products: ProductsOption = None,
    start: StartOption = None,
    end: EndOption = None,
    numbers: NumbersOption = None,
    books: BooksOption = None,
    bars: BarsOption = None,
    trades_with_book: TradesWithBookOption = None,
    features: FeaturesOption = None,
    overwrite: OverwriteOption = None,
    prices: PricesOption = None,
    core_hour_price: CoreHourOption = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Run the job over the sample first, to measure this machine.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one line of JSON instead.")] = False,
) -> None:
    """Estimate time, memory, disk, requests and cost of etl-ray run over INPUT, without running it.

    INPUT is listed, and the heads of up to eight segments are read. Nothing is changed.

    Exit codes: 0; 1 the storage failed; 2 usage, config, INPUT or OUTPUT.
    """
    import etl_ray
    from etl_ray.cli.plan_report import print_estimate

    options = RunOptions(
        config=config,
        channels=channels,
        products=products,
        start=start,
        end=end,
        engine=None,
        address=None,
        numbers=numbers,
        books=books,
        bars=bars,
        trades_with_book=trades_with_book,
        features=features,
        strict=None,
        overwrite=overwrite,
        break_lock=None,
        after=None,
        archive_to=None,
        settle=None,
    )
    known = Prices() if prices is None else load_prices(prices)
    if core_hour_price is not None:
        known = Prices.model_validate(known.model_dump() | {"core_hour": core_hour_price})
    found = etl_ray.plan(
        source,
        target,
        cores=cores,
        config=options.job_config(),
        prices=known,
        calibrate=calibrate,
        progress=choose_progress(quiet, sys.stderr),
    )
    if json:
        typer.echo(orjson.dumps(found.as_dict()).decode())
    else:
        print_estimate(found)
