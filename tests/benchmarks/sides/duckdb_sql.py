"""DuckDB: one typed `read_json` into a temporary table, then one partitioned COPY per table.

Reading once and copying three times was the fastest of four ways to write it: a `read_json` per table, or a temporary
table per output, took a quarter more.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from tests.benchmarks.columns import FIGURES, FIRST_PLAUSIBLE_DAY
from tests.benchmarks.measurement import cores

_EVENT = f"""STRUCT(
    "type" VARCHAR,
    product_id VARCHAR,
    updates STRUCT(side VARCHAR, event_time TIMESTAMP_NS, price_level DOUBLE, new_quantity DOUBLE)[],
    trades STRUCT(
        product_id VARCHAR, trade_id BIGINT, price DOUBLE, size DOUBLE, "time" TIMESTAMP_NS, side VARCHAR
    )[],
    tickers STRUCT(product_id VARCHAR, {", ".join(f"{key} DOUBLE" for key in FIGURES)})[]
)"""

READ = f"""
CREATE TEMP TABLE messages AS
SELECT capture_ts AS ts_capture, data."timestamp" AS ts_server, data.sequence_num AS sequence_num,
    data.channel AS channel, data.events AS events
FROM read_json($segments, format = 'newline_delimited', maximum_object_size = 33554432, columns = {{
    capture_ts: 'TIMESTAMP_NS',
    data: 'STRUCT(channel VARCHAR, "timestamp" TIMESTAMP_NS, sequence_num BIGINT, events {_EVENT}[])'
}})
WHERE data.channel IN ('l2_data', 'market_trades', 'ticker', 'ticker_batch')
"""

SELECTS = {
    "level2": f"""
        SELECT product_id, ts_server::DATE AS date,
            CASE WHEN row.event_time >= '{FIRST_PLAUSIBLE_DAY}' THEN row.event_time END AS ts_event,
            ts_server, ts_capture, sequence_num, is_snapshot,
            CASE WHEN row.side = 'bid' THEN 'bid' ELSE 'ask' END AS side,
            row.price_level AS price, row.new_quantity AS quantity
        FROM (
            SELECT * EXCLUDE event, event.product_id AS product_id, event."type" = 'snapshot' AS is_snapshot,
                unnest(event.updates) AS row
            FROM (SELECT * EXCLUDE events, unnest(events) AS event FROM messages WHERE channel = 'l2_data')
        )""",
    "market_trades": """
        SELECT row.product_id AS product_id, row."time"::DATE AS date, row."time" AS ts_event,
            ts_server, ts_capture, sequence_num, is_snapshot,
            row.trade_id AS trade_id, row.price AS price, row.size AS size, lower(row.side) AS maker_side,
            CASE WHEN row.side = 'BUY' THEN 'sell' ELSE 'buy' END AS taker_side
        FROM (
            SELECT * EXCLUDE event, event."type" = 'snapshot' AS is_snapshot, unnest(event.trades) AS row
            FROM (SELECT * EXCLUDE events, unnest(events) AS event FROM messages WHERE channel = 'market_trades')
        )""",
    "ticker": f"""
        SELECT row.product_id AS product_id, ts_server::DATE AS date,
            ts_server, ts_capture, sequence_num, is_snapshot, channel = 'ticker_batch' AS is_batch,
            {", ".join(f"row.{key} AS {name}" for key, name in FIGURES.items())}
        FROM (
            SELECT * EXCLUDE event, event."type" = 'snapshot' AS is_snapshot, unnest(event.tickers) AS row
            FROM (
                SELECT * EXCLUDE events, unnest(events) AS event FROM messages
                WHERE channel IN ('ticker', 'ticker_batch')
            )
        )""",
}


def connect() -> duckdb.DuckDBPyConnection:
    """Return a database in memory that uses the cores that a side may use."""
    return duckdb.connect(config={"threads": cores()})


def convert(segments: Sequence[str], output: str) -> None:
    """Write the tables of `segments` below `output`, one file per partition, rows in arrival order."""
    with connect() as connection:
        connection.execute(READ, {"segments": list(segments)})
        for table, select in SELECTS.items():
            connection.execute(
                f"COPY ({select}) TO '{output}/{table}' "
                "(FORMAT parquet, PARTITION_BY (product_id, date), COMPRESSION zstd, COMPRESSION_LEVEL 1)"
            )
