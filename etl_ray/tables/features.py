"""`features`: by interval, the flow of trades and of orders, what trading cost, and how the price responded."""

from __future__ import annotations

import pyarrow as pa

from etl_ray.tables.lineage import PRODUCT_ID, date_column
from etl_ray.tables.schema import NUMBER, TIME, Column, Table

_SPREAD = (
    "over the taker orders that have one: 2 10^4 D (P - M) / M, P the order's volume-weighted average price, M the mid "
    "strictly before its first fill (Huang & Stoll 1996); an order has one if the last book before it is verified, not "
    "crossed, has both sides, and is at most max_book_age old"
)

FEATURES = Table(
    name="features",
    version=1,
    meaning="Features of trades and books by interval; intervals without a trade or a row of book are left out.",
    columns=(
        PRODUCT_ID,
        date_column("ts_start"),
        Column("ts_start", TIME, "beginning of the interval, inclusive", "ns UTC"),
        Column("ts_end", TIME, "end of the interval, exclusive", "ns UTC"),
        Column(
            "ts_available",
            TIME,
            "latest arrival (ts_capture, else ts_server) of what the row needs: also the first message at or behind "
            "ts_end, the windows of kyle_lambda and the dates of vpin",
            "ns UTC",
        ),
        Column("trades", pa.int64(), "trades with ts_event in the interval"),
        Column("volume", NUMBER, "sum of their sizes, exact before it is rounded", "base"),
        Column("buy_volume", NUMBER, "volume that takers bought", "base"),
        Column("sell_volume", NUMBER, "volume that takers sold", "base"),
        Column("signed_volume", NUMBER, "buy_volume - sell_volume", "base"),
        Column("n_taker_orders", pa.int64(), "taker orders in the interval, inferred as in trades_with_book"),
        Column(
            "effective_spread_bps_mean",
            pa.float64(),
            f"mean, weighted by notional, {_SPREAD}; null if there is none, or their notional is 0",
            "bps",
            True,
        ),
        Column(
            "effective_spread_bps_median",
            pa.float64(),
            "median of the same, of an even number the mean of the two in the middle; null if there is none",
            "bps",
            True,
        ),
        Column("effective_spread_n", pa.int64(), "taker orders that have an effective spread"),
        Column(
            "ofi",
            pa.float64(),
            "sum of ofi of the interval's rows of book that have one (Cont, Kukanov & Stoikov 2014, see book): a row "
            "belongs to the interval of the greatest ts_align so far; exact before it is rounded; null if ofi_n is 0, "
            "or one of the rows is not verified",
            "base",
            True,
        ),
        Column("ofi_n", pa.int64(), "rows of book in the interval that have an ofi"),
        Column("ofi_missing", pa.int64(), "rows of book in the interval that have none"),
        Column("n_messages", pa.int64(), "rows of book in the interval"),
        Column(
            "kyle_lambda",
            pa.float64(),
            "slope of the least squares line, with intercept, of the mid's change on the takers' signed volume, by "
            "steps of kyle_step, over the kyle_window that ends at ts_end (after Kyle 1985; estimator as in "
            "Hasbrouck 2007); mids strictly before the edges of steps; null if kyle_n < kyle_min_n (warm-up), if the "
            "signed volume does not vary, or if the book at an edge is not verified, crossed or one-sided",
            "quote/base^2",
            True,
        ),
        Column(
            "kyle_r2",
            pa.float64(),
            "R^2 of that line; null if kyle_lambda is, or the mid does not vary",
            "",
            True,
        ),
        Column(
            "kyle_n",
            pa.int64(),
            "steps of the window that have a mid at both edges; a book older than the window counts as none",
        ),
        Column(
            "vpin",
            pa.float64(),
            "sum of |Vb - Vs| / sum of volumes over the last vpin_n buckets that were complete before ts_end, Vb and "
            "Vs what takers bought and sold (Easley, Lopez de Prado & O'Hara 2012, with exact signs); a bucket has the "
            "volume vpin_bucket, else 1/50 of the UTC day before; buckets begin anew with each date, a trade is split "
            "between them, and those of the date and of the one before count; null before vpin_n buckets (warm-up), or "
            "if trades of the day before are missing",
            "",
            True,
        ),
        Column("vpin_n", pa.int64(), "buckets that vpin is of, or would be, at most vpin_n"),
    ),
    partition_cols=("product_id", "date"),
    order=("ts_start",),
)
