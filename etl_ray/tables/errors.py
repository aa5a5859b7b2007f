"""`errors`: what the venue complained about."""

from __future__ import annotations

import pyarrow as pa

from etl_ray.tables.lineage import TS_CAPTURE, date_column
from etl_ray.tables.schema import SYMBOL, Column, Table

ERRORS = Table(
    name="errors",
    version=1,
    meaning="Error messages of the venue; they have no server time, no sequence number and no known connection.",
    columns=(
        date_column("the segment's name, else the word unknown"),
        TS_CAPTURE,
        Column("message", pa.string(), "the venue's words, at most 4,096 characters", "", True),
        Column("segment", SYMBOL, "segment that holds the line: its file name without codec suffix"),
        Column("line", pa.int64(), "line within the segment, from 1"),
    ),
    partition_cols=("date",),
    order=("segment", "line"),
)
