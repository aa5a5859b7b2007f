"""`subscriptions`: what a connection was subscribed to after each acknowledgement."""

from __future__ import annotations

from etl_ray.tables.lineage import ARRIVAL_ORDER, LINEAGE, SEQUENCE_NUM, TS_CAPTURE, TS_SERVER, date_column
from etl_ray.tables.schema import SYMBOL, Column, Table

SUBSCRIPTIONS = Table(
    name="subscriptions",
    version=1,
    meaning="Acknowledgements: each carries the full set of its connection, one row per channel and entry.",
    columns=(
        date_column("ts_server"),
        TS_SERVER,
        TS_CAPTURE,
        SEQUENCE_NUM,
        Column("subscribed_channel", SYMBOL, "channel, as named on subscribing; null if the set is empty", "", True),
        Column(
            "subscribed_product",
            SYMBOL,
            "product (for heartbeats the word heartbeats); null if the channel lists none",
            "",
            True,
        ),
        *LINEAGE,
    ),
    partition_cols=("date",),
    order=ARRIVAL_ORDER,
)
