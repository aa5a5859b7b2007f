"""From a line to the rows of its message, or to the reason why it is rejected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar

from tests.reference.strict_json import Json, NotJsonError, load
from tests.reference.ticker import ticker_figures
from tests.reference.values import (
    NS_PER_SECOND,
    InvalidError,
    Object,
    is_plausible,
    read_choice,
    read_integer,
    read_level_number,
    read_nullable_number,
    read_nullable_string,
    read_nullable_time,
    read_number,
    read_product,
    read_time,
    utc_date,
)

Row = dict[str, object]
Read = TypeVar("Read")

PRIVATE = ("user", "futures_balance_summary")
PUBLIC = ("l2_data", "market_trades", "ticker", "ticker_batch", "candles", "status", "heartbeats", "subscriptions")
TABLE_OF = {name: "level2" if name == "l2_data" else "ticker" if name == "ticker_batch" else name for name in PUBLIC}
ERROR = "error"
_CANDLE_NS = 300 * NS_PER_SECOND
_MAX_ERROR_CHARACTERS = 4096

_TYPES = {"snapshot": "snapshot", "update": "update"}
_BOOK_SIDES = {"bid": "bid", "offer": "ask", "ask": "ask"}
_MAKER_SIDES = {"BUY": "buy", "SELL": "sell"}
_OPPOSITE = {"buy": "sell", "sell": "buy"}

_ENVELOPE_KEYS = frozenset({"capture_ts", "data", "metadata"})
_MESSAGE_KEYS = frozenset({"channel", "client_id", "timestamp", "sequence_num", "events"})
_ERROR_KEYS = frozenset({"type", "message"})
_LEVEL_KEYS = frozenset({"side", "event_time", "price_level", "new_quantity"})
_TRADE_KEYS = frozenset({"product_id", "trade_id", "price", "size", "time", "side"})
_CANDLE_KEYS = frozenset({"product_id", "start", "open", "high", "low", "close", "volume"})
_TICKER_NUMBERS = {
    "volume_24_h": "volume_24h",
    "low_24_h": "low_24h",
    "high_24_h": "high_24h",
    "low_52_w": "low_52w",
    "high_52_w": "high_52w",
    "best_bid": "best_bid",
    "best_bid_quantity": "best_bid_quantity",
    "best_ask": "best_ask",
    "best_ask_quantity": "best_ask_quantity",
}
_TICKER_CHANGE = "price_percent_chg_24_h"
_TICKER_KEYS = frozenset({"type", "product_id", "price", "time", _TICKER_CHANGE, *_TICKER_NUMBERS})
_STATUS_STRINGS = ("product_type", "base_currency", "quote_currency", "display_name", "status", "status_message")
_STATUS_NUMBERS = ("base_increment", "quote_increment", "min_market_funds")
_STATUS_KEYS = frozenset({"id", *_STATUS_STRINGS, *_STATUS_NUMBERS})


@dataclass(frozen=True)
class Level:
    """A level of a book as it is set."""

    side: str
    price: Decimal
    quantity: Decimal
    ts_event: int | None


@dataclass(frozen=True)
class BookEvent:
    """An event of l2_data: its levels in order, exact whatever the tables hold."""

    product_id: str
    is_snapshot: bool
    levels: tuple[Level, ...]


@dataclass
class Message:
    """A valid message. `rows` lack what is the same for the whole message and the line's place."""

    channel: str
    ts_capture: int | None = None
    ts_server: int | None = None
    sequence_num: int | None = None
    unknown_keys: int = 0
    rows: list[Row] = field(default_factory=list)
    products: list[str] = field(default_factory=list)
    """What the message names, in order; the first one decides about its connection."""
    book_events: list[BookEvent] = field(default_factory=list)

    @property
    def first_product(self) -> str | None:
        """Return the product by which the connection is found."""
        return self.products[0] if self.products else None

    @property
    def first_heartbeat(self) -> int | None:
        """Return the counter of the first heartbeat."""
        counters = [row["heartbeat_counter"] for row in self.rows if "heartbeat_counter" in row]
        assert all(isinstance(counter, int) for counter in counters)
        return next(iter(counters), None)  # type: ignore[return-value]


def read_message(line: bytes, *, decimal: bool) -> Message:
    """Return the message of a line; NotJsonError or InvalidError if the line is to be rejected."""
    top = load(line)
    if not isinstance(top, dict):
        raise NotJsonError("a JSON value that is not an object")
    is_envelope = "data" in top and "channel" not in top
    source = top["data"] if is_envelope else top
    if not isinstance(source, dict):
        raise InvalidError("data", "an object", source)
    channel = source.get("channel")
    if isinstance(channel, str) and channel in PRIVATE:
        return Message(channel, sequence_num=_number_if_valid(source))
    reader = _Reader(decimal)
    ts_capture = None
    if is_envelope:
        ts_capture = read_nullable_time(top, "capture_ts")
        reader.count_unknown(top, _ENVELOPE_KEYS)
    try:
        message = reader.read_error(source) if "channel" not in source else reader.read_public(source, channel)
    except InvalidError as fault:
        raise fault.inside("data") if is_envelope else fault from None
    message.ts_capture = ts_capture
    if channel in ("ticker", "ticker_batch"):
        for row in message.rows:
            row["latency_capture_ns"] = _passed(message.ts_server, ts_capture)
    message.unknown_keys = reader.unknown_keys
    return message


def _passed(since: object, until: object) -> int | None:
    return until - since if isinstance(since, int) and isinstance(until, int) else None


def _number_if_valid(source: Object) -> int | None:
    try:
        return read_integer(source, "sequence_num")
    except InvalidError:
        return None


class _Reader:
    """Reads one message and counts its unknown keys."""

    def __init__(self, decimal: bool) -> None:
        self.decimal = decimal
        self.unknown_keys = 0

    def count_unknown(self, source: Object, known: frozenset[str]) -> None:
        self.unknown_keys += len(source.keys() - known)

    def read_error(self, source: Object) -> Message:
        if source.get("type") != ERROR:
            raise InvalidError("channel", "a channel, or the type error", source.get("type"))
        self.count_unknown(source, _ERROR_KEYS)
        text = read_nullable_string(source, "message")
        return Message(ERROR, rows=[{"message": text and text[:_MAX_ERROR_CHARACTERS]}])

    def read_public(self, source: Object, channel: Json) -> Message:
        if not isinstance(channel, str) or channel not in PUBLIC:
            raise InvalidError("channel", f"one of {', '.join(PUBLIC)}", channel)
        self.count_unknown(source, _MESSAGE_KEYS)
        message = Message(channel, ts_server=read_time(source, "timestamp"))
        message.sequence_num = read_integer(source, "sequence_num")
        read_event = {
            "l2_data": self._l2_data,
            "market_trades": self._market_trades,
            "ticker": self._ticker,
            "ticker_batch": self._ticker,
            "candles": self._candles,
            "status": self._status,
            "heartbeats": self._heartbeats,
            "subscriptions": self._subscriptions,
        }[channel]
        for event_index, (rows, products) in enumerate(_each(source, "events", read_event)):
            for row_index, row in enumerate(rows):
                row["event_index"], row["row_index"] = event_index, row_index
            message.rows += rows
            message.products += products
        for row in message.rows:
            if channel in ("ticker", "ticker_batch"):
                row["is_batch"] = channel == "ticker_batch"
                row["latency_venue_ns"] = _passed(row["ts_event"], message.ts_server)
            if channel not in ("market_trades", "candles"):
                row["date"] = utc_date(message.ts_server or 0)
        if channel == "l2_data":
            _mark_last(message.rows)
            message.book_events = [_book_event(event) for event in _each(source, "events", dict)]
        return message

    def _number(self, source: Object, key: str) -> object:
        return read_number(source, key, decimal=self.decimal)

    def _nullable_number(self, source: Object, key: str, *, signed: bool = False) -> object:
        return read_nullable_number(source, key, decimal=self.decimal, signed=signed)

    def _typed(self, event: Object, key: str, read: Callable[[Object], Row]) -> tuple[list[Row], list[str]]:
        """Read an event of type, and a list of things with a product each."""
        is_snapshot = read_choice(event, "type", _TYPES) == "snapshot"
        self.count_unknown(event, frozenset({"type", key}))
        rows = _each(event, key, read)
        for row in rows:
            row["is_snapshot"] = is_snapshot
        return rows, [str(row["product_id"]) for row in rows]

    def _l2_data(self, event: Object) -> tuple[list[Row], list[str]]:
        product_id = read_product(event, "product_id")
        is_snapshot = read_choice(event, "type", _TYPES) == "snapshot"
        self.count_unknown(event, frozenset({"type", "product_id", "updates"}))
        rows = _each(event, "updates", self._level)
        if is_snapshot and not rows:
            rows.append({"side": None, "price": None, "quantity": None, "ts_event": None})
        for row in rows:
            row["product_id"], row["is_snapshot"] = product_id, is_snapshot
        return rows, [product_id]

    def _level(self, source: Object) -> Row:
        self.count_unknown(source, _LEVEL_KEYS)
        return {
            "side": read_choice(source, "side", _BOOK_SIDES),
            "ts_event": read_nullable_time(source, "event_time"),
            "price": read_level_number(source, "price_level", decimal=self.decimal),
            "quantity": read_level_number(source, "new_quantity", decimal=self.decimal),
        }

    def _market_trades(self, event: Object) -> tuple[list[Row], list[str]]:
        return self._typed(event, "trades", self._trade)

    def _trade(self, source: Object) -> Row:
        self.count_unknown(source, _TRADE_KEYS)
        ts_event = read_time(source, "time")
        maker_side = read_choice(source, "side", _MAKER_SIDES)
        return {
            "product_id": read_product(source, "product_id"),
            "date": utc_date(ts_event),
            "ts_event": ts_event,
            "trade_id": read_integer(source, "trade_id"),
            "price": self._number(source, "price"),
            "size": self._number(source, "size"),
            "maker_side": maker_side,
            "taker_side": _OPPOSITE[maker_side],
        }

    def _ticker(self, event: Object) -> tuple[list[Row], list[str]]:
        return self._typed(event, "tickers", self._one_ticker)

    def _one_ticker(self, source: Object) -> Row:
        self.count_unknown(source, _TICKER_KEYS)
        row: Row = {"product_id": read_product(source, "product_id"), "price": self._number(source, "price")}
        for key, column in _TICKER_NUMBERS.items():
            row[column] = self._nullable_number(source, key)
        row["price_percent_chg_24h"] = self._nullable_number(source, _TICKER_CHANGE, signed=True)
        row["ts_event"] = read_nullable_time(source, "time")
        return row | ticker_figures(row)

    def _candles(self, event: Object) -> tuple[list[Row], list[str]]:
        return self._typed(event, "candles", self._candle)

    def _candle(self, source: Object) -> Row:
        self.count_unknown(source, _CANDLE_KEYS)
        ts_start = read_integer(source, "start") * NS_PER_SECOND
        if not is_plausible(ts_start):
            raise InvalidError("start", "epoch seconds from 2010-01-01 to 2100-01-01", source["start"])
        row: Row = {"product_id": read_product(source, "product_id"), "date": utc_date(ts_start)}
        row["ts_start"], row["ts_end"] = ts_start, ts_start + _CANDLE_NS
        for key in ("open", "high", "low", "close", "volume"):
            row[key] = self._number(source, key)
        return row

    def _status(self, event: Object) -> tuple[list[Row], list[str]]:
        return self._typed(event, "products", self._product)

    def _product(self, source: Object) -> Row:
        self.count_unknown(source, _STATUS_KEYS)
        row: Row = {"product_id": read_product(source, "id")}
        for key in _STATUS_STRINGS:
            row[key] = read_nullable_string(source, key)
        for key in _STATUS_NUMBERS:
            row[key] = self._nullable_number(source, key)
        return row

    def _heartbeats(self, event: Object) -> tuple[list[Row], list[str]]:
        self.count_unknown(event, frozenset({"current_time", "heartbeat_counter"}))
        ts_event = read_nullable_time(event, "current_time", or_go=True)
        return [{"ts_event": ts_event, "heartbeat_counter": read_integer(event, "heartbeat_counter")}], []

    def _subscriptions(self, event: Object) -> tuple[list[Row], list[str]]:
        self.count_unknown(event, frozenset({"subscriptions"}))
        channels = event.get("subscriptions")
        if not isinstance(channels, dict):
            raise InvalidError("subscriptions", "an object of lists of strings", channels)
        pairs: list[tuple[str | None, str | None]] = []
        for channel, entries in channels.items():
            if not isinstance(entries, list):
                raise InvalidError(f"subscriptions.{channel}", "a list of strings", entries)
            for entry in entries:
                if not isinstance(entry, str):
                    raise InvalidError(f"subscriptions.{channel}", "a list of strings", entry)
                pairs.append((channel, entry))
            if not entries:
                pairs.append((channel, None))
        pairs = pairs or [(None, None)]
        return [{"subscribed_channel": channel, "subscribed_product": entry} for channel, entry in pairs], []


def _each(source: Object, key: str, read: Callable[[Object], Read]) -> list[Read]:
    """Read every object of a required list."""
    entries = source.get(key)
    if not isinstance(entries, list):
        raise InvalidError(key, "a list", entries)
    values = []
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise InvalidError(f"{key}[{index}]", "an object", entry)
        try:
            values.append(read(entry))
        except InvalidError as fault:
            raise fault.inside(f"{key}[{index}]") from None
    return values


def _book_event(event: Object) -> BookEvent:
    """Return a valid event with its exact numbers."""
    levels = [
        Level(
            side=_BOOK_SIDES[str(level["side"])],
            price=Decimal(str(level["price_level"])),
            quantity=Decimal(str(level["new_quantity"])),
            ts_event=read_nullable_time(level, "event_time"),
        )
        for level in _each(event, "updates", dict)
    ]
    return BookEvent(str(event["product_id"]), event["type"] == "snapshot", tuple(levels))


def _mark_last(rows: list[Row]) -> None:
    """Mark the last row of each product."""
    done: set[object] = set()
    for row in reversed(rows):
        row["is_last"] = row["product_id"] not in done
        done.add(row["product_id"])
