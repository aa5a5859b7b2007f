"""`ticker`: best bid and offer, last price and day figures as the venue publishes them."""

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
from etl_ray.tables.schema import NUMBER, Column, Table


def _figure(name: str, meaning: str, unit: str) -> Column:
    return Column(name, NUMBER, f"{meaning}; null where the venue sends none", unit, True)


TICKER = Table(
    name="ticker",
    version=1,
    meaning="Tickers of the channels ticker (on every match) and ticker_batch (every five seconds).",
    columns=(
        PRODUCT_ID,
        date_column("ts_server"),
        TS_SERVER,
        TS_CAPTURE,
        SEQUENCE_NUM,
        Column("is_batch", pa.bool_(), "the row came on ticker_batch, which has no best bid and offer"),
        Column("price", NUMBER, "price of the last trade", "quote"),
        _figure("volume_24h", "volume of the last 24 hours", "base"),
        _figure("low_24h", "lowest price of the last 24 hours", "quote"),
        _figure("high_24h", "highest price of the last 24 hours", "quote"),
        _figure("low_52w", "lowest price of the last 52 weeks", "quote"),
        _figure("high_52w", "highest price of the last 52 weeks", "quote"),
        _figure("price_percent_chg_24h", "change of the price over the last 24 hours", "percent"),
        _figure("best_bid", "best bid", "quote"),
        _figure("best_bid_quantity", "quantity at the best bid", "base"),
        _figure("best_ask", "best ask", "quote"),
        _figure("best_ask_quantity", "quantity at the best ask", "base"),
        IS_SNAPSHOT,
        *LINEAGE,
    ),
    partition_cols=("product_id", "date"),
    order=ARRIVAL_ORDER,
)
