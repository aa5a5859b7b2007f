"""`status`: the state of every product, as often as the venue sends it."""

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

STATUS = Table(
    name="status",
    version=1,
    meaning="Product states as delivered: one row per product and message; `instruments` keeps the changes only.",
    columns=(
        PRODUCT_ID,
        date_column("ts_server"),
        TS_SERVER,
        TS_CAPTURE,
        SEQUENCE_NUM,
        Column("product_type", pa.string(), "kind of product, such as SPOT", "", True),
        Column("base_currency", pa.string(), "currency of quantities", "", True),
        Column("quote_currency", pa.string(), "currency of prices", "", True),
        Column("base_increment", NUMBER, "smallest step of a quantity (lot)", "base", True),
        Column("quote_increment", NUMBER, "smallest step of a price (tick)", "quote", True),
        Column("display_name", pa.string(), "name for people", "", True),
        Column("status", pa.string(), "state of trading, such as online", "", True),
        Column("status_message", pa.string(), "the venue's remark on the state", "", True),
        Column("min_market_funds", NUMBER, "smallest amount of a market order", "quote", True),
        IS_SNAPSHOT,
        *LINEAGE,
    ),
    partition_cols=("date",),
    order=ARRIVAL_ORDER,
)
