"""`heartbeats`: the venue's proof, once a second, that a connection lives."""

from __future__ import annotations

import pyarrow as pa

from etl_ray.tables.lineage import ARRIVAL_ORDER, LINEAGE, SEQUENCE_NUM, TS_CAPTURE, TS_SERVER, date_column
from etl_ray.tables.schema import TIME, Column, Table

HEARTBEATS = Table(
    name="heartbeats",
    version=1,
    meaning="Heartbeats, one a second and connection; a gap in their counter is a loss.",
    columns=(
        date_column("ts_server"),
        Column("ts_event", TIME, "the venue's current_time; null if implausible", "ns UTC", True),
        TS_SERVER,
        TS_CAPTURE,
        SEQUENCE_NUM,
        Column("heartbeat_counter", pa.int64(), "the venue's count of heartbeats; one more each second"),
        *LINEAGE,
    ),
    partition_cols=("date",),
    order=ARRIVAL_ORDER,
)
