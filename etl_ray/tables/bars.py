"""`bars`: what was traded, by intervals of time, or by numbers of trades, quantity or notional."""

from __future__ import annotations

import pyarrow as pa

from etl_ray.tables.lineage import PRODUCT_ID, date_column
from etl_ray.tables.schema import NUMBER, SYMBOL, TIME, Column, Table

_CLOSED_BY_SIZE = "a bar by trades, quantity or notional"
_EMPTY = "null in an empty bar"

BARS = Table(
    name="bars",
    version=1,
    meaning="Bars of trades. First and last are by (ts_event, trade_id); sums are exact and rounded once.",
    columns=(
        PRODUCT_ID,
        Column("bar", SYMBOL, "kind and size of the bar: 1m, tick_1000, volume_10.5 (base), dollar_1000000 (quote)"),
        date_column("ts_start"),
        Column(
            "ts_start",
            TIME,
            f"beginning of the bar, inclusive: a multiple of its length since the epoch; of {_CLOSED_BY_SIZE}, "
            "ts_event of its first trade",
            "ns UTC",
        ),
        Column(
            "ts_end",
            TIME,
            f"end of the bar, exclusive; of {_CLOSED_BY_SIZE}, ts_event of its last trade, inclusive",
            "ns UTC",
        ),
        Column(
            "ts_available",
            TIME,
            "latest arrival (ts_capture, else ts_server) of what the row needs: of its trades, of the trade before it "
            f"and of the trade behind it that ends it; of {_CLOSED_BY_SIZE}, of all trades since the latest restart "
            "and of the one before that, and of the trade behind it if it was cut short",
            "ns UTC",
        ),
        Column("open", NUMBER, "price of the first trade; in an empty bar the previous close", "quote"),
        Column("high", NUMBER, "greatest price; in an empty bar the previous close", "quote"),
        Column("low", NUMBER, "least price; in an empty bar the previous close", "quote"),
        Column("close", NUMBER, "price of the last trade; in an empty bar the previous close", "quote"),
        Column("volume", NUMBER, "sum of sizes", "base"),
        Column("quote_volume", pa.float64(), "sum of price times size, exact and rounded once", "quote"),
        Column(
            "vwap", pa.float64(), "quote_volume / volume, exact and rounded once; null if volume is 0", "quote", True
        ),
        Column("trades", pa.int64(), "number of trades"),
        Column("buy_volume", NUMBER, "sum of sizes of trades whose taker bought", "base"),
        Column("sell_volume", NUMBER, "sum of sizes of trades whose taker sold", "base"),
        Column("signed_volume", NUMBER, "buy_volume - sell_volume", "base"),
        Column(
            "trade_imbalance",
            pa.float64(),
            "signed_volume / volume, exact and rounded once, from -1 to 1; null if volume is 0",
            "",
            True,
        ),
        Column("first_trade_id", pa.int64(), f"trade_id of the first trade; {_EMPTY}", "", True),
        Column("last_trade_id", pa.int64(), f"trade_id of the last trade; {_EMPTY}", "", True),
        Column("ts_first_trade", TIME, f"ts_event of the first trade; {_EMPTY}", "ns UTC", True),
        Column("ts_last_trade", TIME, f"ts_event of the last trade; {_EMPTY}", "ns UTC", True),
        Column(
            "trades_missing",
            pa.int64(),
            "sum over the bar's trades of the ids between the trade before, by (ts_event, trade_id), and the trade; 0 "
            "for the first trade of all",
        ),
        Column(
            "is_complete",
            pa.bool_(),
            "the ids are contiguous from the last trade before the bar to the first behind it, so there is one before; "
            f"of {_CLOSED_BY_SIZE}: it reached its size, and the ids are contiguous from the last trade before it to "
            "its last",
        ),
        Column(
            "realized_variance",
            pa.float64(),
            "sum of r^2 (Barndorff-Nielsen & Shephard 2004): r are log returns of the last price at the end of each "
            "rv_step (5 s), the first one from the last price before the bar, 0 in a step without trades; null if rv_n "
            "is null or below 10",
            "",
            True,
        ),
        Column(
            "bipower_variation",
            pa.float64(),
            "(pi/2) n/(n-1) sum of |r_i| |r_i-1|, with r of realized_variance and n = rv_n (Barndorff-Nielsen & "
            "Shephard 2004, with the small-sample factor of Huang & Tauchen 2005); null where realized_variance is",
            "",
            True,
        ),
        Column(
            "rv_n",
            pa.int64(),
            "number of returns in realized_variance, (ts_end - ts_start) / rv_step; null if that is no integer, for "
            "bars that are not by time or not complete, and where a price is 0",
            "",
            True,
        ),
        Column(
            "amihud",
            pa.float64(),
            "|ln(close / previous close)| / quote_volume (after Amihud 2002, per bar), the previous close being the "
            "price of the last trade before the bar; null without one, if quote_volume or a price is 0, and if "
            "trades_missing is not 0",
            "1/quote",
            True,
        ),
        Column(
            "roll_spread",
            pa.float64(),
            "2 sqrt(-cov(dP_t, dP_t-1)) (Roll 1984): P are the last prices of taker orders (consecutive trades of "
            "equal ts_event and taker_side) within the bar, cov is the sample covariance; null if cov >= 0, if there "
            "are fewer than 20 pairs, and unless the option roll asks for it",
            "quote",
            True,
        ),
    ),
    partition_cols=("bar", "product_id", "date"),
    order=("ts_start", "first_trade_id"),
)
