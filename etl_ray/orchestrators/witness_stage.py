"""All witnesses of a set of files: planned, heard on an engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from etl_ray.config import JobConfig
from etl_ray.orchestrators.candle_witness import plan_candle_witness
from etl_ray.orchestrators.derive_plan import DeriveOptions
from etl_ray.orchestrators.engines import Engine
from etl_ray.orchestrators.messages import pack, to_json
from etl_ray.orchestrators.receipts import BuiltFile
from etl_ray.orchestrators.witness import Witnessed, WitnessOptions, plan_witness
from etl_ray.orchestrators.work import Stage, read_witnessed
from etl_ray.progress import Progress


def hear_witnesses(
    files: Sequence[BuiltFile],
    books: Iterable[str],
    config: JobConfig,
    *,
    options: DeriveOptions,
    engine: Engine,
    progress: Progress,
) -> tuple[Witnessed, ...]:
    """Hold books to tickers and trades to candles, as far as they are written as they are defined.

    `books` are the products that have one. Files are read below `options.input`.
    """
    tickers = plan_witness(files, books) if _is_plain(config, "ticker", "product_id") else ()
    if config.level2.interval_ns:
        tickers = ()
    by_date = ("product_id", "date")
    is_plain = _is_plain(config, "candles", *by_date) and _is_plain(config, "market_trades", *by_date)
    candles = plan_candle_witness(files) if is_plain else ()
    if not tickers and not candles:
        return ()
    progress.stage("witness", 0, len(tickers) + len(candles))
    stages: tuple[tuple[Stage, bytes, list[tuple[bytes, int]]], ...] = (
        ("witness", to_json(WitnessOptions(options.input)), [(pack(task), task.bytes) for task in tickers]),
        ("candle_witness", to_json(options), [(pack(task), task.bytes) for task in candles]),
    )
    found: list[Witnessed] = []
    for stage, stage_options, items in stages:
        for result in engine.run(stage, stage_options, items) if items else ():
            found.append(read_witnessed(result))
            progress.advance(0, 1)
    progress.done()
    return tuple(found)


def _is_plain(config: JobConfig, table: str, *columns: str) -> bool:
    """Tell whether a table has the job's own rows, in files that have no more than one value of these columns."""
    return not config.channels[table].processors and set(columns) <= set(config.partition_cols(table))
