"""What a valid message is, and what is said of one that is not."""

from __future__ import annotations

import pytest

from etl_ray.scan.strict import (
    MAX_ERROR_CHARS,
    PrivateMessage,
    PublicMessage,
    RejectedLineError,
    VenueError,
    parse_line,
)
from etl_ray.venues.coinbase import COINBASE, HEARTBEATS, LEVEL2
from etl_ray.venues.rows import NULL
from tests.scan.wire import CANDLE, STATUS, TICKER, JsonObject, book, event, level, message, trade, without, write

SERVER_NS = 1_764_165_600_123_456_789
EVENT_NS = 1_764_165_600_100_000_000
L2 = message("l2_data", book("update", "BTC-USD", level("bid", "1", "2")))


def parse(content: JsonObject | bytes) -> PublicMessage | PrivateMessage | VenueError:
    return parse_line(content if isinstance(content, bytes) else write(content), COINBASE, "float64")


def public(content: JsonObject | bytes) -> PublicMessage:
    found = parse(content)
    assert isinstance(found, PublicMessage)
    return found


def reason(content: JsonObject | bytes) -> str:
    with pytest.raises(RejectedLineError) as raised:
        parse(content)
    return raised.value.reason


def test_public_message() -> None:
    assert parse(L2) == PublicMessage(
        channel="l2_data",
        shape=LEVEL2,
        sequence_num=7,
        ts_server=SERVER_NS,
        ts_capture=NULL,
        product="BTC-USD",
        mentions=frozenset({"BTC-USD"}),
        rows=[(0, 0, (1, "BTC-USD"), (0, EVENT_NS, 1.0, 2.0))],
        unknown_keys=0,
    )


def test_event_that_is_the_row() -> None:
    found = public(message("heartbeats", {"heartbeat_counter": 1}, {"heartbeat_counter": "2", "current_time": ""}))
    assert found.shape == HEARTBEATS
    assert found.rows == [(0, 0, (), (NULL, 1)), (1, 0, (), (NULL, 2))]
    assert (found.product, found.mentions) == (None, frozenset())


def test_envelope() -> None:
    captured = public({"capture_ts": "2025-11-26T14:00:00.1+00:00", "data": L2, "metadata": [1, {"x": None}]})
    assert captured.ts_capture == EVENT_NS
    assert captured.unknown_keys == 0
    for capture in (None, "", "1970-01-01T00:00:00Z"):
        assert public({"data": L2, "capture_ts": capture}).ts_capture == NULL
    assert public({"data": L2}).ts_capture == NULL
    assert reason({"capture_ts": 5, "data": L2}).startswith("capture_ts: expected a UTC time")
    assert reason({"capture_ts": "yesterday", "data": L2}).startswith("capture_ts: expected a UTC time")


def test_object_with_channel_is_no_envelope() -> None:
    found = public(L2 | {"data": {"channel": "user"}, "capture_ts": 5})
    assert (found.channel, found.ts_capture, found.unknown_keys) == ("l2_data", NULL, 2)


@pytest.mark.parametrize(("data", "found"), [(None, "nothing"), ([], "a list"), ("x", "a string"), (1, "a number")])
def test_envelope_of_no_object(data: object, found: str) -> None:
    assert reason({"data": data}) == f"data: expected an object, found {found}"


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"x", "not JSON: "),
        (b'{"channel":', "not JSON: "),
        (b"{} {}", "not JSON: "),
        (b'{"channel":"ticker",}', "not JSON: "),
        (b'{"a":NaN}', "not JSON: "),
        (b'{"a":"\xff"}', "not JSON: "),
        (b'{"a":"\\ud800"}', "not JSON: "),
        (b'{"a":"\x01"}', "not JSON: "),
        (b"\xef\xbb\xbf{}", "not JSON: "),
        (b"[]", "expected a JSON object, found a list"),
        (b"null", "expected a JSON object, found nothing"),
        (b"true", "expected a JSON object, found a boolean"),
        (b'"x"', "expected a JSON object, found a string"),
        (b"1.5", "expected a JSON object, found a number"),
        (b"{}", "channel: expected one of l2_data, "),
    ],
)
def test_what_is_no_message(raw: bytes, why: str) -> None:
    assert reason(raw).startswith(why)


@pytest.mark.parametrize("channel", ["L2_data", "level2", "", None, 1, ["user"], "user ", "error"])
def test_unknown_channel(channel: object) -> None:
    assert reason(L2 | {"channel": channel}).startswith("channel: expected one of l2_data, market_trades, ticker, ")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"timestamp": None}, "timestamp: expected a UTC time"),
        ({"timestamp": ""}, "timestamp: expected a UTC time"),
        ({"timestamp": "1970-01-01T00:00:00Z"}, "timestamp: expected a time from 2010 to 2099"),
        ({"sequence_num": None}, "sequence_num: expected an integer"),
        ({"sequence_num": -1}, "sequence_num: expected an integer"),
        ({"sequence_num": 1.0}, "sequence_num: expected an integer"),
        ({"sequence_num": True}, "sequence_num: expected an integer"),
        ({"events": None}, "events: expected a list, found nothing"),
        ({"events": {}}, "events: expected a list, found an object"),
        ({"events": [None]}, "events[0]: expected an object, found nothing"),
        ({"events": [{"type": "update", "product_id": "X"}]}, "events[0].updates: expected a list, found nothing"),
        ({"events": [book("update", ""), {}]}, 'events[0].product_id: expected a value, found ""'),
        ({"events": [book("l2update", "X")]}, "events[0].type: expected snapshot or update, found 'l2update'"),
        ({"events": [book("update", "X", [])]}, "events[0].updates[0]: expected an object, found a list"),
    ],
)
def test_fault_of_a_message(change: JsonObject, why: str) -> None:
    assert reason(L2 | change).startswith(why)


@pytest.mark.parametrize(
    ("channel", "rows_key", "entry", "required"),
    [
        ("l2_data", "updates", level("bid", "1", "2"), {"side", "price_level", "new_quantity"}),
        ("market_trades", "trades", trade(1, "BUY"), {"product_id", "trade_id", "price", "size", "time", "side"}),
        ("ticker", "tickers", TICKER, {"product_id", "price"}),
        ("ticker_batch", "tickers", TICKER, {"product_id", "price"}),
        ("candles", "candles", CANDLE, set(CANDLE)),
        ("status", "products", STATUS, {"id"}),
    ],
)
def test_required_and_nullable_keys_of_an_entry(
    channel: str, rows_key: str, entry: JsonObject, required: set[str]
) -> None:
    def with_entry(changed: JsonObject) -> JsonObject:
        good = {"product_id": "X"} if channel == "l2_data" else {}
        return message(channel, event("update", **good, **{rows_key: [entry, changed]}))

    for key in entry:
        for changed in (without(entry, key), entry | {key: None}, entry | {key: ""}):
            if key in required:
                assert reason(with_entry(changed)).startswith(
                    f"events[0].{rows_key}[1].{key}: expected a value, found "
                )
            else:
                assert len(public(with_entry(changed)).rows) == 2
    numbers = [key for key in entry if str(entry[key]).replace(".", "").lstrip("-").isdigit()]
    for key in set(numbers) - {"trade_id", "start"}:
        assert reason(with_entry(entry | {key: 1.5})).startswith(f"events[0].{rows_key}[1].{key}: expected a decimal")
        if key != "price_percent_chg_24_h":
            assert "not negative, found '-1'" in reason(with_entry(entry | {key: "-1"}))


def test_one_bad_entry_rejects_the_whole_message() -> None:
    good, bad = book("update", "X", level("bid", "1", "2")), book("update", "X", level("buy", "1", "2"))
    assert (
        reason(message("l2_data", good, bad)) == "events[1].updates[0].side: expected bid or offer or ask, found 'buy'"
    )


@pytest.mark.parametrize(
    ("sets", "why"),
    [
        (None, "events[0].subscriptions: expected an object, found nothing"),
        ([], "events[0].subscriptions: expected an object, found a list"),
        ({"level2": "BTC-USD"}, "events[0].subscriptions.level2: expected a list, found a string"),
        ({"level2": ["BTC-USD", 1]}, "events[0].subscriptions.level2[1]: expected a string, found 1"),
    ],
)
def test_faults_of_subscriptions(sets: object, why: str) -> None:
    assert reason(message("subscriptions", {"subscriptions": sets})) == why


def test_unknown_keys_are_counted_and_duplicate_ones_not() -> None:
    entry = level("bid", "1", "2", more=1, extra={"nested": {"not": "counted"}})
    content = message("l2_data", book("update", "X", entry, entry) | {"new": []}) | {"client_id": "", "version": 2}
    assert public(content).unknown_keys == 6
    assert public({"data": content, "collector": "x", "host": "y"}).unknown_keys == 8
    assert public(message("heartbeats", {"heartbeat_counter": 1, "x": 2})).unknown_keys == 1
    assert public(message("subscriptions", {"subscriptions": {}, "x": 2})).unknown_keys == 1
    raw = write(L2).replace(b'"side":', b'"side":"ask","side":')
    assert public(raw).rows == public(L2).rows
    assert public(raw).unknown_keys == 0


def test_of_duplicate_keys_the_last_wins() -> None:
    raw = write(L2).replace(b'"sequence_num":7', b'"sequence_num":"no number","sequence_num":8')
    assert public(raw).sequence_num == 8
    assert reason(write(L2).replace(b'"channel":"l2_data"', b'"channel":"l2_data","channel":"x"')).startswith(
        "channel: "
    )


def test_first_product_and_mentions() -> None:
    empty = public(message("l2_data", book("update", "A"), book("update", "B", level("bid", "1", "2"))))
    assert (empty.product, empty.mentions) == ("A", {"A", "B"})
    trades = (event("update", trades=[]), event("update", trades=[trade(1, "BUY"), trade(2, "BUY", product_id="Z")]))
    found = public(message("market_trades", *trades))
    assert (found.product, found.mentions) == ("BTC-USD", {"BTC-USD", "Z"})


@pytest.mark.parametrize("channel", ["user", "futures_balance_summary"])
def test_private_message_is_not_looked_into(channel: str) -> None:
    content: JsonObject = {"channel": channel, "sequence_num": "12", "events": "whatever", "timestamp": []}
    assert parse(content) == PrivateMessage(channel, 12)
    assert parse({"data": content, "capture_ts": "no time", "metadata": 1}) == PrivateMessage(channel, 12)
    for number in (None, "", -1, 1.0, "x"):
        assert parse(content | {"sequence_num": number}) == PrivateMessage(channel, None)
    assert parse(b'{"\\u0063hannel":"%s"}' % channel.encode()) == PrivateMessage(channel, None)


def test_error_of_the_venue() -> None:
    failure: JsonObject = {"type": "error", "message": "authentication failure"}
    assert parse(failure) == VenueError("authentication failure", NULL, 0)
    enveloped = {"capture_ts": "2025-11-26T14:00:00.1Z", "data": failure | {"code": 7}, "x": 1}
    assert parse(enveloped) == VenueError("authentication failure", EVENT_NS, 2)
    for words in ({}, {"message": None}, {"message": ""}):
        assert parse({"type": "error", **words}) == VenueError(None, NULL, 0)
    assert parse({"type": "error", "message": "é" * 5000}) == VenueError("é" * MAX_ERROR_CHARS, NULL, 0)
    assert reason({"type": "error", "message": 5}) == "message: expected a string, found 5"
    assert reason({"type": "Error", "message": "x"}).startswith("channel: expected one of ")
    assert reason(failure | {"channel": None}).startswith("channel: expected one of ")
