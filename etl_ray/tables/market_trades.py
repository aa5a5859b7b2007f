"""`market_trades`: one row per trade; and what was delivered of trades, of which copies are left out."""

from __future__ import annotations

from dataclasses import replace

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

DELIVERED_TRADES = Table(
    name="market_trades",
    version=2,
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
"""What parsers yield and units stage."""

MARKET_TRADES = replace(
    DELIVERED_TRADES,
    meaning="Trades, each once: the first copy that came in an update, else the first of a snapshot.",
    columns=(
        *DELIVERED_TRADES.columns[: -len(LINEAGE)],
        Column(
            "is_healed",
            pa.bool_(),
            "only snapshots delivered the trade, though updates delivered an older one: what an outage had lost; "
            "hindsight",
        ),
        Column("n_copies", pa.int32(), "how often the trade was delivered; hindsight"),
        *LINEAGE,
    ),
    order=("product_id", "ts_event", "trade_id"),
)
"""What a run writes."""
