"""Spark in local mode: `read.json` with a schema, kept in memory while one partitioned write per table goes over it.

It runs in an environment of its own. Of three ways this was the fastest once it is warm: reading once per table, with
a smaller schema, took a fifth more, text lines with `from_json` a third more. Its timestamps have no nanoseconds, so
times are integers of ns here. The session, and what its compiler has learned, stay from one run to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import col

from tests.benchmarks.columns import FIGURES, FIRST_PLAUSIBLE_DAY
from tests.benchmarks.measurement import cores

_EVENT = f"""struct<type: string, product_id: string,
    updates: array<struct<side: string, event_time: string, price_level: string, new_quantity: string>>,
    trades: array<struct<
        product_id: string, trade_id: string, price: string, size: string, time: string, side: string>>,
    tickers: array<struct<product_id: string, {", ".join(f"{key}: string" for key in FIGURES)}>>>"""
_LINE = f"""capture_ts string,
    data struct<channel: string, timestamp: string, sequence_num: bigint, events: array<{_EVENT}>>"""
_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
    "spark.driver.memory": "4g",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.hadoop.parquet.compression.codec.zstd.level": "1",
    "spark.sql.inMemoryColumnarStorage.compressed": "false",
}


def _ns(column: str) -> str:
    """Return the time in a string, whose fraction has up to nine digits before a Z, as an integer of ns."""
    length = f"length({column})"
    rest = f"cast(rpad(substring({column}, 27, {length} - 27), 3, '0') as bigint)"
    nanos = f"if({length} between 28 and 30 and endswith({column}, 'Z'), {rest}, 0)"
    return f"unix_micros(cast({column} as timestamp)) * 1000 + {nanos}"


_MESSAGE = (
    f"{_ns('timestamp')} AS ts_server",
    f"{_ns('capture_ts')} AS ts_capture",
    "sequence_num",
    "is_snapshot",
)


@lru_cache(maxsize=1)
def _session() -> SparkSession:
    builder = SparkSession.builder.master(f"local[{cores()}]").appName("etl-ray-bench")
    settings = {**_SETTINGS, "spark.sql.shuffle.partitions": str(cores())}
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def read(segments: Sequence[str]) -> DataFrame:
    """Return the lines, of which nothing has been read yet."""
    return _session().read.schema(_LINE).json(list(segments))


def frames(lines: DataFrame) -> dict[str, DataFrame]:
    """Return the rows of each table."""
    return {
        "level2": _rows(lines, ["l2_data"], "updates", event=["product_id"]).selectExpr(
            "product_id",
            "cast(substring(timestamp, 1, 10) AS date) AS date",
            f"if(event_time >= '{FIRST_PLAUSIBLE_DAY}', {_ns('event_time')}, null) AS ts_event",
            *_MESSAGE,
            "if(side = 'bid', 'bid', 'ask') AS side",
            "cast(price_level AS double) AS price",
            "cast(new_quantity AS double) AS quantity",
        ),
        "market_trades": _rows(lines, ["market_trades"], "trades").selectExpr(
            "product_id",
            "cast(substring(time, 1, 10) AS date) AS date",
            f"{_ns('time')} AS ts_event",
            *_MESSAGE,
            "cast(trade_id AS bigint) AS trade_id",
            "cast(price AS double) AS price",
            "cast(size AS double) AS size",
            "lower(side) AS maker_side",
            "if(side = 'BUY', 'sell', 'buy') AS taker_side",
        ),
        "ticker": _rows(lines, ["ticker", "ticker_batch"], "tickers").selectExpr(
            "product_id",
            "cast(substring(timestamp, 1, 10) AS date) AS date",
            *_MESSAGE,
            "channel = 'ticker_batch' AS is_batch",
            *(f"cast({key} AS double) AS {name}" for key, name in FIGURES.items()),
        ),
    }


def convert(segments: Sequence[str], output: str) -> None:
    """Write the tables of `segments` below `output`, one file per task and partition."""
    lines = read(segments).cache()
    for name, frame in frames(lines).items():
        frame.write.partitionBy("product_id", "date").parquet(f"{output}/{name}")
    lines.unpersist()


def _rows(lines: DataFrame, channels: Sequence[str], key: str, *, event: Sequence[str] = ()) -> DataFrame:
    data = [f"data.{name} AS {name}" for name in ("channel", "timestamp", "sequence_num")]
    known = ["channel", "timestamp", "capture_ts", "sequence_num"]
    return (
        lines.where(col("data.channel").isin(*channels))
        .selectExpr(*data, "capture_ts", "inline(data.events)")
        .selectExpr(*known, "type = 'snapshot' AS is_snapshot", *event, f"inline({key})")
    )
