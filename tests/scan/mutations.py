"""Damage and variation of lines: of their bytes, of their tokens, and of their structure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from random import Random
from typing import TypeAlias

Node: TypeAlias = "list[Node] | Pairs | str | bytes | None"


def _words(text: str) -> list[str]:
    return text.split(" ")


class Pairs(list[tuple[str, "Node"]]):
    """A JSON object that may hold a key twice."""


NUMBERS = [
    *_words(
        "0 0.0 00.10 000 -0 -0.0 -1.5 1 1.50 1e5 1E-5 1e+5 1e999 1e-999 0e999 1e1000 1.0e18 "
        "11111111111111111 999999999999999999 1111111111111111111 99999999999999999999 100000000000000000000 "
        "1234567890123456789012345 0.000000000000000001 0.0000000000000000001 0.10000000000000000000 "
        "0.123456789012345678 9007199254740992 9007199254740993 9007199254740995 90071992547409.93 9.007199254740993 "
        "123456789012345.678 12345678901234567.8 000000000000000001.5 0000000000000000001 1. .5 +1 1_0 0x10 NaN "
        "Infinity 1e 1e+ 1.e5 - -- 1-1 1..1 1,5 --1 179769313486231570000000000000000000000 2.5e-324 2.4e-324"
    ),
    "",
    " ",
    " 1",
    "1 ",
    "١",
    "1\\u0030",
    "1" * 38,
    "1" * 64,
    "1" * 65,
    "0." + "0" * 62,
    "1." + "0" * 61,
]
INTEGERS = _words(
    "0 -0 1 -1 7 01 007 1.0 1e3 1E0 12242 999999999999999999 1000000000000000000 9223372036854775807 "
    "9223372036854775808 18446744073709551615 18446744073709551616 1764165600 1262304000 1262303999 4102444799 "
    "4102444800 111111111111111111111111 true false null"
)
TIMES = _words(
    "2025-11-26T14:00:00Z 2025-11-26T14:00:00.1Z 2025-11-26T14:00:00.123456789Z 2025-11-26T14:00:00.000000000Z "
    "2025-11-26T14:00:00.1234567890Z 2025-11-26T14:00:00.Z 2025-11-26T14:00:00+00:00 2025-11-26T14:00:00.5+00:00 "
    "2025-11-26T14:00:00-00:00 2025-11-26T14:00:00+01:00 2025-11-26T14:00:00+0000 2025-11-26T14:00:00z "
    "2025-11-26t14:00:00Z 2025-11-26T14:00:60Z 2025-11-26T14:60:00Z 2025-11-26T24:00:00Z 2025-11-26T14:00Z "
    "2025-11-26T14:00:00 2025-02-29T00:00:00Z 2024-02-29T23:59:59.999999999Z 2025-11-31T00:00:00Z "
    "2025-13-01T00:00:00Z 2025-00-01T00:00:00Z 2025-01-00T00:00:00Z 2025-01-32T00:00:00Z 1970-01-01T00:00:00Z "
    "0001-01-01T00:00:00Z 0000-01-01T00:00:00Z 2009-12-31T23:59:59.999999999Z 2010-01-01T00:00:00Z "
    "2099-12-31T23:59:59.999999999Z 2100-01-01T00:00:00Z 2100-02-29T00:00:00Z "
    "1900-02-29T00:00:00Z 2000-02-29T00:00:00Z 9999-12-31T23:59:59Z"
)
GO_TIMES = [
    "2025-11-26 14:00:00 +0000 UTC" + tail
    for tail in ("", " m=+1", " m=-1.5", " m=1", " m=+", " m=+1.", " m", " ", "Z")
] + [
    "2025-11-26 14:00:00.123456789 +0000 UTC m=+12242.233881028",
    "2025-11-26 14:00:00.1 +0100 UTC",
    "2025-11-26 14:00:00Z",
    "2025-11-26T14:00:00 +0000 UTC",
    "0001-01-01 00:00:00 +0000 UTC",
]
WORDS = [
    *_words(
        "snapshot update bid offer ask BUY SELL buy Bid l2_data market_trades ticker ticker_batch candles status "
        "heartbeats subscriptions user futures_balance_summary error BTC-USD ETH-USD A.B_C-9 btc-usd . .. .X "
        "BTC/USD % é é/ª x"
    ),
    "",
    " ",
    "BTC-USD ",
    "\\x",
    '\\"',
    "\x1f",
    "\x7f",
    "X" * 64,
    "X" * 65,
    "X" * 200,
    "X" * 201,
    "é" * 33,
    "é" * 34,
    "\\u0042TC-USD",
    "a\\nb",
]
OTHERS = ["null", "true", "false", "[]", "{}", "[[]]", "[{}]", '{"x":"y"}', '[""]', "[1]", "1.5", '"data"', "-"]
KEYS = [
    *_words(
        "channel data type events side price product_id capture_ts metadata sequence_num timestamp client_id updates "
        "trades tickers candles products subscriptions event_time x message id start time current_time "
        "heartbeat_counter"
    ),
    "",
    "chann\\u0065l",
    "é",
    "typ",
    "typee",
    "price_level",
    "new_quantity",
    "trade_id",
]
_QUOTED = [f'"{word}"' for word in [*NUMBERS, *INTEGERS, *TIMES, *GO_TIMES, *WORDS]]
VALUES = [*_QUOTED, *INTEGERS, *OTHERS]

BYTES = b"{}[]\",:\\ \t\r\n\x00\x01\x0b\x1f\x7f\x80\xa0\xc3\xe2\xed\xef\xff+-.0159eEaTZxmbu/_'"
INNER = (
    *(
        b"\\ \\\\ \\x \\/ \\n \\u12 \\u0041 \\ud800 \\ud83d\\ude00 \x00 \x01 \x1f \x7f \x80 \xff \xc3 \xc3\xa9".split(
            b" "
        )
    ),
    *(b"\xc0\x80 \xed\xa0\x80 \xf0\x9f\x98\x80 \xf4\x90\x80\x80 \xef\xbb\xbf / ' { ] , :".split(b" ")),
    *(b'\\"', b'"', b'","', b" ", b"\t", b"\r", b"\n"),
)
"""What may be harmless, need an escape, be one, or be no UTF-8, somewhere in a string."""
_STRING = re.compile(rb'"[^"\\]*"')
_INTEGER = re.compile(rb"(?<=[:,\[ ])[0-9]+(?=[,}\] ])")
_VALUE = re.compile(rb'(?<=[:,\[ ])("[^"\\]*"(?! *:)|[0-9]+)')
_STRUCTURE = re.compile(rb"[{}\[\],:]")


def mutate(random: Random, lines: Sequence[bytes]) -> bytes:
    """Return one of `lines` after a few changes; it may hold line ends."""
    line = random.choice(lines)
    for _ in range(random.choice((0, 1, 1, 1, 1, 2, 2, 3))):
        line = random.choice(CHANGES)(random, line, lines)
    return line


def replaced_values(line: bytes) -> Iterator[bytes]:
    """Return the line with each of its values replaced by each of `VALUES`, one at a time."""
    for match in _VALUE.finditer(line):
        for value in VALUES:
            yield line[: match.start()] + value.encode() + line[match.end() :]


def _flip(random: Random, line: bytes, lines: Sequence[bytes]) -> bytes:
    at = random.randrange(len(line) + 1)
    return line[:at] + bytes([random.randrange(256)]) + line[at + 1 :]


def _replace(random: Random, line: bytes, lines: Sequence[bytes]) -> bytes:
    at = random.randrange(len(line) + 1)
    return line[:at] + bytes([random.choice(BYTES)]) + line[at + random.randrange(2) :]


def _cut(random: Random, line: bytes, lines: Sequence[bytes]) -> bytes:
    at = random.randrange(len(line) + 1)
    return line[:at] + line[at + random.choice((1, 1, 2, 3, 8, 40, 10_000)) :]


def _double(random: Random, line: bytes, lines: Sequence[bytes]) -> bytes:
    at = random.randrange(len(line) + 1)
    end = at + random.choice((1, 1, 2, 8, 40, 200))
    return line[:end] + line[at:]


def _swap(random: Random, line: bytes, lines: Sequence[bytes]) -> bytes:
    one, two, three = sorted(random.randrange(len(line) + 1) for _ in range(3))
    return line[:one] + line[two:three] + line[one:two] + line[three:]


def _join(random: Random, line: bytes, lines: Sequence[bytes]) -> bytes:
    return line + random.choice((b"", b"\n", b"\r\n", b" ", b",")) + random.choice(lines)


def _space(random: Random, line: bytes, lines: Sequence[bytes]) -> bytes:
    """Put whitespace where JSON allows it, and at the ends."""
    blank = random.choice((b" ", b"\t", b"\r", b"  ", b"\r\t "))
    places = [0, len(line), *(match.start() + random.randrange(2) for match in _STRUCTURE.finditer(line))]
    for at in sorted(random.choices(places, k=random.randrange(1, 5)), reverse=True):
        line = line[:at] + blank + line[at:]
    return line


def _token(random: Random, line: bytes, lines: Sequence[bytes]) -> bytes:
    """Put another value in the place of a string or an integer, or take away or give it quotes."""
    found = list((_STRING if random.random() < 0.8 else _INTEGER).finditer(line))
    if not found:
        return line
    match = random.choice(found)
    choice = random.randrange(4)
    if choice == 0:
        value = match[0].strip(b'"') if match[0].startswith(b'"') else b'"' + match[0] + b'"'
    elif choice == 1:
        value = _escaped(random, match[0])
    else:
        value = _other(random, match[0].decode("utf-8", "replace")).encode()
    return line[: match.start()] + value + line[match.end() :]


def _other(random: Random, token: str) -> str:
    """Return another value, mostly of the same sort."""
    if random.random() < 0.3:
        return random.choice(VALUES)
    if not token.startswith('"'):
        return random.choice(INTEGERS)
    text = token[1:-1]
    if text.isdigit():
        return f'"{random.choice((*INTEGERS, *NUMBERS))}"'
    if text.replace(".", "").replace("-", "").isdigit():
        return f'"{random.choice(NUMBERS)}"'
    if text.startswith("20") and ":" in text:
        return f'"{random.choice(GO_TIMES if " " in text else TIMES)}"'
    return f'"{random.choice(WORDS)}"'


def _within(random: Random, line: bytes, lines: Sequence[bytes]) -> bytes:
    """Put something into a string that not every string may hold."""
    found = list(_STRING.finditer(line))
    if not found:
        return line
    match = random.choice(found)
    at = random.randrange(match.start() + 1, match.end())
    return line[:at] + random.choice(INNER) + line[at:]


def _escaped(random: Random, token: bytes) -> bytes:
    at = random.randrange(1, max(len(token), 2))
    return token[:at] + b"\\u%04x" % token[at] + token[at + 1 :] if at < len(token) - 1 else token


def _digits(random: Random, line: bytes, lines: Sequence[bytes]) -> bytes:
    """Change a digit, or put some before or after it."""
    places = [at for at, char in enumerate(line) if 48 <= char <= 57]
    if not places:
        return line
    at = random.choice(places)
    digits = b"".join(b"%d" % random.randrange(10) for _ in range(random.choice((1, 1, 1, 2, 6, 12))))
    return line[:at] + digits + line[at + random.randrange(2) :]


def _restructure(random: Random, line: bytes, lines: Sequence[bytes]) -> bytes:
    """Read the line as JSON, change an object or a list somewhere within it, and write it again."""
    found = _nodes(line)
    if found is None:
        return line
    root, count = found
    at = random.randrange(count)
    blank = random.choice(("", "", "", " ", "\t"))
    return _written(root, random, [at], blank).encode("utf-8", "surrogatepass")


@lru_cache(maxsize=4096)
def _nodes(line: bytes) -> tuple[Node, int] | None:
    """Return the structure of a line, which is not changed any more, and how many objects and lists it has."""
    count = 0

    def pairs(items: list[tuple[str, object]]) -> Pairs:
        nonlocal count
        count += 1
        return Pairs((key, value) for key, value in items)  # type: ignore[misc]

    try:
        root = json.loads(line, object_pairs_hook=pairs, parse_int=str.encode, parse_float=str.encode)
    except (ValueError, RecursionError):
        return None
    return (root, max(count, 1)) if isinstance(root, Pairs) else None


def _written(node: Node, random: Random, left: list[int], blank: str) -> str:
    """Write a node; the object that is number `left` from here on is written changed."""
    if isinstance(node, Pairs):
        left[0] -= 1
        items = _changed(random, node) if left[0] == -1 else node
        inner = f",{blank}".join(f"{_word(key)}:{blank}{_written(value, random, left, blank)}" for key, value in items)
        return f"{{{inner}}}"
    if isinstance(node, list):
        return f"[{f',{blank}'.join(_written(item, random, left, blank) for item in node)}]"
    if isinstance(node, bytes):
        return node.decode()
    return _word(node) if isinstance(node, str) else json.dumps(node)


def _word(text: str) -> str:
    return f'"{text}"' if "\\u" in text else json.dumps(text, ensure_ascii=False)


def _changed(random: Random, pairs: Pairs) -> Pairs:
    items = list(pairs)
    choice = random.randrange(8)
    if choice <= 1:
        random.shuffle(items)
    elif choice == 2:
        items.reverse()
    elif choice == 3 and items:
        del items[random.randrange(len(items))]
    elif choice == 4 and items:
        items.insert(random.randrange(len(items) + 1), random.choice(items))
    elif choice == 5 and len(items) > 1:
        one, two = random.sample(range(len(items)), 2)
        items[one], items[two] = (items[one][0], items[two][1]), (items[two][0], items[one][1])
    elif choice == 6 and items:
        at = random.randrange(len(items))
        items[at] = (random.choice(KEYS), items[at][1])
    else:
        at = random.randrange(len(items) + 1)
        items.insert(at, (random.choice(KEYS), random.choice((*WORDS, b"null", b"[]", b"{}", b"1"))))
    return Pairs(items)


CHANGES: tuple[Callable[[Random, bytes, Sequence[bytes]], bytes], ...] = (
    _flip,
    _replace,
    _cut,
    _double,
    _swap,
    _join,
    _space,
    _space,
    _token,
    _token,
    _token,
    _within,
    _within,
    _digits,
    _digits,
    _restructure,
    _restructure,
    _restructure,
)
