"""The output tables: one file each. `TABLES` lists them all, by name."""

from __future__ import annotations

from etl_ray.tables.bars import BARS
from etl_ray.tables.book import BOOK
from etl_ray.tables.book_checkpoints import BOOK_CHECKPOINTS
from etl_ray.tables.candles import CANDLES, DELIVERED_CANDLES
from etl_ray.tables.connections import CONNECTIONS
from etl_ray.tables.coverage import COVERAGE
from etl_ray.tables.errors import ERRORS
from etl_ray.tables.features import FEATURES
from etl_ray.tables.heartbeats import HEARTBEATS
from etl_ray.tables.instruments import INSTRUMENTS
from etl_ray.tables.level2 import LEVEL2
from etl_ray.tables.market_trades import DELIVERED_TRADES, MARKET_TRADES
from etl_ray.tables.rejects import REJECTS
from etl_ray.tables.schema import DECIMAL, NUMBER, SYMBOL, TIME, Column, Numbers, Table
from etl_ray.tables.status import STATUS
from etl_ray.tables.subscriptions import SUBSCRIPTIONS
from etl_ray.tables.ticker import TICKER
from etl_ray.tables.trades_with_book import TRADES_WITH_BOOK
from etl_ray.tables.witness import WITNESS

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        LEVEL2,
        MARKET_TRADES,
        TICKER,
        CANDLES,
        STATUS,
        HEARTBEATS,
        SUBSCRIPTIONS,
        ERRORS,
        REJECTS,
        INSTRUMENTS,
        BOOK,
        BOOK_CHECKPOINTS,
        CONNECTIONS,
        COVERAGE,
        WITNESS,
        BARS,
        TRADES_WITH_BOOK,
        FEATURES,
    )
}
"""All tables by name, in the order in which documentation lists them."""

DELIVERED: dict[str, Table] = {
    **TABLES,
    DELIVERED_TRADES.name: DELIVERED_TRADES,
    DELIVERED_CANDLES.name: DELIVERED_CANDLES,
}
"""The tables as delivered, before copies or versions are left out: what parsers yield and units stage."""

__all__ = [
    "BARS",
    "BOOK",
    "BOOK_CHECKPOINTS",
    "CANDLES",
    "CONNECTIONS",
    "COVERAGE",
    "DECIMAL",
    "DELIVERED",
    "DELIVERED_CANDLES",
    "DELIVERED_TRADES",
    "ERRORS",
    "FEATURES",
    "HEARTBEATS",
    "INSTRUMENTS",
    "LEVEL2",
    "MARKET_TRADES",
    "NUMBER",
    "REJECTS",
    "STATUS",
    "SUBSCRIPTIONS",
    "SYMBOL",
    "TABLES",
    "TICKER",
    "TIME",
    "TRADES_WITH_BOOK",
    "WITNESS",
    "Column",
    "Numbers",
    "Table",
]
