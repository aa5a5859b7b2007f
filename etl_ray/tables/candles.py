"""`candles`: five-minute candles as delivered, every version of each."""

from __future__ import annotations

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
from etl_ray.tables.schema import NUMBER, TIME, Column, Table

CANDLES = Table(
    name="candles",
    version=1,
    meaning="Five-minute candles as delivered: the venue sends the current one again every second.",
    columns=(
        PRODUCT_ID,
        date_column("ts_start"),
        Column("ts_start", TIME, "start of the candle, inclusive", "ns UTC"),
        Column("ts_end", TIME, "end of the candle, exclusive: five minutes after its start", "ns UTC"),
        TS_SERVER,
        TS_CAPTURE,
        SEQUENCE_NUM,
        Column("open", NUMBER, "first price so far", "quote"),
        Column("high", NUMBER, "highest price so far", "quote"),
        Column("low", NUMBER, "lowest price so far", "quote"),
        Column("close", NUMBER, "last price so far", "quote"),
        Column("volume", NUMBER, "traded quantity so far", "base"),
        IS_SNAPSHOT,
        *LINEAGE,
    ),
    partition_cols=("product_id", "date"),
    order=ARRIVAL_ORDER,
)
