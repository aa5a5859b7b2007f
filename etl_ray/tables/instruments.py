"""`instruments`: the terms of each product, one row per change."""

from __future__ import annotations

import pyarrow as pa

from etl_ray.tables.lineage import LINEAGE, PRODUCT_ID
from etl_ray.tables.schema import NUMBER, TIME, Column, Table

INSTRUMENTS = Table(
    name="instruments",
    version=1,
    meaning="Versions of a product's terms, from `status`: a row holds from valid_from until the product's next row.",
    columns=(
        PRODUCT_ID,
        Column("valid_from", TIME, "server time of the first message with these terms", "ns UTC"),
        Column("product_type", pa.string(), "kind of product, such as SPOT", "", True),
        Column("base_currency", pa.string(), "currency of quantities", "", True),
        Column("quote_currency", pa.string(), "currency of prices", "", True),
        Column("tick_size", NUMBER, "smallest step of a price (the venue's quote_increment)", "quote", True),
        Column("lot_size", NUMBER, "smallest step of a quantity (the venue's base_increment)", "base", True),
        Column("min_market_funds", NUMBER, "smallest amount of a market order", "quote", True),
        Column("display_name", pa.string(), "name for people", "", True),
        Column("status", pa.string(), "state of trading, such as online", "", True),
        Column("status_message", pa.string(), "the venue's remark on the state", "", True),
        *LINEAGE[1:3],
    ),
    partition_cols=(),
    order=("segment", "line", "product_id"),
)
