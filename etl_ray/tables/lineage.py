"""Columns that several tables share: keys, clocks, and where a row came from."""

from __future__ import annotations

import pyarrow as pa

from etl_ray.tables.schema import SYMBOL, TIME, Column

PRODUCT_ID = Column("product_id", SYMBOL, "product as the venue names it, such as BTC-USD")
TS_SERVER = Column("ts_server", TIME, "time at which the venue sent the message", "ns UTC")
TS_CAPTURE = Column(
    "ts_capture",
    TIME,
    "time at which the collector received the message; null without capture envelope",
    "ns UTC",
    True,
)
SEQUENCE_NUM = Column(
    "sequence_num", pa.int64(), "number of the message on its connection, over all channels and products"
)
IS_SNAPSHOT = Column("is_snapshot", pa.bool_(), "the row came in a snapshot event, not in an update")
LINEAGE = (
    Column("connection_id", SYMBOL, "the connection that carried the row: segment:line of its first recorded message"),
    Column("segment", SYMBOL, "segment that holds the row: its file name without .gz or .zst"),
    Column("line", pa.int64(), "line within the segment, from 1, blank lines counted"),
    Column("event_index", pa.int32(), "position of the event within its message, from 0"),
    Column("row_index", pa.int32(), "position of the row within its event, from 0"),
)
ARRIVAL_ORDER = ("segment", "line", "event_index", "row_index")


def date_column(clock: str) -> Column:
    """Return the `date` column of a table that is partitioned by the UTC date of `clock`."""
    return Column("date", SYMBOL, f"UTC date of {clock}, YYYY-MM-DD")
