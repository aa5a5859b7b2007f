"""Lines made from other lines: mostly broken, sometimes valid in a way that nobody wrote by hand."""

from __future__ import annotations

import copy
import json
from random import Random

from tests.reference.strict_json import Json, NotJsonError, load

_BYTES = b'{}[]",:\\ \t\r\x00\x1f\x7f\x80\xc3\xa9\xed\xef\xf0\xff+-.0123456789eEabcdefulnrstTZ_'
_TOKENS = (
    b'" "" {} [] [ ] { } , : \\ \\u0041 \\ud800 \xef\xbb\xbf null true false NaN 0 -0 1.0 1e400 9223372036854775808 '
    b'"x" "x":1, ,"x":[{}] "channel":"user", "channel":"ticker", "data": "type":"error" "side":"ask", "price":"1",'
).split(b" ")
_NUMBERS = (
    "0 -0 1 -1 007 1e5 1E-18 1e-19 -1.5 0.0 0.1 1. .1 +1 1e999 1e-999 0e999 9007199254740993 72867.6 0.00000012345 "
    "92233720368.54775808 99999999999999999999.999999999999999999 1.7976931348623157e308 1e20 123456789.123456789 "
    "9223372036854775807 9223372036854775808 9999999999999999999 99999999999999999999 0.000000000000000010 "
    "0.3333333333333333333333333333 0.00000000000000000000000000010 1764165600 4102444800 1262303999 "
    f"{'1' * 64} {'1' * 65} 0.{'0' * 62}"
).split(" ")
_DATES = (
    "2025-11-26",
    "2025-11-27",
    "2024-02-29",
    "2099-12-31",
    "2025-02-29",
    "2100-01-01",
    "0001-01-01",
    "0000-01-01",
)
_CLOCKS = ("00:00:00Z", "00:00:00.000000001Z", "23:59:59.999999999+00:00", "14:00:00.1Z", "14:00:00.123456Z")
_BAD_CLOCKS = (
    "14:00:60Z",
    "24:00:00Z",
    "14:60:00Z",
    "14:00:00.1234567890Z",
    "14:00:00",
    "14:00:00.Z",
    "14:00:00-00:00",
)
_TIMES = [f"{date}T{clock}" for date in _DATES for clock in (*_CLOCKS, *_BAD_CLOCKS)]
_GO_TIMES = ("2025-11-26 14:00:00 +0000 UTC", "2025-11-26 14:00:00.5 +0000 UTC m=+1.5", "2025-11-26 14:00:00Z")
_WORDS = (
    "snapshot update bid offer ask BUY SELL BTC-USD ETH-USD btc/é .. a\u0000b l2_data market_trades ticker "
    f"ticker_batch candles status heartbeats subscriptions user error x {'A' * 201}"
).split(" ")
_OTHERS: list[Json] = [None, True, False, 0, 1, -1, 7, 1.5, 2**63 - 1, 2**63, 2**64, 1764165600, 1262303999, "", " "]
_NESTED: list[Json] = [[], {}, ["x"], [{}], {"x": []}]
_KINDS: tuple[list[Json], ...] = ([*_NUMBERS], [*_TIMES], [*_GO_TIMES], [*_WORDS], _OTHERS, _NESTED)
_KEYS = (
    "channel",
    "data",
    "type",
    "events",
    "side",
    "price",
    "product_id",
    "capture_ts",
    "metadata",
    "x",
    "sequence_num",
)


def mutate(random: Random, lines: list[bytes], *, steps: int) -> bytes:
    """Return one of `lines` after up to `steps` changes; it may hold line ends."""
    line = random.choice(lines)
    for _ in range(random.randint(0, steps)):
        change_value = random.random() < 0.6
        line = _change_value(random, line) if change_value else _change_bytes(random, line, lines)
    return line


def _change_bytes(random: Random, line: bytes, lines: list[bytes]) -> bytes:
    start = random.randint(0, len(line))
    end = min(len(line), start + random.choice((0, 1, 1, 2, 8, 64)))
    head, middle, tail = line[:start], line[start:end], line[end:]
    match random.randrange(8):
        case 0:
            return head + bytes([random.choice(_BYTES)]) + tail
        case 1:
            return head + bytes([random.choice(_BYTES)]) + middle + tail
        case 2:
            return head + tail
        case 3:
            return head + middle + middle + tail
        case 4:
            return head + random.choice(_TOKENS) + tail
        case 5:
            return head + random.choice((b"", b"\n", b"\r\n")) + random.choice(lines)
        case 6:
            return tail + middle + head
        case _:
            return line + random.choice((b"", b" ", b"\r", b"\n")) + random.choice(lines)


def _change_value(random: Random, line: bytes) -> bytes:
    """Change one place of the line's value and write it anew, keys in another order, other escapes and spaces."""
    try:
        value = load(line)
    except NotJsonError:
        return line
    if not isinstance(value, dict) or line.count(b"[") > 500:  # what is nested that deep cannot be written anew
        return line
    _change_inside(random, value)
    separators = random.choice(((",", ":"), (",", ":"), (", ", ": "), (" ,\t", "\r: ")))
    return json.dumps(value, separators=separators, ensure_ascii=random.random() < 0.3).encode("utf-8", "surrogatepass")


def _change_inside(random: Random, value: Json) -> None:
    while True:
        if isinstance(value, dict) and value:
            if random.random() < 0.3:
                _shuffle(random, value)
            nested = [key for key, inner in value.items() if isinstance(inner, dict | list) and inner]
            key = random.choice(nested if nested and random.random() < 0.8 else list(value))
            inner = value[key]
            if not isinstance(inner, dict | list) or random.random() < 0.1:
                _change_entry(random, value, key)
                return
        elif isinstance(value, list) and value:
            index = random.randrange(len(value))
            inner = value[index]
            if random.random() < 0.15 or not isinstance(inner, dict | list):
                value[index : index + 1] = random.choice(([], [inner, copy.deepcopy(inner)], [_any(random)]))
                return
        else:
            return
        value = inner


def _change_entry(random: Random, value: dict[str, Json], key: str) -> None:
    kind = random.randrange(12)
    if kind == 0:
        del value[key]
    elif kind == 1:
        value[random.choice(_KEYS)] = value.pop(key)
    elif kind == 2:
        value[random.choice(_KEYS)] = _any(random)
    elif kind == 3:
        value[key] = _any(random)
    elif key == "sequence_num":
        value[key] = random.randint(0, 12)
    else:
        value[key] = _like(random, value[key])


def _any(random: Random) -> Json:
    return copy.deepcopy(random.choice(random.choice(_KINDS)))  # nothing is in two places, so no change makes a circle


def _like(random: Random, value: Json) -> Json:
    """Return a value of the same kind, which may be valid where `value` was."""
    if not isinstance(value, str):
        return random.choice(_OTHERS)
    if ":" in value:
        return random.choice([_TIMES, _TIMES, list(_GO_TIMES)][random.randrange(3)])
    return random.choice(_NUMBERS if value[:1].isdigit() else _WORDS)


def _shuffle(random: Random, value: dict[str, Json]) -> None:
    keys = list(value)
    random.shuffle(keys)
    for key in keys:
        value[key] = value.pop(key)
