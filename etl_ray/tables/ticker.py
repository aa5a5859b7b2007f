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
from etl_ray.tables.schema import NUMBER, TIME, Column, Table


def _figure(name: str, meaning: str, unit: str) -> Column:
    return Column(name, NUMBER, f"{meaning}; null where the venue sends none", unit, True)


_NULL = "null where either is null, and where it needs more digits than decimal128(38, 18) has"
_LATENCY = "may be negative, for clocks differ, and is never clipped"

TICKER = Table(
    name="ticker",
    version=2,
    meaning="Tickers of the channels ticker (on every match) and ticker_batch (every five seconds). What is derived "
    "comes from its own row, so it has no warm-up.",
    columns=(
        PRODUCT_ID,
        date_column("ts_server"),
        Column(
            "ts_event",
            TIME,
            "the venue's time of the ticker; null where it sends none, as on Advanced Trade",
            "ns UTC",
            True,
        ),
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
        Column("mid_price", NUMBER, f"(best_bid + best_ask) / 2; {_NULL}", "quote", True),
        Column("spread", NUMBER, f"best_ask - best_bid; {_NULL}", "quote", True),
        Column(
            "spread_bps",
            pa.float64(),
            "10,000 (best_ask - best_bid) / ((best_bid + best_ask) / 2); null where either is null, or both are 0",
            "bps",
            True,
        ),
        Column("range_24h", NUMBER, f"high_24h - low_24h; {_NULL}", "quote", True),
        Column(
            "latency_venue_ns",
            pa.int64(),
            f"ts_server - ts_event: from the venue's event to sending; {_LATENCY}; null where ts_event is null",
            "ns",
            True,
        ),
        Column(
            "latency_capture_ns",
            pa.int64(),
            f"ts_capture - ts_server: from sending to the collector; {_LATENCY}; null where ts_capture is null",
            "ns",
            True,
        ),
        IS_SNAPSHOT,
        *LINEAGE,
    ),
    partition_cols=("product_id", "date"),
    order=ARRIVAL_ORDER,
)
