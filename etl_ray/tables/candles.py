"""`candles`: five-minute candles, the last version of each; and the versions as delivered."""

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
from etl_ray.tables.schema import NUMBER, TIME, Column, Table

DELIVERED_CANDLES = Table(
    name="candles",
    version=2,
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
"""What parsers yield and units stage."""

CANDLES = replace(
    DELIVERED_CANDLES,
    meaning="Five-minute candles, each once: the version that arrived last, with what all versions tell of it. Only "
    "final ones are known to be whole.",
    columns=(
        *DELIVERED_CANDLES.columns[: -len(LINEAGE)],
        Column("n_versions", pa.int64(), "how often the candle was delivered, on whatever connection"),
        Column(
            "is_final",
            pa.bool_(),
            "behind this version, a later candle of the product arrived on the same connection, so the venue was done "
            "with this one; hindsight: not known at ts_server",
        ),
        *LINEAGE,
    ),
    order=("product_id", "ts_start"),
)
"""What a run writes."""
