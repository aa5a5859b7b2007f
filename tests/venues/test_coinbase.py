"""Whole rows of every table, from the kernel and from the strict parser alike."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from etl_ray.scan import LineParser, Parsed
from etl_ray.tables import DELIVERED, TABLES, Numbers
from etl_ray.venues import Venue
from etl_ray.venues.coinbase import CANDLE_NS, COINBASE
from tests.scan.outcome import parse, strict_only
from tests.scan.wire import (
    CANDLE,
    STATUS,
    TICKER,
    JsonObject,
    Style,
    book,
    event,
    level,
    message,
    trade,
    without,
    write,
)

Row = dict[str, object]
BY_STAGE = {"connection_id", "segment"}
"""Columns that only the whole run knows."""
MIDNIGHT = int(datetime.datetime(2025, 11, 26, tzinfo=datetime.UTC).timestamp()) * 1_000_000_000
SECOND = 1_000_000_000
SERVER_NS = MIDNIGHT + 14 * 3600 * SECOND + 123_456_789
"""What `tests.scan.wire` sends as the server's time."""
EVENT_NS = MIDNIGHT + 14 * 3600 * SECOND + 100_000_000
TRADE_NS = MIDNIGHT + (14 * 3600 - 1) * SECOND + 977_543_000

both_parsers = pytest.mark.parametrize("venue", [COINBASE, strict_only()], ids=["kernel", "strict"])


def parsed_lines(venue: Venue, *messages: JsonObject | bytes, numbers: Numbers = "float64") -> Parsed:
    """Return what is found in messages, one a line."""
    data = b"\n".join(one if isinstance(one, bytes) else write(one) for one in messages)
    (found,) = parse(LineParser(venue, numbers, block_bytes=1 << 16), data)
    assert found.rejects == ()
    return found


def rows(table: str, venue: Venue, *messages: JsonObject | bytes, numbers: Numbers = "float64") -> list[Row]:
    """Return the assembled rows of a table, times as ns; each column has to be as the table says."""
    found = parsed_lines(venue, *messages, numbers=numbers)
    assert found.rows.keys() <= {table}
    if table not in found.rows:
        return []
    columns = venue.assemble[table](found.rows[table])
    declared = DELIVERED[table]
    assert columns.keys() == set(declared.names) - BY_STAGE
    for name, column in columns.items():
        assert column.type == declared.column(name).arrow_type(numbers), name
        assert declared.column(name).nullable or not column.null_count, name
        columns[name] = column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
    return pa.table(columns).to_pylist()


def common(line: int = 1, event_index: int = 0, row_index: int = 0, **more: object) -> Row:
    """Return the columns that every row has."""
    return {
        "ts_server": SERVER_NS,
        "ts_capture": None,
        "sequence_num": 7,
        "line": line,
        "event_index": event_index,
        "row_index": row_index,
        "date": "2025-11-26",
        **more,
    }


def l2_row(side: str | None, price: float | None, quantity: float | None, **more: object) -> Row:
    known: Row = {"product_id": "BTC-USD", "ts_event": EVENT_NS, "side": side, "price": price, "quantity": quantity}
    return common() | known | {"is_snapshot": False, "is_last": False} | more


@both_parsers
def test_level2_sides_and_zero(venue: Venue) -> None:
    updates = (level("bid", "72867.6", "0.5"), level("offer", "83328.01", "0.00000000"), level("ask", "9", "0"))
    assert rows("level2", venue, message("l2_data", book("update", "BTC-USD", *updates))) == [
        l2_row("bid", 72867.6, 0.5),
        l2_row("ask", 83328.01, 0.0, row_index=1),
        l2_row("ask", 9.0, 0.0, row_index=2, is_last=True),
    ]


@both_parsers
def test_level2_snapshot_with_implausible_times(venue: Venue) -> None:
    updates = (
        level("bid", "1", "2", event_time="1970-01-01T00:00:00Z"),
        level("offer", "3", "4", event_time="0001-01-01T00:00:00Z"),
        level("offer", "5", "6", event_time="2100-01-01T00:00:00Z"),
        level("offer", "7", "8"),
    )
    assert rows("level2", venue, message("l2_data", book("snapshot", "BTC-USD", *updates))) == [
        l2_row("bid", 1.0, 2.0, ts_event=None, is_snapshot=True),
        l2_row("ask", 3.0, 4.0, ts_event=None, is_snapshot=True, row_index=1),
        l2_row("ask", 5.0, 6.0, ts_event=None, is_snapshot=True, row_index=2),
        l2_row("ask", 7.0, 8.0, is_snapshot=True, row_index=3, is_last=True),
    ]


@both_parsers
def test_level2_without_event_time(venue: Venue) -> None:
    level_without = without(level("bid", "1", "2"), "event_time")
    updates = (level_without, level("bid", "1", "2", event_time=None), level("bid", "1", "2", event_time=""))
    found = rows("level2", venue, message("l2_data", book("update", "BTC-USD", *updates)))
    assert [row["ts_event"] for row in found] == [None, None, None]


@both_parsers
def test_empty_snapshot_is_a_row_and_an_empty_update_none(venue: Venue) -> None:
    empty: Row = {"ts_event": None, "is_snapshot": True, "is_last": True}
    assert rows(
        "level2",
        venue,
        message("l2_data", book("update", "BTC-USD")),
        message("l2_data", book("snapshot", "BTC-USD")),
        message("l2_data"),
    ) == [l2_row(None, None, None, line=2, **empty)]


@both_parsers
def test_level2_is_last_of_each_product_in_a_message(venue: Venue) -> None:
    one, two = level("bid", "1", "2"), level("offer", "3", "4")
    events = (
        book("update", "BTC-USD", one, two),
        book("update", "ETH-USD", one),
        book("snapshot", "SOL-USD"),
        book("update", "BTC-USD", two, two),
        book("update", "ETH-USD"),
    )
    found = rows("level2", venue, message("l2_data", *events), message("l2_data", book("update", "BTC-USD", one, one)))
    places = [
        (row["line"], row["product_id"], row["event_index"], row["row_index"], row["side"], row["is_last"])
        for row in found
    ]
    assert places == [
        (1, "BTC-USD", 0, 0, "bid", False),
        (1, "BTC-USD", 0, 1, "ask", False),
        (1, "ETH-USD", 1, 0, "bid", True),
        (1, "SOL-USD", 2, 0, None, True),
        (1, "BTC-USD", 3, 0, "ask", False),
        (1, "BTC-USD", 3, 1, "ask", True),  # the same level again: both are kept
        (2, "BTC-USD", 0, 0, "bid", False),
        (2, "BTC-USD", 0, 1, "bid", True),
    ]


@both_parsers
def test_is_last_of_messages_with_one_event_each(venue: Venue) -> None:
    one, two = level("bid", "1", "2"), level("offer", "3", "4")
    events = (book("update", "BTC-USD", one, two), book("update", "BTC-USD", one), book("update", "X", two, one, one))
    found = rows("level2", venue, *(message("l2_data", single) for single in events))
    assert [row["is_last"] for row in found] == [False, True, True, False, False, True]


@both_parsers
def test_is_last_where_only_the_first_event_has_rows(venue: Venue) -> None:
    events = (book("update", "BTC-USD", level("bid", "1", "2")), book("update", "ETH-USD"))
    assert [row["is_last"] for row in rows("level2", venue, message("l2_data", *events))] == [True]


@both_parsers
def test_level2_around_midnight(venue: Venue) -> None:
    """The date is that of the server's time, whatever the event's."""
    before = message("l2_data", book("update", "BTC-USD", level("bid", "1", "2", event_time="2025-11-27T00:00:00Z")))
    after = message("l2_data", book("update", "BTC-USD", level("bid", "1", "2", event_time="2025-11-25T00:00:00Z")))
    before["timestamp"], after["timestamp"] = "2025-11-26T23:59:59.999999999Z", "2025-11-27T00:00:00Z"
    found = rows("level2", venue, before, after)
    assert [row["date"] for row in found] == ["2025-11-26", "2025-11-27"]
    assert [row["ts_server"] for row in found] == [MIDNIGHT + 86_400 * SECOND - 1, MIDNIGHT + 86_400 * SECOND]


@both_parsers
def test_numbers_as_decimals(venue: Venue) -> None:
    update = level("bid", "123456789012.345678", "0.000000000000000001")
    (row,) = rows("level2", venue, message("l2_data", book("update", "BTC-USD", update)), numbers="decimal")
    assert (row["price"], row["quantity"]) == (Decimal("123456789012.345678"), Decimal("1e-18"))


@both_parsers
def test_capture_time_and_number_come_from_the_message(venue: Venue) -> None:
    content = message("l2_data", book("update", "BTC-USD", level("bid", "1", "2")), number="12")
    wrapped = {"capture_ts": "2025-11-26T14:00:00.5+00:00", "data": content}
    found = rows("level2", venue, wrapped, content, {"capture_ts": "1970-01-01T00:00:00Z", "data": content})
    assert [row["sequence_num"] for row in found] == [12, 12, 12]
    assert [row["ts_capture"] for row in found] == [MIDNIGHT + 14 * 3600 * SECOND + 500_000_000, None, None]


def trade_row(trade_id: int, maker: str, taker: str, **more: object) -> Row:
    known: Row = {"product_id": "BTC-USD", "ts_event": TRADE_NS, "trade_id": trade_id, "price": 83277.26}
    return (
        common() | known | {"size": 0.00058346, "maker_side": maker, "taker_side": taker, "is_snapshot": False} | more
    )


@both_parsers
def test_market_trades(venue: Venue) -> None:
    """The wire's side is the maker's; a trade's date is its own."""
    old = trade("007", "BUY", product_id="ETH-USD", time="2025-11-25T23:59:59.999999999Z", price="0", size="1")
    assert rows(
        "market_trades",
        venue,
        message("market_trades", event("snapshot", trades=[trade("1100253488", "SELL"), old])),
        message(
            "market_trades",
            event("update", trades=[]),
            event("update", trades=[trade(2**63 - 1, "BUY"), trade(2**63 - 1, "BUY")]),
        ),
    ) == [
        trade_row(1100253488, "sell", "buy", is_snapshot=True),
        trade_row(
            7,
            "buy",
            "sell",
            is_snapshot=True,
            row_index=1,
            product_id="ETH-USD",
            ts_event=MIDNIGHT - 1,
            date="2025-11-25",
            price=0.0,
            size=1.0,
        ),
        trade_row(2**63 - 1, "buy", "sell", line=2, event_index=1),
        trade_row(2**63 - 1, "buy", "sell", line=2, event_index=1, row_index=1),
    ]


FIGURES: Row = {
    "price": 1866.81,
    "volume_24h": 16038.28770938,
    "low_24h": 1835.29,
    "high_24h": 1901.5,
    "low_52w": 15460.0,
    "high_52w": 48240.0,
    "price_percent_chg_24h": -4.15775596190603,
    "best_bid": 1866.8,
    "best_bid_quantity": 0.46908,
    "best_ask": 1866.82,
    "best_ask_quantity": 1.1,
    "mid_price": 1866.81,
    "spread": 0.02,
    "spread_bps": 200 / 1866.81,
    "range_24h": 66.21,
}
QUOTE = ("best_bid", "best_bid_quantity", "best_ask", "best_ask_quantity", "mid_price", "spread", "spread_bps")
NO_FIGURES: Row = dict.fromkeys(FIGURES.keys() - {"price"})
NO_TIMES: Row = dict.fromkeys(("ts_event", "latency_venue_ns", "latency_capture_ns"))


@both_parsers
def test_ticker(venue: Venue) -> None:
    row = common() | FIGURES | NO_TIMES | {"product_id": "ETH-USD", "is_batch": False, "is_snapshot": True}
    assert rows("ticker", venue, message("ticker", event("snapshot", tickers=[TICKER]))) == [row]


@both_parsers
def test_ticker_with_times(venue: Venue) -> None:
    ticker = TICKER | {"time": "2025-11-26T14:00:00.223456790Z"}
    line = write(message("ticker", event("snapshot", tickers=[ticker])), Style(envelope=True))
    times = {"ts_capture": SERVER_NS - 333, "ts_event": SERVER_NS + 100_000_001}
    latencies = {"latency_venue_ns": -100_000_001, "latency_capture_ns": -333}
    row = common() | FIGURES | times | latencies | {"product_id": "ETH-USD", "is_batch": False, "is_snapshot": True}
    found = rows("ticker", venue, line.replace(b"14:00:00.123456+00:00", b"14:00:00.123456456+00:00"))
    assert found == [row]


@both_parsers
def test_ticker_in_decimals(venue: Venue) -> None:
    wide = {"best_bid": "0.000000000000000001", "best_ask": "0.000000000000000002", "high_24_h": "99999999999999999999"}
    least = {"best_bid": "0", "best_ask": "0.000000000000000002"}
    tickers = [TICKER, TICKER | wide, TICKER | least]
    found = rows("ticker", venue, message("ticker", event("snapshot", tickers=tickers)), numbers="decimal")
    figures = [[row[name] for name in ("mid_price", "spread", "spread_bps", "range_24h")] for row in found]
    assert figures == [
        [Decimal("1866.81"), Decimal("0.02"), 200 / 1866.81, Decimal("66.21")],
        [None, Decimal("1E-18"), 20_000 / 3, Decimal("99999999999999998163.71")],
        [Decimal("1E-18"), Decimal("2E-18"), 20_000.0, Decimal("66.21")],
    ]


@both_parsers
def test_ticker_batch_has_no_best_prices(venue: Venue) -> None:
    batch = without(TICKER, "best_bid", "best_bid_quantity", "best_ask", "best_ask_quantity")
    row = common() | FIGURES | NO_TIMES | {"product_id": "ETH-USD", "is_batch": True, "is_snapshot": False}
    row |= dict.fromkeys(QUOTE)
    assert rows("ticker", venue, message("ticker_batch", event("update", tickers=[batch]))) == [row]


@both_parsers
@pytest.mark.parametrize("absent", [None, ""])
def test_ticker_figures_that_are_absent_are_null_and_zero_is_not(venue: Venue, absent: object) -> None:
    least = {"product_id": "X", "price": "0"}
    zeros = dict.fromkeys(TICKER.keys() - {"type", "product_id"}, "0")
    found = rows(
        "ticker",
        venue,
        message(
            "ticker",
            event(
                "update",
                tickers=[
                    least,
                    least | dict.fromkeys(TICKER.keys() - {"type", "product_id", "price"}, absent),
                    least | zeros | {"price_percent_chg_24_h": "-0"},
                ],
            ),
        ),
    )
    known = common() | NO_TIMES | {"product_id": "X", "price": 0.0, "is_batch": False, "is_snapshot": False}
    assert found == [
        known | NO_FIGURES,
        known | NO_FIGURES | {"row_index": 1},
        known | dict.fromkeys(NO_FIGURES, 0.0) | {"row_index": 2, "spread_bps": None},
    ]
    assert str(found[2]["price_percent_chg_24h"]) == "0.0"


@both_parsers
def test_both_channels_of_tickers_in_one_block(venue: Venue) -> None:
    channels = ("ticker", "ticker_batch", "ticker")
    found = rows("ticker", venue, *(message(channel, event("update", tickers=[TICKER])) for channel in channels))
    assert [row["is_batch"] for row in found] == [False, True, False]


@both_parsers
def test_candles(venue: Venue) -> None:
    start = 1764165600 * SECOND
    known = common() | {"product_id": "ETH-USD", "ts_start": start, "ts_end": start + 300 * SECOND, "is_snapshot": True}
    known |= {"open": 1867.38, "high": 1867.72, "low": 1865.63, "close": 1866.81, "volume": 0.20269406}
    late = CANDLE | {"start": 1764115200 - 300, "volume": "0"}  # the last one of the day before
    end = 1764115200 * SECOND
    assert CANDLE_NS == 300 * SECOND
    assert rows("candles", venue, message("candles", event("snapshot", candles=[CANDLE, late]))) == [
        known,
        known | {"row_index": 1, "volume": 0.0, "ts_start": end - CANDLE_NS, "ts_end": end, "date": "2025-11-25"},
    ]


@both_parsers
def test_status(venue: Venue) -> None:
    known = common() | {"product_id": "BTC-USD", "product_type": "SPOT", "base_currency": "BTC", "is_snapshot": True}
    known |= {"quote_currency": "USD", "base_increment": 1e-8, "quote_increment": 0.01, "display_name": "BTC/USD"}
    known |= {"status": "online", "status_message": None, "min_market_funds": 1.0}
    nulls = dict.fromkeys(key for key in STATUS if key != "id")
    least: JsonObject = {"id": "ETH-USD", "status": "", "base_increment": None}
    content = message("status", event("snapshot", products=[STATUS, least]), event("update", products=[]))
    assert rows("status", venue, content) == [known, known | nulls | {"product_id": "ETH-USD", "row_index": 1}]


@both_parsers
def test_heartbeats(venue: Venue) -> None:
    go = "2025-11-26 14:00:00.1 +0000 UTC m=+12242.233881028"
    beats: tuple[JsonObject, ...] = (
        {"current_time": go, "heartbeat_counter": 12242},
        {"current_time": "2025-11-26T14:00:00.1Z", "heartbeat_counter": "12243"},
        {"heartbeat_counter": 0},
        {"current_time": "0001-01-01 00:00:00 +0000 UTC", "heartbeat_counter": 1},
    )
    found = rows("heartbeats", venue, message("heartbeats", *beats))
    assert found == [
        common(event_index=0, ts_event=EVENT_NS, heartbeat_counter=12242),
        common(event_index=1, ts_event=EVENT_NS, heartbeat_counter=12243),
        common(event_index=2, ts_event=None, heartbeat_counter=0),
        common(event_index=3, ts_event=None, heartbeat_counter=1),
    ]


@both_parsers
def test_subscriptions(venue: Venue) -> None:
    sets: tuple[JsonObject, ...] = ({"level2": ["ETH-USD", "BTC-USD"], "status": [], "": [""]}, {})
    found = rows("subscriptions", venue, message("subscriptions", *({"subscriptions": one} for one in sets)))
    assert found == [
        common(subscribed_channel="level2", subscribed_product="ETH-USD"),
        common(row_index=1, subscribed_channel="level2", subscribed_product="BTC-USD"),
        common(row_index=2, subscribed_channel="status", subscribed_product=None),
        common(row_index=3, subscribed_channel="", subscribed_product=""),
        common(event_index=1, subscribed_channel=None, subscribed_product=None),
    ]


@both_parsers
@pytest.mark.parametrize(
    ("channel", "key"), [("market_trades", "trades"), ("candles", "candles"), ("ticker", "tickers")]
)
def test_messages_without_rows(venue: Venue, channel: str, key: str) -> None:
    content = (message(channel), message(channel, event("update", **{key: []}), event("snapshot", **{key: []})))
    found = parsed_lines(venue, *content)
    assert found.rows == {}
    assert found.messages.line.tolist() == [1, 2]
    assert found.messages.product.tolist() == [-1, -1]
    assert len(found.mentions.message) == 0


def test_lines_of_both_parsers_come_in_line_order() -> None:
    plain = message("l2_data", book("update", "BTC-USD", level("bid", "1", "2")))
    odd = message("l2_data", book("update", "é", level("bid", "1e0", "2")))
    found = parsed_lines(COINBASE, plain, odd, plain, odd, odd, plain)
    assert found.slow_lines == 3
    assert found.messages.line.tolist() == [1, 2, 3, 4, 5, 6]
    assembled = COINBASE.assemble["level2"](found.rows["level2"])
    assert assembled["line"].to_pylist() == [1, 2, 3, 4, 5, 6]
    assert assembled["product_id"].to_pylist() == ["BTC-USD", "é", "BTC-USD", "é", "é", "BTC-USD"]
    assert [found.symbols[code] for code in found.messages.product] == assembled["product_id"].to_pylist()


def test_declarations_agree_with_the_tables() -> None:
    assert COINBASE.channels == (
        "l2_data",
        "market_trades",
        "ticker",
        "ticker_batch",
        "candles",
        "status",
        "heartbeats",
        "subscriptions",
    )
    assert COINBASE.private_channels == ("user", "futures_balance_summary")
    assert COINBASE.assemble.keys() == {shape.table for shape in COINBASE.shapes} <= TABLES.keys()
    for channel in COINBASE.channels:
        shape = COINBASE.shape_of(channel)
        assert shape is not None
        assert channel in shape.channels
    assert COINBASE.shape_of("user") is None
    assert [shape.table for shape in COINBASE.shapes if not shape.scannable] == ["status", "subscriptions"]
