"""All witnesses of a set of files: planned, heard on an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from etl_ray.config import JobConfig
from etl_ray.orchestrators.candle_witness import plan_candle_witness
from etl_ray.orchestrators.derive_plan import DeriveOptions
from etl_ray.orchestrators.final_files import content_of
from etl_ray.orchestrators.messages import pack
from etl_ray.orchestrators.receipts import BuiltFile
from etl_ray.orchestrators.results import key_of
from etl_ray.orchestrators.stages import Item, Stages
from etl_ray.orchestrators.witness import Witnessed, WitnessOptions, plan_witness


def hear_witnesses(
    files: Sequence[BuiltFile],
    books: Iterable[str],
    config: JobConfig,
    *,
    options: DeriveOptions,
    stages: Stages,
    where: Callable[[str], str],
) -> tuple[Witnessed, ...]:
    """Hold books to tickers and trades to candles, as far as they are written as they are defined.

    `books` are the products that have one. Files are read below `options.input`, where `where`
    says.
    """
    tickers = plan_witness(files, books) if _is_plain(config, "ticker", "product_id") else ()
    if config.level2.interval_ns:
        tickers = ()
    by_date = ("product_id", "date")
    is_plain = _is_plain(config, "candles", *by_date) and _is_plain(config, "market_trades", *by_date)
    candles = plan_candle_witness(files) if is_plain else ()
    heard = stages.run(
        "witness",
        WitnessOptions(options.input),
        [Item(pack(task.located(where)), task.bytes, key_of(task.located(content_of))) for task in tickers],
        Witnessed,
    )
    heard += stages.run(
        "candle_witness",
        options,
        [Item(pack(task.located(where)), task.bytes, key_of(task.located(content_of))) for task in candles],
        Witnessed,
        shown="witness",
    )
    return tuple(heard)


def _is_plain(config: JobConfig, table: str, *columns: str) -> bool:
    """Tell whether a table has the job's own rows, in files that have no more than one value of these columns."""
    return not config.channels[table].processors and set(columns) <= set(config.partition_cols(table))
