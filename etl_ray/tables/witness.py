"""`witness`: how often the best bid and ask of books are those that the venue's own tickers tell."""

from __future__ import annotations

import pyarrow as pa

from etl_ray.tables.lineage import PRODUCT_ID, date_column
from etl_ray.tables.schema import TIME, Column, Table

WITNESS = Table(
    name="witness",
    version=1,
    meaning="Books held to the venue's tickers, by hour: the venue sends no checksum of a book.",
    columns=(
        PRODUCT_ID,
        date_column("ts_start"),
        Column("ts_start", TIME, "beginning of the hour, of ts_server of the tickers", "ns UTC"),
        Column("n_tickers", pa.int64(), "tickers with a best bid and a best ask"),
        Column(
            "n_quiet",
            pa.int64(),
            "those of them at which best prices stood still: equal in the last row of book by ts_server of the ticker "
            "and in the two behind it",
        ),
        Column("n_equal", pa.int64(), "those of n_quiet with the best prices of book, both of them"),
        Column("share", pa.float64(), "n_equal / n_quiet; null if none was quiet", "", True),
    ),
    partition_cols=("date",),
    order=("product_id", "ts_start"),
)
