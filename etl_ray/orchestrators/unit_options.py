"""How a config has units normalized, and which messages it selects."""

from __future__ import annotations

from etl_ray.config import JobConfig
from etl_ray.orchestrators.normalize import NormalizeOptions
from etl_ray.orchestrators.run_plan import TimeRange
from etl_ray.orchestrators.selection import Selection
from etl_ray.tables import CANDLES, MARKET_TRADES, TABLES
from etl_ray.venues import VENUES


def selection_of(config: JobConfig, range_ns: TimeRange) -> Selection:
    """Return what is selected of a range of time."""
    enabled = config.enabled_channels()
    channels = tuple(
        channel
        for shape in VENUES[config.venue].shapes
        for channel in shape.channels
        if shape.table in enabled and (channel != "ticker_batch" or config.include_ticker_batch)
    )
    return Selection(channels, config.products, *range_ns)


def staged_partitions(config: JobConfig) -> dict[str, tuple[str, ...]]:
    """Return by which columns the staged rows of each table are parted."""
    # Copies of a trade have to meet, and versions of a candle.
    return {table: config.partition_cols(table) for table in TABLES} | dict.fromkeys(
        (MARKET_TRADES.name, CANDLES.name), ("product_id",)
    )


def unit_options(config: JobConfig, range_ns: TimeRange, staging: str) -> NormalizeOptions:
    """Return how units are normalized, their pieces put below `staging`."""
    enabled = config.enabled_channels()
    return NormalizeOptions(
        venue=config.venue,
        tables=(*enabled, "rejects", *(("instruments",) if "status" in enabled else ())),
        selection=selection_of(config, range_ns),
        numbers=config.numbers,
        partition_cols=staged_partitions(config),
        block_bytes=config.staging.block_bytes,
        max_line_bytes=config.staging.max_line_bytes,
        staging=staging,
        books=config.has_books,
    )
