"""`level2`: every change of a price level, in arrival order."""

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

LEVEL2 = Table(
    name="level2",
    version=1,
    meaning="Order book levels as sent: a snapshot replaces the book, an update sets the quantity of a level.",
    columns=(
        PRODUCT_ID,
        date_column("ts_server"),
        Column(
            "ts_event",
            TIME,
            "the venue's time of the change; null if implausible (snapshots may say 1970)",
            "ns UTC",
            True,
        ),
        TS_SERVER,
        TS_CAPTURE,
        SEQUENCE_NUM,
        Column("side", SYMBOL, "bid or ask; null in the one row of an empty snapshot", "", True),
        Column("price", NUMBER, "price of the level; null in the one row of an empty snapshot", "quote", True),
        Column(
            "quantity",
            NUMBER,
            "quantity at the level from now on, 0 removes it; null in the one row of an empty snapshot",
            "base",
            True,
        ),
        IS_SNAPSHOT,
        Column("is_last", pa.bool_(), "last row of its message for its product: the book is defined after it"),
        *LINEAGE,
    ),
    partition_cols=("product_id", "date"),
    order=ARRIVAL_ORDER,
)
