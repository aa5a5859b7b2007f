"""`book`: the order book after each message or at fixed intervals, with its best levels and features."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import pyarrow as pa

from etl_ray.tables.lineage import LINEAGE, PRODUCT_ID, SEQUENCE_NUM, TS_CAPTURE, TS_SERVER, date_column
from etl_ray.tables.schema import NUMBER, SYMBOL, TIME, Column, Table

_VERIFIED = "null unless book_state is verified"
_WIDTH = 128
_ROWS_PER_GROUP = 65_536


@dataclass(frozen=True)
class BookColumns:
    """What rows of `book` tell: `depth` levels a side, at intervals or not, and with which features.

    `imbalance` counts levels, `bps` are basis points of mid, `notionals` amounts in the quote currency, `ofi_levels` is
    the number of ranks that have an order flow imbalance of their own.
    """

    depth: int = 10
    intervals: bool = False
    features: bool = True
    imbalance: tuple[int, ...] = (1, 5, 10)
    bps: tuple[int, ...] = (5, 10, 25)
    notionals: tuple[int, ...] = (10_000, 100_000)
    ofi_levels: int = 5


def rows_at_once(usual: int, columns: BookColumns) -> int:
    """Return how many rows to hold together: `usual` ones, fewer where more than 128 columns would take more room."""
    return usual * _WIDTH // max(_WIDTH, len(book_table(columns).columns))


def book_rows_per_group(rows_per_group: int, columns: BookColumns) -> int:
    """Return the rows of a row group: rows are wide, as many as of other tables would be a lot of memory."""
    return min(rows_per_group, rows_at_once(_ROWS_PER_GROUP, columns))


def _levels(depth: int) -> tuple[Column, ...]:
    sides = (("bid", "price", "quote"), ("bid", "size", "base"), ("ask", "price", "quote"), ("ask", "size", "base"))
    return tuple(
        Column(f"{side}_{what}_{level}", NUMBER, f"{what} of {side} {level}, 0 is the best; null if none", unit, True)
        for side, what, unit in sides
        for level in range(depth)
    )


def _feature(name: str, meaning: str, unit: str = "") -> Column:
    return Column(name, pa.float64(), f"{meaning}; {_VERIFIED}", unit, True)


def _features(columns: BookColumns) -> tuple[Column, ...]:
    flow = (
        (
            _feature(
                "ofi", "sum of the order flow imbalances of the interval's messages; null also if ofi_n is 0", "base"
            ),
            Column("ofi_n", pa.int64(), "messages of the interval that have one", ""),
            Column("ofi_missing", pa.int64(), "messages of the interval that have none", ""),
        )
        if columns.intervals
        else (
            _feature(
                "ofi",
                "order flow imbalance of the message at the best prices (Cont, Kukanov & Stoikov 2014): "
                "1{Pb>=Pb'}Qb - 1{Pb<=Pb'}Qb' - 1{Pa<=Pa'}Qa + 1{Pa>=Pa'}Qa', ' before the message; the venue "
                "conflates to about 50 ms; null behind a hole, at a snapshot, if a book is one-sided or crossed",
                "base",
            ),
        )
    )
    return (
        _feature("mid", "(bid_price_0 + ask_price_0) / 2; null also if a side is empty", "quote"),
        _feature("spread", "ask_price_0 - bid_price_0; null also if a side is empty", "quote"),
        _feature("spread_bps", "10^4 spread / mid; null also if a side is empty", "bps"),
        _feature(
            "weighted_mid",
            "I ask_price_0 + (1 - I) bid_price_0, I = bid_size_0 / (bid_size_0 + ask_size_0) (Gatheral & Oomen 2010); "
            "null also if a side is empty",
            "quote",
        ),
        *(
            _feature(
                f"imbalance_{k}",
                f"(sum of bid sizes - sum of ask sizes) / (sum of both) over {k} levels (Gould & Bonart 2016 for one); "
                "null also if a side has fewer",
            )
            for k in columns.imbalance
        ),
        *(
            _feature(
                f"depth_{side}_{b}bps",
                f"quantity of the full book within {b} bps of mid, inclusive; null also if a side is empty",
                "base",
            )
            for b in columns.bps
            for side in ("bid", "ask")
        ),
        *(
            _feature(
                f"sweep_{side}_{n}",
                f"average price of a market order that {'sells' if side == 'bid' else 'buys'} for {n} quote units; "
                "null also if the book cannot fill it",
                "quote",
            )
            for n in columns.notionals
            for side in ("bid", "ask")
        ),
        *flow,
        *(
            _feature(
                f"ofi_level_{level}",
                f"order flow imbalance of rank {level} (Xu, Gould & Howison 2019)"
                f"{', summed over the interval' if columns.intervals else ''}; null also where ofi or the rank is",
                "base",
            )
            for level in range(columns.ofi_levels)
        ),
    )


@cache
def book_table(columns: BookColumns) -> Table:
    """Return the table `book` with these columns."""
    intervals = (
        Column("ts_start", TIME, "beginning of the interval, inclusive", "ns UTC"),
        Column("ts_end", TIME, "end of the interval, exclusive: the row is the last state before it", "ns UTC"),
        Column("n_messages", pa.int64(), "messages of the published book in the interval"),
    )
    return Table(
        name="book",
        version=1,
        meaning="The order book after each message of level2, or at the end of each interval.",
        columns=(
            PRODUCT_ID,
            date_column("ts_start" if columns.intervals else "ts_server"),
            *(intervals if columns.intervals else ()),
            Column(
                "ts_event", TIME, "greatest plausible event_time of the message; null if it has none", "ns UTC", True
            ),
            TS_SERVER,
            TS_CAPTURE,
            Column(
                "ts_align",
                TIME,
                "greatest coalesce(ts_event, ts_server) so far of the product on the connection: the clock of joins",
                "ns UTC",
            ),
            Column("ts_available", TIME, "latest arrival (ts_capture, else ts_server) of what the row needs", "ns UTC"),
            SEQUENCE_NUM,
            Column("book_state", SYMBOL, "verified, unverifiable, suspect or no_snapshot, as known at the time"),
            Column("crossed", pa.bool_(), "best bid above best ask"),
            Column("locked", pa.bool_(), "best bid equal to best ask"),
            Column("n_updates", pa.int32(), "rows of level2 of the product in the message"),
            Column("is_snapshot", pa.bool_(), "the message holds a snapshot of the product"),
            *_levels(columns.depth),
            *(_features(columns) if columns.features else ()),
            *LINEAGE[:3],
        ),
        partition_cols=("product_id", "date"),
        order=("segment", "line"),
    )


BOOK = book_table(BookColumns())
"""The table with the default columns."""
