"""`connections`: every connection of the recording, and what is missing in it."""

from __future__ import annotations

import pyarrow as pa

from etl_ray.tables.schema import SYMBOL, TIME, Column, Table

HOLE_CLASSES = ("lost", "explained", "rejected", "damaged_segment")
"""What holes inside a connection are; the numbers missing before its first message are `unverifiable`."""

_NAMES = pa.list_(pa.field("element", pa.string()))  # as Parquet calls what is in a list


def _holes(name: str) -> tuple[Column, Column]:
    return (
        Column(f"holes_{name}", pa.int64(), f"holes of the class {name}"),
        Column(f"missing_{name}", pa.int64(), "numbers missing in them"),
    )


CONNECTIONS = Table(
    name="connections",
    version=1,
    meaning="Connections in the order of their first messages, with the numbers that are missing in them.",
    columns=(
        Column("connection_id", SYMBOL, "segment:line of its first recorded message"),
        Column("segment_first", SYMBOL, "segment of its first message"),
        Column("line_first", pa.int64(), "line of its first message"),
        Column("segment_last", SYMBOL, "segment of its last message"),
        Column("line_last", pa.int64(), "line of its last message"),
        Column("ts_first", TIME, "ts_server of its first message; null if none has a time", "ns UTC", True),
        Column("ts_last", TIME, "ts_server of its last message; null if none has a time", "ns UTC", True),
        Column("sequence_num_first", pa.int64(), "number of its first message"),
        Column("sequence_num_last", pa.int64(), "its greatest number"),
        Column("messages", pa.int64(), "valid messages, private ones included"),
        Column("channels", _NAMES, "channels of its messages as on the wire, sorted"),
        Column("products", _NAMES, "products that its messages name, sorted"),
        Column("missing_unverifiable", pa.int64(), "numbers below its first one"),
        *(column for name in HOLE_CLASSES for column in _holes(name)),
    ),
    partition_cols=(),
    order=("segment_first", "line_first"),
)
