"""A plain check of one line against the contract of a valid message, and a plain reader of recordings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|\+00:00)")
GO_TIME = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,9}))? \+0000 UTC m=[+-]\d+\.\d+")
PRIVATE = ("user", "futures_balance_summary")

LEVEL = {"side": "side", "event_time": "time", "price_level": "number", "new_quantity": "number"}
TRADE = {
    "product_id": "text",
    "trade_id": "integer",
    "price": "number",
    "size": "number",
    "time": "plausible time",
    "side": "maker",
}
DAY = ("volume_24_h", "low_24_h", "high_24_h", "low_52_w", "high_52_w")
BEST = ("best_bid", "best_bid_quantity", "best_ask", "best_ask_quantity")
TICKER_BATCH = {"type": "text", "product_id": "text", "price": "number", "price_percent_chg_24_h": "signed number"}
TICKER_BATCH |= dict.fromkeys(DAY, "number")
TICKER = TICKER_BATCH | dict.fromkeys(BEST, "number")
CANDLE = dict.fromkeys(("open", "high", "low", "close", "volume"), "number") | {
    "start": "integer",
    "product_id": "text",
}
STATUS_TEXTS = ("product_type", "id", "base_currency", "quote_currency", "display_name", "status", "status_message")
STATUS = dict.fromkeys(STATUS_TEXTS, "text") | dict.fromkeys(
    ("base_increment", "quote_increment", "min_market_funds"), "number"
)
LISTS = {
    "l2_data": ("updates", LEVEL),
    "market_trades": ("trades", TRADE),
    "ticker": ("tickers", TICKER),
    "ticker_batch": ("tickers", TICKER_BATCH),
    "candles": ("candles", CANDLE),
    "status": ("products", STATUS),
}


@dataclass(frozen=True)
class Line:
    """One line of a recording: its text, its message, and its capture time if it has an envelope."""

    text: str
    message: dict
    capture_ns: int | None

    @property
    def channel(self) -> str | None:
        return self.message.get("channel")

    @property
    def server_ns(self) -> int:
        return ns(self.message["timestamp"])


def read_lines(paths: Iterator[str] | tuple[str, ...]) -> list[Line]:
    """Read plain segments in order; every line must be valid."""
    return [checked(text) for path in paths for text in Path(path).read_text("ascii").splitlines()]


def valid(raw: bytes) -> Line | None:
    """Return a line, None if it is not valid."""
    try:
        return checked(raw.decode())
    except (ValueError, AssertionError, KeyError, TypeError, AttributeError):
        return None


def checked(text: str) -> Line:
    """Parse one line and hold it to the contract."""
    line = json.loads(text, object_pairs_hook=unique_keys)
    capture_ns = None
    if "data" in line and "channel" not in line:
        assert set(line) <= {"capture_ts", "data", "metadata"}
        capture_ns = ns(line["capture_ts"])
        message = line["data"]
        assert line.get("metadata", {}).get("channel", "") in ("", "error", message.get("channel"))
    else:
        message = line
    check_message(message)
    return Line(text, message, capture_ns)


def check_message(message: dict) -> None:
    if "channel" not in message:
        assert set(message) == {"type", "message"}
        assert message["type"] == "error"
        assert isinstance(message["message"], str)
        return
    assert set(message) - {"client_id"} == {"channel", "timestamp", "sequence_num", "events"}
    assert ns(message["timestamp"]) > 0
    assert type(message["sequence_num"]) is int
    assert isinstance(message["events"], list)
    for event in message["events"]:
        check_event(message["channel"], event)


def check_event(channel: str, event: dict) -> None:
    if channel in PRIVATE:
        return
    if channel == "heartbeats":
        assert set(event) == {"current_time", "heartbeat_counter"}
        assert GO_TIME.fullmatch(event["current_time"])
        check_value("integer", event["heartbeat_counter"])
    elif channel == "subscriptions":
        assert set(event) == {"subscriptions"}
        assert all(isinstance(name, str) for names in event["subscriptions"].values() for name in names)
    else:
        key, kinds = LISTS[channel]
        assert set(event) == {"type", key} | ({"product_id"} if channel == "l2_data" else set())
        assert event["type"] in ("snapshot", "update")
        for row in event[key]:
            assert set(row) == set(kinds), (channel, row)
            for name, value in row.items():
                check_value(kinds[name], value)


def check_value(kind: str, value: object) -> None:
    match kind:
        case "number":
            assert isinstance(value, str) and NUMBER.fullmatch(value) and not value.startswith("-"), value
            assert is_trimmed(value), value
        case "signed number":
            assert isinstance(value, str) and NUMBER.fullmatch(value) and is_trimmed(value), value
        case "integer":
            assert type(value) is int or (isinstance(value, str) and re.fullmatch("[0-9]{1,19}", value)), value
        case "time":
            assert isinstance(value, str) and TIME.fullmatch(value), value
        case "plausible time":
            assert isinstance(value, str) and ns(value) > 0
        case "side":
            assert value in ("bid", "offer")
        case "maker":
            assert value in ("BUY", "SELL")
        case _:
            assert isinstance(value, str)


def is_trimmed(number: str) -> bool:
    """Tell whether a number is written as the venue does: no trailing zeros behind the point."""
    return "." not in number or number[-1] not in "0."


def ns(text: str) -> int:
    """Turn a wire time from 2010 to 2099 into nanoseconds."""
    match = TIME.fullmatch(text)
    assert match, text
    assert "2010" <= text[:4] < "2100", text
    seconds = int(datetime.fromisoformat(f"{match[1]}T{match[2]}+00:00").timestamp())
    return seconds * 10**9 + int((match[3] or "").ljust(9, "0"))


def unique_keys(pairs: list[tuple[str, object]]) -> dict:
    keys = [key for key, _ in pairs]
    assert len(set(keys)) == len(keys), keys
    return dict(pairs)
