"""How many rows and files tables will have, given what is staged."""

from __future__ import annotations

import math
from collections.abc import Mapping

from etl_ray.bars import parse_bar
from etl_ray.config import JobConfig
from etl_ray.orchestrators.extrapolation import Extrapolation

Products = dict[str, float]
"""Rows by product."""
BUILT = ("level2", "ticker", "status", "heartbeats", "subscriptions", "errors", "rejects", "instruments")
"""Tables that are cut by arrival, whose rows are those that were staged."""
_NS_PER_S = 1_000_000_000
_S_PER_CANDLE = 300
_TRADES_PER_SHARD = 500_000


def expected_rows(
    mix: Extrapolation,
    products: Mapping[str, Products],
    config: JobConfig,
    *,
    span_s: float,
    share: float,
    shards: Mapping[str, int],
) -> dict[str, int]:
    """Return the rows of each table that has some, where these can be told; times and rows are those in range.

    Not told are connections, coverage and witness, which are small, and bars by quantity or notional.
    """

    def staged(table: str) -> float:
        return mix.total(lambda part: part.rows.get(table, 0)) * share

    found = {table: staged(table) for table in BUILT}
    # Trades of a snapshot were delivered before, but for those of the first one.
    trades = mix.total(lambda part: part.rows.get("market_trades", 0), repeated=False) * share
    found["market_trades"] = trades
    found["candles"] = len(products["candles"]) * (span_s / _S_PER_CANDLE + 1) if products["candles"] else 0
    if config.has_books:
        books = len(products["level2"])
        messages = mix.total(lambda part: part.messages.get("l2_data", 0)) * share
        interval = config.level2.interval_ns
        intervals = books * span_s * _NS_PER_S / interval if interval else 0.0
        found["book"] = (min(messages, intervals) if config.level2.skip_empty else intervals) if interval else messages
        found["book_checkpoints"] = levels_of_a_book(mix) * sum(shards.values())
    found |= _derived(config, products["market_trades"], books=len(products["level2"]), trades=trades, span_s=span_s)
    return {table: round(count) for table, count in found.items() if round(count)}


def levels_of_a_book(mix: Extrapolation) -> float:
    """Return how many levels a product's snapshot has, 0 if none was seen."""
    seen = [head.snapshots for head in mix.heads if head.snapshots.products.get("level2")]
    return max((part.rows["level2"] / len(part.products["level2"]) for part in seen), default=0.0)


def _derived(config: JobConfig, traded: Products, *, books: int, trades: float, span_s: float) -> dict[str, float]:
    derived = config.derived
    found: dict[str, float] = {}
    if derived.bars:
        found["bars"] = sum(
            _bars(text, rows, span_s, fill=derived.fill) for text in derived.bars for rows in traded.values()
        )
    if derived.trades_with_book:
        found["trades_with_book"] = trades
    if derived.features is not None:
        found["features"] = max(books, len(traded)) * span_s * _NS_PER_S / derived.duration_ns("features")
    return found


def _bars(text: str, trades: float, span_s: float, *, fill: bool) -> float:
    kind, _, size = text.partition(":")
    if kind == "tick":
        return trades / int(size)
    if size:
        return 0.0
    intervals = span_s * _NS_PER_S / int(parse_bar(text).size)
    # Without `fill` those intervals that a trade falls into.
    return intervals if fill or not intervals else -intervals * math.expm1(-trades / intervals)


def shards_of_books(operations: Products, config: JobConfig, *, days: int) -> dict[str, int]:
    """Return into how many shards each product's book is cut."""
    limit = config.staging.rows_per_file
    return {name: days * max(1, math.ceil(count / days / limit)) for name, count in operations.items()}


def expected_files(
    rows: Mapping[str, int],
    products: Mapping[str, Products],
    config: JobConfig,
    *,
    days: int,
    shards: Mapping[str, int],
) -> dict[str, int]:
    """Return the number of files of each table that has rows."""
    found: dict[str, int] = {}
    for table, count in rows.items():
        columns = config.partition_cols(table)
        dates = days if "date" in columns else 1
        parts = list(products.get(table, {}).values()) if "product_id" in columns else []
        if table in ("book", "book_checkpoints"):
            found[table] = sum(shards.values())
        elif table in ("bars", "trades_with_book", "features"):
            found[table] = days * max(1, len(products["market_trades"]))
        elif table == "market_trades":
            found[table] = sum(days + math.floor(each / _TRADES_PER_SHARD) for each in parts or [count])
        else:
            limit = config.staging.rows_per_file
            found[table] = sum(dates * max(1, math.ceil(each / dates / limit)) for each in parts or [count])
    return found
