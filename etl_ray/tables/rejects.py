"""`rejects`: every line that was not understood, with the reason."""

from __future__ import annotations

import pyarrow as pa

from etl_ray.tables.lineage import date_column
from etl_ray.tables.schema import SYMBOL, Column, Table

REJECTS = Table(
    name="rejects",
    version=1,
    meaning="Lines that were rejected as a whole. Other tables hold nothing of them.",
    columns=(
        date_column("the segment's name, else the word unknown"),
        Column("segment", SYMBOL, "segment that holds the line: its file name without codec suffix"),
        Column("line", pa.int64(), "line within the segment, from 1"),
        Column("byte_offset", pa.int64(), "first byte of the line within the unpacked segment, from 0", "bytes"),
        Column("length", pa.int64(), "length of the line without its line end", "bytes"),
        Column("sha256", pa.string(), "hash of the line without its line end, hexadecimal"),
        Column("channel", SYMBOL, "channel that the line names; null if it names none", "", True),
        Column("reason", pa.string(), "what was expected and what was found"),
        Column(
            "raw",
            pa.binary(),
            "first 65,536 bytes of the line, only if it names a public channel and nothing private",
            "",
            True,
        ),
    ),
    partition_cols=("date",),
    order=("segment", "line"),
)
