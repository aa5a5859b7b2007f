"""`witness`: how often what the venue says of its own market is what books and trades give."""

from __future__ import annotations

import pyarrow as pa

from etl_ray.tables.lineage import PRODUCT_ID, date_column
from etl_ray.tables.schema import SYMBOL, TIME, Column, Table

WITNESS = Table(
    name="witness",
    version=2,
    meaning="Books held to the venue's tickers by hour, trades to its candles by date: there is no checksum of either.",
    columns=(
        PRODUCT_ID,
        date_column("ts_start"),
        Column("kind", SYMBOL, "what is held to what: ticker, best prices of book; candle, bars of market_trades"),
        Column(
            "ts_start",
            TIME,
            "ticker: beginning of the hour, of ts_server of the tickers; candle: beginning of the date, of ts_start of "
            "the candles",
            "ns UTC",
        ),
        Column(
            "n_witnesses", pa.int64(), "ticker: tickers with a best bid and a best ask; candle: candles that are final"
        ),
        Column(
            "n_compared",
            pa.int64(),
            "ticker: those at which best prices stood still: equal in the last row of book by ts_server of the ticker "
            "and in the two behind it; candle: those of which the ids of kept trades are contiguous, from one before "
            "the candle to one behind it, and that have a trade",
        ),
        Column(
            "n_equal",
            pa.int64(),
            "ticker: those of n_compared with the best prices of book, both of them; candle: those with open, high, "
            "low, close and volume of the kept trades, all of them exactly",
        ),
        Column("share", pa.float64(), "n_equal / n_compared; null if n_compared is 0", "", True),
    ),
    partition_cols=("date",),
    order=("product_id", "kind", "ts_start"),
)
