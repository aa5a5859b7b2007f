"""`coverage`: what the recording holds of each channel and product, and what it does not."""

from __future__ import annotations

import pyarrow as pa

from etl_ray.tables.lineage import date_column
from etl_ray.tables.schema import SYMBOL, TIME, Column, Table

STATES = ("verified", "unverifiable", "suspect", "no_snapshot", "no_data")
"""States of data, from best to worst."""

CAUSES = (
    "start",
    "connection_end",
    "silence",
    "lost",
    "rejected",
    "damaged_segment",
    "explained",
    "crossed_book",
    "missing_ids",
    "no_snapshot",
)
"""Why data are not verified."""

COVERAGE = Table(
    name="coverage",
    version=2,
    meaning="What the recording holds of a channel and product, in tiles of arrival order; seen from its end.",
    columns=(
        Column("channel", SYMBOL, "channel, named as its table"),
        Column("product_id", SYMBOL, "product as the venue names it, such as BTC-USD"),
        date_column("ts_start"),
        Column("state", SYMBOL, "verified, unverifiable, suspect, no_snapshot or no_data"),
        Column("cause", SYMBOL, "why it is not verified; null if it is", "", True),
        Column("connection_id", SYMBOL, "the connection that the state is of; null where there is none", "", True),
        Column("segment_start", SYMBOL, "segment of the first line of the tile"),
        Column("line_start", pa.int64(), "first line of the tile"),
        Column("segment_end", SYMBOL, "segment of the line behind the tile"),
        Column("line_end", pa.int64(), "the line behind the tile"),
        Column(
            "ts_start", TIME, "ts_server of the message at the tile's beginning, or the midnight that cuts it", "ns UTC"
        ),
        Column("ts_end", TIME, "ts_server of the message at the tile's end, or the midnight that cuts it", "ns UTC"),
        Column(
            "ids_missing",
            pa.int64(),
            "trade ids missing between trades that follow each other by id, the later one of which arrived in the tile "
            "or ends it; null for other channels",
            "",
            True,
        ),
    ),
    partition_cols=("date",),
    order=("channel", "product_id", "segment_start", "line_start"),
)
