"""Each connection writes in its own shape."""

from __future__ import annotations

import json

import pytest

from etl_ray.sample.shapes import SHAPES, Message, Shape

from .conftest import Recording
from .strict import Line

LIVE_TRADE = ["product_id", "trade_id", "price", "size", "time", "side"]
DOCUMENTED_TRADE = ["trade_id", "product_id", "price", "size", "side", "time"]
LIVE_BEST = ["best_bid", "best_ask", "best_bid_quantity", "best_ask_quantity"]
DOCUMENTED_BEST = ["best_bid", "best_bid_quantity", "best_ask", "best_ask_quantity"]
NUMBERED = range(len(SHAPES))


def first(lines: list[Line], channel: str, kind: str | None = None) -> dict:
    return next(
        event
        for line in lines
        if line.channel == channel
        for event in line.message["events"]
        if kind is None or event["type"] == kind
    )


@pytest.mark.parametrize("number", NUMBERED)
def test_spacing_is_that_of_a_json_writer(recording: Recording, number: int) -> None:
    separators = (", ", ": ") if SHAPES[number].spaced else (",", ":")
    for line in recording.connections()[number]:
        assert line.text == json.dumps(json.loads(line.text), separators=separators)


@pytest.mark.parametrize("number", NUMBERED)
def test_envelopes(recording: Recording, number: int) -> None:
    shape = SHAPES[number]
    keys = {tuple(json.loads(line.text)) for line in recording.connections()[number] if line.channel is not None}
    message = ("channel", *(("client_id",) if shape.documented else ()), "timestamp", "sequence_num", "events")
    if not shape.enveloped:
        assert keys == {message}
        return
    expected = ["data", "capture_ts"] if shape.data_first else ["capture_ts", "data"]
    assert keys == {(*expected, "metadata") if shape.metadata else tuple(expected)}
    assert {tuple(line.message) for line in recording.connections()[number] if line.channel is not None} == {message}


@pytest.mark.parametrize("number", NUMBERED)
def test_key_orders_and_kinds(recording: Recording, number: int) -> None:
    shape, lines = SHAPES[number], recording.connections()[number]
    trade = first(lines, "market_trades")["trades"][0]
    ticker = first(lines, "ticker", "update")["tickers"][0]
    counter = first(lines, "heartbeats")["heartbeat_counter"]
    level = first(lines, "l2_data", "snapshot")["updates"][0]
    if shape.documented:
        assert (list(trade), list(ticker)[-4:], type(counter)) == (DOCUMENTED_TRADE, DOCUMENTED_BEST, str)
        assert {line.message["client_id"] for line in lines if line.channel is not None} == {""}
    else:
        assert (list(trade), list(ticker)[-4:], type(counter)) == (LIVE_TRADE, LIVE_BEST, int)
    assert list(level) == ["side", "event_time", "price_level", "new_quantity"]
    assert level["event_time"] == shape.zero_time


@pytest.mark.parametrize("number", NUMBERED)
def test_order_of_trades_in_an_update(recording: Recording, number: int) -> None:
    rising = falling = 0
    for line in recording.connections()[number]:
        for event in line.message["events"] if line.channel == "market_trades" else ():
            ids = [int(trade["trade_id"]) for trade in event["trades"]]
            if event["type"] == "update" and len(ids) > 1:
                rising += ids == sorted(ids)
                falling += ids == sorted(ids, reverse=True)
    assert (rising == 0, falling == 0) == ((True, False) if SHAPES[number].newest_first else (False, True))


def test_every_number_of_fraction_digits_down_to_none(recording: Recording) -> None:
    captures = {
        line.text.partition('"capture_ts"')[2][:40].partition('"')[2].partition('"')[0] for line in recording.lines
    }
    assert {len(capture) for capture in captures} == {
        0,
        len("2025-11-26T23:58:30+00:00"),
        len("2025-11-26T23:58:30.000001+00:00"),
    }
    fractions = {
        len(line.message["timestamp"]) - len("2025-11-26T23:58:30Z") for line in recording.lines if line.channel
    }
    assert {0, 4, 8, 9, 10} <= fractions
    assert max(fractions) == 10


def test_error_frames_have_no_channel(recording: Recording) -> None:
    assert [line.message for line in recording.lines if line.channel is None] == [
        {"type": "error", "message": "authentication failure"}
    ] * 5


def test_line_of_a_message() -> None:
    message = Message(0, "heartbeats", 3, 1_764_201_600_000_000_000, '{"channel":"heartbeats"}')
    assert Shape().line(message) == (
        '{"capture_ts":"2025-11-27T00:00:00+00:00","data":{"channel":"heartbeats"},'
        '"metadata":{"source":"coinbase","channel":"heartbeats"}}\n'
    )
    assert Shape(enveloped=False).line(message) == '{"channel":"heartbeats"}\n'
    assert Shape(metadata=False, data_first=True, spaced=True).line(
        message._replace(capture_ns=1_764_201_600_000_001_000)
    ) == ('{"data": {"channel":"heartbeats"}, "capture_ts": "2025-11-27T00:00:00.000001+00:00"}\n')
