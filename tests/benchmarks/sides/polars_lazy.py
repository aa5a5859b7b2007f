"""Polars: `scan_lines`, keep the lines of a channel, `json_decode`, explode, and sink by partition; streaming.

It was the fastest of five ways to write it: `scan_ndjson` took seven times as long, and neither reads numbers out of
strings.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from tests.benchmarks.columns import FIGURES

_LEVEL = pl.Struct(dict.fromkeys(("side", "event_time", "price_level", "new_quantity"), pl.String))
_TRADE = pl.Struct(dict.fromkeys(("product_id", "trade_id", "price", "size", "time", "side"), pl.String))
_TICKER = pl.Struct(dict.fromkeys(("product_id", *FIGURES), pl.String))


def convert(segments: Sequence[str], output: str) -> None:
    """Write the tables of `segments` below `output`, one file per partition, rows in arrival order."""
    for table, frame in frames(segments).items():
        frame.sink_parquet(
            pl.PartitionBy(f"{output}/{table}", key=["product_id", "date"], include_key=False),
            compression="zstd",
            compression_level=1,
            mkdir=True,
        )


def frames(segments: Sequence[str]) -> dict[str, pl.LazyFrame]:
    """Return the rows of each table, nothing read yet."""
    lines = pl.scan_lines(list(segments), name="line")
    return {"level2": _level2(lines), "market_trades": _trades(lines), "ticker": _ticker(lines)}


def _level2(lines: pl.LazyFrame) -> pl.LazyFrame:
    ts_event = _time("event_time")
    first = pl.datetime(2010, 1, 1, time_unit="ns", time_zone="UTC")
    return (
        _rows(lines, ["l2_data"], key="updates", row=_LEVEL, event=("product_id",))
        .with_columns(ts_event=ts_event)
        .select(
            "product_id",
            pl.col("ts_server").dt.date().alias("date"),
            pl.when(pl.col("ts_event") >= first).then("ts_event").alias("ts_event"),
            *_MESSAGE,
            pl.when(pl.col("side") == "bid").then(pl.lit("bid")).otherwise(pl.lit("ask")).alias("side"),
            pl.col("price_level").cast(pl.Float64).alias("price"),
            pl.col("new_quantity").cast(pl.Float64).alias("quantity"),
        )
    )


def _trades(lines: pl.LazyFrame) -> pl.LazyFrame:
    return (
        _rows(lines, ["market_trades"], key="trades", row=_TRADE)
        .with_columns(ts_event=_time("time"))
        .select(
            "product_id",
            pl.col("ts_event").dt.date().alias("date"),
            "ts_event",
            *_MESSAGE,
            pl.col("trade_id").cast(pl.Int64),
            pl.col("price").cast(pl.Float64),
            pl.col("size").cast(pl.Float64),
            pl.col("side").str.to_lowercase().alias("maker_side"),
            pl.when(pl.col("side") == "BUY").then(pl.lit("sell")).otherwise(pl.lit("buy")).alias("taker_side"),
        )
    )


def _ticker(lines: pl.LazyFrame) -> pl.LazyFrame:
    return _rows(lines, ["ticker", "ticker_batch"], key="tickers", row=_TICKER).select(
        "product_id",
        pl.col("ts_server").dt.date().alias("date"),
        *_MESSAGE,
        (pl.col("channel") == "ticker_batch").alias("is_batch"),
        *(pl.col(key).cast(pl.Float64).alias(name) for key, name in FIGURES.items()),
    )


_MESSAGE = ("ts_server", "ts_capture", "sequence_num", "is_snapshot")


def _rows(
    lines: pl.LazyFrame, channels: list[str], *, key: str, row: pl.Struct, event: tuple[str, ...] = ()
) -> pl.LazyFrame:
    """Return one row per entry of the events' list `key`, with the columns of its message."""
    events = pl.List(pl.Struct({"type": pl.String, **dict.fromkeys(event, pl.String), key: pl.List(row)}))
    message = pl.Struct({"channel": pl.String, "timestamp": pl.String, "sequence_num": pl.Int64, "events": events})
    line = pl.Struct({"capture_ts": pl.String, "data": message})
    # A line that names the channel elsewhere is dropped after decoding.
    return (
        lines.filter(pl.col("line").str.contains(f'"{channels[0]}', literal=True))
        .select(pl.col("line").str.json_decode(line).struct.unnest())
        .unnest("data")
        .filter(pl.col("channel").is_in(channels))
        .select(
            "channel",
            _time("timestamp").alias("ts_server"),
            _time("capture_ts").alias("ts_capture"),
            "sequence_num",
            "events",
        )
        .explode("events")
        .unnest("events")
        .with_columns(is_snapshot=pl.col("type") == "snapshot")
        .select("channel", *_MESSAGE, *event, key)
        .explode(key)
        .unnest(key)
    )


def _time(column: str) -> pl.Expr:
    return pl.col(column).str.to_datetime("%+", time_unit="ns", time_zone="UTC")
