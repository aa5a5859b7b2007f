"""Lines in every shape that the venue sends them, made of a few messages of our own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

JsonObject = dict[str, object]

SERVER = "2025-11-26T14:00:00.123456789Z"
EVENT = "2025-11-26T14:00:00.1Z"


def level(side: str, price: str, quantity: str, **more: object) -> JsonObject:
    """Return an entry of `updates`."""
    return {"side": side, "event_time": EVENT, "price_level": price, "new_quantity": quantity} | more


def trade(trade_id: object, side: str, **more: object) -> JsonObject:
    """Return an entry of `trades`."""
    known: JsonObject = {"product_id": "BTC-USD", "trade_id": trade_id, "price": "83277.26", "size": "0.00058346"}
    return known | {"time": "2025-11-26T13:59:59.977543Z", "side": side} | more


def without(entry: JsonObject, *keys: str) -> JsonObject:
    """Return an object without some of its keys."""
    return {key: value for key, value in entry.items() if key not in keys}


TICKER: JsonObject = {
    "type": "ticker",
    "product_id": "ETH-USD",
    "price": "1866.81",
    "volume_24_h": "16038.28770938",
    "low_24_h": "1835.29",
    "high_24_h": "1901.5",
    "low_52_w": "15460",
    "high_52_w": "48240.00",
    "price_percent_chg_24_h": "-4.15775596190603",
    "best_bid": "1866.8",
    "best_bid_quantity": "0.46908",
    "best_ask": "1866.82",
    "best_ask_quantity": "1.1",
}
CANDLE: JsonObject = {
    "start": "1764165600",
    "high": "1867.72",
    "low": "1865.63",
    "open": "1867.38",
    "close": "1866.81",
    "volume": "0.20269406",
    "product_id": "ETH-USD",
}
STATUS: JsonObject = {
    "product_type": "SPOT",
    "id": "BTC-USD",
    "base_currency": "BTC",
    "quote_currency": "USD",
    "base_increment": "0.00000001",
    "quote_increment": "0.01",
    "display_name": "BTC/USD",
    "status": "online",
    "status_message": "",
    "min_market_funds": "1",
}


def event(kind: str, **more: object) -> JsonObject:
    """Return an event of the type `kind`."""
    return {"type": kind, **more}


def book(kind: str, product_id: str, *updates: JsonObject) -> JsonObject:
    """Return an event of `l2_data`."""
    return event(kind, product_id=product_id, updates=list(updates))


def message(channel: str, *events: JsonObject, number: object = 7) -> JsonObject:
    """Return a message in the key order in which it is sent."""
    return {"channel": channel, "timestamp": SERVER, "sequence_num": number, "events": list(events)}


_BATCH = without(TICKER, "best_bid", "best_bid_quantity", "best_ask", "best_ask_quantity")
_LEVEL2: tuple[JsonObject, ...] = (
    message("l2_data", book("update", "BTC-USD", level("bid", "72867.6", "0"), level("offer", "83328.01", "0.50"))),
    message(
        "l2_data",
        book(
            "snapshot",
            "BTC-USD",
            level("bid", "0.0000379", "0.00000000", event_time="1970-01-01T00:00:00Z"),
            level("ask", "123456789012.345678", "1", event_time="0001-01-01T00:00:00Z"),
        ),
        number=0,
    ),
    message("l2_data", book("snapshot", "ETH-USD")),
    message("l2_data", book("update", "ETH-USD")),
    message(
        "l2_data",
        book("update", "BTC-USD", level("bid", "1", "2"), level("bid", "1", "3", event_time="2024-02-29T23:59:59Z")),
        book("update", "A.B_C-9", level("offer", "1", "0", event_time="2025-11-26T14:00:00.123456789+00:00")),
        book("update", "BTC-USD", without(level("bid", "5", "6"), "event_time")),
    ),
    message("l2_data", book("update", "BTC-USD", level("bid", "1e5", "1E-3", event_time=None))),
    message("l2_data", book("update", "btc/é", level("ask", "007", "0e0", event_time="")), number="12"),
    message("l2_data"),
)
_TRADES: tuple[JsonObject, ...] = (
    message(
        "market_trades",
        event(
            "snapshot",
            trades=[trade("1100253488", "SELL"), trade(1100253487, "BUY", product_id="ETH-USD", price="0")],
        ),
    ),
    message(
        "market_trades",
        event("update", trades=[trade("007", "BUY", size="99999999999999999999.999999999999999999")]),
        event("update", trades=[]),
        event("update", trades=[trade(2**63 - 1, "SELL", time="2025-11-27T00:00:00.000000001Z")]),
    ),
)
_TICKERS: tuple[JsonObject, ...] = (
    message("ticker", event("snapshot", tickers=[TICKER])),
    message("ticker", event("update", tickers=[TICKER | {"best_bid": "", "best_ask": None}, _BATCH])),
    message("ticker", event("update", tickers=[TICKER | {"time": EVENT}, _BATCH | {"time": "1970-01-01T00:00:00Z"}])),
    message(
        "ticker_batch",
        event("update", tickers=[_BATCH | {"product_id": "SOL-USD", "price_percent_chg_24_h": "-0"}, _BATCH]),
        event("update", tickers=[{"product_id": "X", "price": "1"}]),
    ),
)
_OTHERS: tuple[JsonObject, ...] = (
    message("candles", event("snapshot", candles=[CANDLE, CANDLE | {"start": 1764165300, "volume": "0"}])),
    message("candles", event("update", candles=[CANDLE]), event("update", candles=[])),
    message("status", event("snapshot", products=[STATUS, {"id": "ETH-USD", "min_market_funds": None}])),
    message(
        "heartbeats",
        {"current_time": "2025-11-26 14:00:00.167686736 +0000 UTC m=+12242.233881028", "heartbeat_counter": 12242},
    ),
    message(
        "heartbeats",
        {"current_time": "2025-11-26 14:00:00 +0000 UTC", "heartbeat_counter": "12243"},
        {"current_time": "2025-11-26T14:00:00Z", "heartbeat_counter": 12244},
        {"heartbeat_counter": 0},
        {"current_time": "1970-01-01 00:00:00.5 +0000 UTC m=-1", "heartbeat_counter": 1},
    ),
    message(
        "subscriptions", {"subscriptions": {"heartbeats": ["heartbeats"], "level2": ["BTC-USD", "ETH-USD"], "x": []}}
    ),
    message("subscriptions", {"subscriptions": {}}),
    {"type": "error", "message": "authentication failure"},
    message("user", {"type": "snapshot", "orders": [{"order_id": "none of our business"}]}),
    message("futures_balance_summary", {"type": "update", "fcm_balance_summary": {}}, number="no number"),
    message("no_such_channel"),
)
MESSAGES: tuple[JsonObject, ...] = _LEVEL2 + _TRADES + _TICKERS + _OTHERS


@dataclass(frozen=True)
class Style:
    """How a message is written."""

    envelope: bool = False
    client_id: bool = False
    spaced: bool = False
    reverse: bool = False


STYLES = tuple(Style(*flags) for flags in product((False, True), repeat=4))


def _reversed(value: object) -> object:
    if isinstance(value, dict):
        return {key: _reversed(value[key]) for key in reversed(value)}
    return [_reversed(item) for item in value] if isinstance(value, list) else value


def write(content: JsonObject, style: Style = Style()) -> bytes:
    """Return the line of a message, without line end."""
    if style.client_id and "channel" in content:
        content = {"channel": content["channel"], "client_id": "", **content}
    if style.envelope:
        capture = "2025-11-26T14:00:00+00:00" if style.spaced else "2025-11-26T14:00:00.123456+00:00"
        content = {"capture_ts": capture, "data": content, "metadata": {"source": "coinbase", "channel": "x"}}
        if style.client_id:
            del content["metadata"]
    separators = (", ", ": ") if style.spaced else (",", ":")
    turned = _reversed(content) if style.reverse else content
    return json.dumps(turned, separators=separators, ensure_ascii=False).encode()


def all_lines() -> Iterator[bytes]:
    """Return every message in every style."""
    return (write(content, style) for content in MESSAGES for style in STYLES)


def plain_lines() -> list[bytes]:
    """Return every message as it is sent live, and enveloped in the other key order."""
    return [write(content, style) for style in (Style(), replace(STYLES[-1], spaced=False)) for content in MESSAGES]
