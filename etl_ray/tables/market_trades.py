"""`market_trades`: every delivered copy of a trade, in arrival order."""

from __future__ import annotations

import pyarrow as pa

from etl_ray.tables.lineage import (
    ARRIVAL_ORDER,
    IS_SNAPSHOT,
    LINEAGE,
    PRODUCT_ID,
    SEQUENCE_NUM,
    TS_CAPTURE,
    TS_SERVER,
    date_column,
)
from etl_ray.tables.schema import NUMBER, SYMBOL, TIME, Column, Table

MARKET_TRADES = Table(
    name="market_trades",
    version=1,
    meaning="Trades as delivered: snapshots after a subscribe repeat trades, so one trade may have several rows.",
    columns=(
        PRODUCT_ID,
        date_column("ts_event"),
        Column("ts_event", TIME, "the venue's time of the trade", "ns UTC"),
        TS_SERVER,
        TS_CAPTURE,
        SEQUENCE_NUM,
        Column("trade_id", pa.int64(), "the venue's number of the trade, contiguous per product"),
        Column("price", NUMBER, "price of the trade", "quote"),
        Column("size", NUMBER, "quantity of the trade", "base"),
        Column("maker_side", SYMBOL, "side of the resting order, buy or sell: what the venue sends"),
        Column("taker_side", SYMBOL, "side of the order that caused the trade, buy or sell: the sign of the trade"),
        IS_SNAPSHOT,
        *LINEAGE,
    ),
    partition_cols=("product_id", "date"),
    order=ARRIVAL_ORDER,
)
