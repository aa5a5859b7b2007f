"""Coinbase Advanced Trade: its messages and how they become tables.

Source: https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels and recordings of
2023 to 2026; where the two differ, both forms are accepted.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from etl_ray.venues.exact import Pair
from etl_ray.venues.rows import Bools, Rows, dates, dictionary, in_arrow, passed, timestamps
from etl_ray.venues.shapes import Field, Kind, Shape, Venue

EVENT_TYPES = ("snapshot", "update")
SNAPSHOT = 0
CANDLE_NS = 300_000_000_000

_TYPE = Field("type", Kind.CHOICE, choices=EVENT_TYPES)
_PRODUCT = Field("product_id", Kind.PRODUCT)


def _number(key: str) -> Field:
    return Field(key, Kind.NUMBER)


def _figure(key: str) -> Field:
    return Field(key, Kind.NUMBER, nullable=True)


def _text(key: str) -> Field:
    return Field(key, Kind.TEXT, nullable=True)


LEVEL2 = Shape(
    table="level2",
    channels=("l2_data",),
    event=(_TYPE, _PRODUCT),
    rows_key="updates",
    row=(
        # The venue sends `offer`; `ask` is accepted because its documentation has used both words.
        Field("side", Kind.CHOICE, choices=("bid", "offer", "ask")),
        Field("event_time", Kind.TIME, nullable=True),
        Field("price_level", Kind.NUMBER, exact=True),
        Field("new_quantity", Kind.NUMBER, exact=True),
    ),
    empty_snapshot_row=True,
)
MARKET_TRADES = Shape(
    table="market_trades",
    channels=("market_trades",),
    event=(_TYPE,),
    rows_key="trades",
    row=(
        _PRODUCT,
        Field("trade_id", Kind.INTEGER),
        _number("price"),
        _number("size"),
        Field("time", Kind.TIME),
        Field("side", Kind.CHOICE, choices=("BUY", "SELL")),
    ),
)
TICKER = Shape(
    table="ticker",
    channels=("ticker", "ticker_batch"),
    event=(_TYPE,),
    rows_key="tickers",
    row=(
        Field("type", Kind.ANY),
        _PRODUCT,
        _number("price"),
        _figure("volume_24_h"),
        _figure("low_24_h"),
        _figure("high_24_h"),
        _figure("low_52_w"),
        _figure("high_52_w"),
        Field("price_percent_chg_24_h", Kind.NUMBER, nullable=True, signed=True),
        _figure("best_bid"),
        _figure("best_ask"),
        _figure("best_bid_quantity"),
        _figure("best_ask_quantity"),
        # Advanced Trade sends none; the tickers of the venue's other feed have it.
        Field("time", Kind.TIME, nullable=True),
    ),
)
CANDLES = Shape(
    table="candles",
    channels=("candles",),
    event=(_TYPE,),
    rows_key="candles",
    row=(
        Field("start", Kind.EPOCH_SECONDS),
        _number("high"),
        _number("low"),
        _number("open"),
        _number("close"),
        _number("volume"),
        _PRODUCT,
    ),
)
STATUS = Shape(
    table="status",
    channels=("status",),
    event=(_TYPE,),
    rows_key="products",
    row=(
        _text("product_type"),
        Field("id", Kind.PRODUCT),
        _text("base_currency"),
        _text("quote_currency"),
        _figure("base_increment"),
        _figure("quote_increment"),
        _text("display_name"),
        _text("status"),
        _text("status_message"),
        _figure("min_market_funds"),
    ),
)
HEARTBEATS = Shape(
    table="heartbeats",
    channels=("heartbeats",),
    row=(Field("current_time", Kind.GO_TIME, nullable=True), Field("heartbeat_counter", Kind.INTEGER)),
)
SUBSCRIPTIONS = Shape(
    table="subscriptions",
    channels=("subscriptions",),
    map_rows_key="subscriptions",
    row=(_text("subscribed_channel"), _text("subscribed_product")),
)


def level2(rows: Rows) -> dict[str, pa.Array]:
    """Return the columns of `level2`; the wire's offer becomes ask."""
    side = np.minimum(rows.array("side"), 1).astype(np.int32)
    return {
        **rows.common(),
        "product_id": rows.symbol("product_id", rows.symbols),
        "date": rows.server_dates(),
        "ts_event": rows.time("event_time"),
        "side": dictionary(side, ("bid", "ask")),
        "price": rows.arrow("price_level"),
        "quantity": rows.arrow("new_quantity"),
        "is_snapshot": _is_snapshot(rows),
        "is_last": in_arrow(_is_last(rows)),
    }


def market_trades(rows: Rows) -> dict[str, pa.Array]:
    """Return the columns of `market_trades`; the wire's side is the maker's."""
    return {
        **rows.common(),
        **_product_and_date(rows, "product_id", rows.ints("time")),
        "ts_event": rows.time("time"),
        "trade_id": rows.arrow("trade_id"),
        "price": rows.arrow("price"),
        "size": rows.arrow("size"),
        "maker_side": rows.symbol("side", ("buy", "sell")),
        "taker_side": rows.symbol("side", ("sell", "buy")),
        "is_snapshot": _is_snapshot(rows),
    }


def ticker(rows: Rows) -> dict[str, pa.Array]:
    """Return the columns of `ticker`, for both of its channels."""
    figures = {"volume_24h": "volume_24_h", "low_24h": "low_24_h", "high_24h": "high_24_h"}
    figures |= {"low_52w": "low_52_w", "high_52w": "high_52_w", "price_percent_chg_24h": "price_percent_chg_24_h"}
    figures |= {name: name for name in ("price", "best_bid", "best_bid_quantity", "best_ask", "best_ask_quantity")}
    batch = COINBASE.channels.index("ticker_batch")
    quote = Pair(rows.arrow("best_ask"), rows.arrow("best_bid"))
    return {
        **rows.common(),
        "product_id": rows.symbol("product_id", rows.symbols),
        "date": rows.server_dates(),
        "ts_event": rows.time("time"),
        "is_batch": in_arrow(rows.messages.channel[rows.message] == batch),
        **{name: rows.arrow(key) for name, key in figures.items()},
        "mid_price": quote.mean(),
        "spread": quote.difference(),
        "spread_bps": quote.difference_bps(),
        "range_24h": Pair(rows.arrow("high_24_h"), rows.arrow("low_24_h")).difference(),
        "latency_venue_ns": passed(rows.ints("time"), rows.messages.ts_server[rows.message]),
        "latency_capture_ns": passed(rows.messages.ts_server[rows.message], rows.messages.ts_capture[rows.message]),
        "is_snapshot": _is_snapshot(rows),
    }


def candles(rows: Rows) -> dict[str, pa.Array]:
    """Return the columns of `candles`."""
    start = rows.ints("start")
    return {
        **rows.common(),
        **_product_and_date(rows, "product_id", start),
        "ts_start": timestamps(start),
        "ts_end": timestamps(start + CANDLE_NS),
        **{name: rows.arrow(name) for name in ("open", "high", "low", "close", "volume")},
        "is_snapshot": _is_snapshot(rows),
    }


def status(rows: Rows) -> dict[str, pa.Array]:
    """Return the columns of `status`."""
    kept = [field.key for field in STATUS.row if field.key != "id"]
    return {
        **rows.common(),
        "product_id": rows.symbol("id", rows.symbols),
        "date": rows.server_dates(),
        **{name: rows.arrow(name) for name in kept},
        "is_snapshot": _is_snapshot(rows),
    }


def heartbeats(rows: Rows) -> dict[str, pa.Array]:
    """Return the columns of `heartbeats`."""
    return {
        **rows.common(),
        "date": rows.server_dates(),
        "ts_event": rows.time("current_time"),
        "heartbeat_counter": rows.arrow("heartbeat_counter"),
    }


def subscriptions(rows: Rows) -> dict[str, pa.Array]:
    """Return the columns of `subscriptions`."""
    return {
        **rows.common(),
        "date": rows.server_dates(),
        "subscribed_channel": rows.arrow("subscribed_channel").dictionary_encode(),
        "subscribed_product": rows.arrow("subscribed_product").dictionary_encode(),
    }


def _product_and_date(rows: Rows, key: str, clock: np.ndarray) -> dict[str, pa.Array]:
    return {"product_id": rows.symbol(key, rows.symbols), "date": dates(clock)}


def _is_snapshot(rows: Rows) -> pa.Array:
    return in_arrow(rows.array("type") == SNAPSHOT)


def _is_last(rows: Rows) -> Bools:
    """Mark the last row of each (message, product); rows of one product are in arrival order."""
    last = np.ones(len(rows), np.bool_)
    product = rows.array("product_id")
    if not len(rows) or not rows.event_index.any():  # one event a message: its last row
        last[:-1] = (rows.message[1:] != rows.message[:-1]) | (product[1:] != product[:-1])
        return last
    key = rows.message.astype(np.int64) * len(rows.symbols) + product.astype(np.int64)
    _, from_end = np.unique(key[::-1], return_index=True)
    last[:] = False
    last[len(rows) - 1 - from_end] = True
    return last


COINBASE = Venue(
    name="coinbase",
    shapes=(LEVEL2, MARKET_TRADES, TICKER, CANDLES, STATUS, HEARTBEATS, SUBSCRIPTIONS),
    assemble={
        "level2": level2,
        "market_trades": market_trades,
        "ticker": ticker,
        "candles": candles,
        "status": status,
        "heartbeats": heartbeats,
        "subscriptions": subscriptions,
    },
    private_channels=("user", "futures_balance_summary"),
)
