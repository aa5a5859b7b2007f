"""Values of every length around the 32 bytes that the kernel looks at at a time, and those that are nearly the same."""

from __future__ import annotations

from itertools import product

import pytest

from etl_ray.scan import LineParser, kernel
from etl_ray.tables.schema import Numbers
from tests.scan.fuzz import differs
from tests.scan.outcome import COINBASE, parse
from tests.scan.wire import TICKER, book, event, level, message, write

LINE = write(message("l2_data", book("update", "BTC-USD", level("bid", "1", "2"))))
TIME = b"2025-11-26T14:00:00.1Z"


def slow_lines(lines: list[bytes]) -> int:
    parser = LineParser(COINBASE, "float64", block_bytes=1 << 24)
    return sum(parsed.slow_lines for parsed in parse(parser, b"\n".join(lines)))


def with_client_id(text: bytes) -> bytes:
    return LINE.replace(b'{"channel"', b'{"client_id":"' + text + b'","channel"')


def test_strings_of_every_length() -> None:
    lines = [with_client_id(b"x" * length) for length in range(3 * kernel.LANES)]
    assert slow_lines(lines) == 0
    assert differs(lines, "float64") is None


@pytest.mark.parametrize("odd", [b"\\", b"\\n", b"\\u0041", b'"', b"\x1f", b"\x7f", b"\x80", b"\xc3\xa9", b"\0"])
def test_odd_bytes_everywhere_in_strings(odd: bytes) -> None:
    length = 2 * kernel.LANES + 3
    lines = [with_client_id(b"x" * at + odd + b"x" * (length - at)) for at in range(length + 1)]
    assert slow_lines(lines) == len(lines)
    assert differs(lines, "float64") is None


@pytest.mark.parametrize("numbers", ["float64", "decimal"])
def test_numbers_of_every_length(numbers: Numbers) -> None:
    digits = "9071635428906173524890617352489061735248"
    texts = [digits[:whole] + "." + digits[:scale] for whole, scale in product(range(36), range(36))]
    texts += [digits[:whole] for whole in range(41)]
    lines = [LINE.replace(b'"1"', b'"%s"' % text.encode()) for text in texts]
    assert differs(lines, numbers) is None
    few = [text for text in texts if text[:1].isdigit() and text[-1:].isdigit() and len(text.replace(".", "")) <= 18]
    assert slow_lines(lines) == len(lines) - len(few)


def test_integers_of_every_length() -> None:
    digits = b"9071635428906173524890617352489061735248"
    lines = [LINE.replace(b":7,", b":%s," % digits[:length]) for length in range(1, 41)]
    lines += [LINE.replace(b":7,", b':"%s",' % digits[:length]) for length in range(41)]
    lines += [LINE.replace(b":7,", b':"%s",' % digits[1:length]) for length in range(2, 41)]
    lines += [LINE.replace(b":7,", b":%s," % digits[1:length]) for length in range(2, 41)]
    assert differs(lines, "float64") is None


def test_times_that_are_nearly_those_before() -> None:
    """A time is taken for the one before it only if all its bytes are the same, the quote and what follows it too."""
    lines = []
    known = LINE[LINE.index(b'"event_time"') :]
    known = known[: known.index(TIME)] + TIME
    for time in (
        TIME,
        TIME[:-3] + b"Z",
        TIME[:-1] + b"23456789Z",
        TIME[:-1] + b"+00:00",
        TIME[:-1] + b"23456789+00:00",
    ):
        same = LINE.replace(known, known.replace(TIME, time))
        for at in range(len(time) + 1):
            for odd in (b"", b"0", b"1", b"9", b"Z", b'"', b" "):
                lines += [same, same.replace(time, time[:at] + odd + time[at + 1 :])]
                lines += [same, same.replace(time, time[:at] + odd + time[at:])]
        lines += [line for odd in (b"", b"x", b" ", b"'") for line in (same, same.replace(time + b'"', time + odd))]
    assert differs(lines, "float64") is None
    assert slow_lines(lines) < len(lines) // 2


def test_names_of_every_length_and_nearly_the_same() -> None:
    names = [b"ABCDEFGH" * 9]
    texts = [name[:length] for name in names for length in range(1, 73)]
    texts += [text[:at] + b"Z" + text[at + 1 :] for text in texts[:66] for at in range(len(text))]
    lines = [LINE.replace(b"BTC-USD", text) for text in texts if set(texts) and text]
    lines = lines[:1500] + lines[:1500][::-1]  # fewer than the kernel knows at a time
    assert differs(lines, "float64") is None


@pytest.mark.parametrize("key", ["channel", "timestamp", "events", "product_id", "event_time", "side", "new_quantity"])
def test_keys_that_are_nearly_known(key: str) -> None:
    word = key.encode()
    lines = []
    for at in range(len(word) + 1):
        for odd in (b"", b"x", b'"', b" ", b"\\u0041", b"\0"):
            lines += [LINE, LINE.replace(b'"%s"' % word, b'"%s%s%s"' % (word[:at], odd, word[at + 1 :]))]
            lines += [LINE, LINE.replace(b'"%s"' % word, b'"%s%s%s"' % (word[:at], odd, word[at:]))]
    lines += [LINE, LINE.replace(b'"%s":' % word, b'"%s" :' % word), LINE.replace(b'"%s":' % word, b'"%s"x' % word)]
    assert differs(lines, "float64") is None


@pytest.mark.parametrize("numbers", ["float64", "decimal"])
@pytest.mark.parametrize("key", ["low_24_h", "price", "time", "product_id", "type"])
def test_nulls(key: str, numbers: Numbers) -> None:
    values = [b'""', b"null", b"nul", b"nulll", b"Null", b"nuLl", b"nulL", b"nxll", b'" "', b'"null"', b"[]", b"0"]
    known = write(message("ticker", event("update", tickers=[TICKER | {"time": "2025-11-26T14:00:00Z", key: "HERE"}])))
    lines = [known.replace(b'"HERE"', value) for value in values]
    assert differs(lines, numbers) is None
    slow = {"low_24_h": [0, 0], "time": [0, 0], "type": [0, 1]}  # a ticker's type may be any string
    assert [slow_lines([line]) for line in lines[:2]] == slow.get(key, [1, 1])
