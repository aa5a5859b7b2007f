"""What real recordings do otherwise than the documentation does not make lines slow: key order, envelope, spaces."""

from __future__ import annotations

import json
import re
from random import Random

import pytest

from etl_ray.scan import LineParser
from tests.scan.fuzz import differs
from tests.scan.outcome import COINBASE, parse
from tests.scan.wire import CANDLE, STYLES, TICKER, JsonObject, Style, book, event, level, message, trade, write

CHANNELS: dict[str, JsonObject] = {
    "l2_data": message(
        "l2_data",
        book("snapshot", "BTC-USD", level("bid", "72867.6", "0"), level("offer", "83328.01", "0.5")),
        book("update", "ETH-USD", level("ask", "1", "2")),
    ),
    "market_trades": message("market_trades", event("update", trades=[trade("1100253488", "SELL"), trade(7, "BUY")])),
    "ticker": message("ticker", event("update", tickers=[TICKER, TICKER | {"best_bid": "", "best_ask": None}])),
    "heartbeats": message(
        "heartbeats",
        {"current_time": "2025-11-26 14:00:00.167686736 +0000 UTC m=+12242.233881028", "heartbeat_counter": 12242},
        {"current_time": "", "heartbeat_counter": "12243"},
    ),
    "candles": message("candles", event("snapshot", candles=[CANDLE, CANDLE | {"start": 1764165300}])),
}


def slow_lines(lines: list[bytes]) -> int:
    parser = LineParser(COINBASE, "float64", block_bytes=1 << 20)
    return sum(parsed.slow_lines for parsed in parse(parser, b"\n".join(lines)))


def shuffled(value: object, random: Random) -> object:
    """Return the value with the keys of each object within it in another order."""
    if isinstance(value, dict):
        items = [(key, shuffled(item, random)) for key, item in value.items()]
        random.shuffle(items)
        return dict(items)
    return [shuffled(item, random) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("style", STYLES, ids=str)
@pytest.mark.parametrize("channel", CHANNELS)
def test_every_style(channel: str, style: Style) -> None:
    line = write(CHANNELS[channel], style)
    lines = [line, b" \t" + line + b"\t \r", line]
    assert slow_lines(lines) == 0
    assert differs(lines, "float64") is None


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,\t", " : ")], ids=["dense", "spaced", "odd"])
@pytest.mark.parametrize("channel", CHANNELS)
def test_every_key_order(channel: str, separators: tuple[str, str]) -> None:
    random = Random(channel)
    lines = []
    for number in range(200):
        content = {**CHANNELS[channel], "client_id": "x"} if number % 3 else CHANNELS[channel]
        if number % 2:
            content = {"capture_ts": "2025-11-26T14:00:00.123456+00:00", "data": content, "metadata": {"source": "x"}}
        lines.append(json.dumps(shuffled(content, random), separators=separators).encode())
    assert len(set(lines)) > 100
    assert slow_lines(lines) == 0
    assert differs(lines, "float64") is None


def test_channels_that_take_turns() -> None:
    """Each message finds what another channel and order has left behind."""
    random = Random(1)
    lines = [
        json.dumps(shuffled(CHANNELS[channel], random), separators=(",", ":")).encode()
        for _ in range(100)
        for channel in CHANNELS
    ]
    assert slow_lines(lines) == 0
    assert differs(lines, "decimal") is None


def test_unknown_keys_make_lines_slow() -> None:
    lines = [write({**content, "new": 1}) for content in CHANNELS.values()]
    assert slow_lines(lines) == len(lines)
    assert differs(lines, "float64") is None


@pytest.mark.parametrize("channel", CHANNELS)
def test_duplicate_keys_make_lines_slow(channel: str) -> None:
    """However often a key comes: the kernel notes by position which key it expects."""
    line = write({"client_id": "x", **CHANNELS[channel]}, Style(envelope=True))
    # What is in metadata is not looked at.
    found = re.findall(rb'"(\w+)":("[^"]*"|[0-9]+)', line[: line.index(b'"metadata"')])
    assert len(found) > 6
    lines = []
    for key, value in found:
        pair = b'"%s":%s' % (key, value)
        lines += [line.replace(pair, b",".join([pair] * count), 1) for count in (2, 3, 30)]
    assert slow_lines(lines) == len(lines)
    assert differs(lines, "float64") is None
