"""`book_checkpoints`: full books at the beginning of every file and date of `book`."""

from __future__ import annotations

import pyarrow as pa

from etl_ray.tables.lineage import PRODUCT_ID, TS_SERVER, date_column
from etl_ray.tables.schema import NUMBER, SYMBOL, TIME, Column, Table

BOOK_CHECKPOINTS = Table(
    name="book_checkpoints",
    version=1,
    meaning=(
        "The full book before a message, from which `level2` can be replayed: one row a level, bids first, best first."
    ),
    columns=(
        PRODUCT_ID,
        date_column("ts_server"),
        TS_SERVER,
        Column("connection_id", SYMBOL, "the connection whose book it is"),
        Column("segment", SYMBOL, "segment of the message that comes next"),
        Column("line", pa.int64(), "line of the message that comes next: the book is as before it"),
        Column("ts_align", TIME, "ts_align of the message before; null if there is none", "ns UTC", True),
        Column("book_state", SYMBOL, "state of the book before the message"),
        Column("side", SYMBOL, "bid or ask; null in the one row of an empty book", "", True),
        Column("level", pa.int32(), "rank of the level on its side, 0 is the best; null in an empty book", "", True),
        Column("price", NUMBER, "price of the level", "quote", True),
        Column("size", NUMBER, "quantity at the level", "base", True),
    ),
    partition_cols=("product_id", "date"),
    order=("segment", "line"),
)
