"""Bad lines: each is rejected with its place and a reason, and the lines beside it are kept."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from tests.bad_input.recordings import good, good_lines, kept, run
from tests.orchestrators.outputs import rows_of

SEGMENT = "segment_20251126T14_00001.ndjson"
LINE = good(2)
CHANNELS = "l2_data, market_trades, ticker, ticker_batch, candles, status, heartbeats, subscriptions"
INTEGER = "expected an integer from 0 to 2^63 - 1"
PRODUCT = "expected a product id of at most 200 bytes when percent-encoded"
TIME = "expected a UTC time with 0 to 9 fraction digits"
LEVEL = "events[0].updates[0]"
EVENTLESS = b'{"channel":"l2_data","timestamp":"2025-11-26T14:00:00Z","sequence_num":2%s}'


def changed(old: bytes, new: bytes) -> bytes:
    """Return the good line with one thing changed."""
    assert LINE.count(old) == 1
    return LINE.replace(old, new)


BROKEN_JSON = {
    "garbage": (b"garbage", 0),
    "single quotes": (b"{'a':1}", 1),
    "cut": (LINE[:100], 100),
    "two messages in a line": (LINE + good(3), len(LINE)),
    "zero bytes": (b"\0" * 7, 0),
    "a control character": (changed(b"BTC", b"\x01"), LINE.index(b"BTC")),
    "behind letters of two bytes": ('{"é":é'.encode(), 6),
    "nested without end": (b"[" * 5000, 1025),
}
FF_BYTES = {
    "alone": (b"\xff", 0),
    "within a name": (changed(b"BTC", b"BT\xff"), LINE.index(b"C-USD")),
    "behind letters of two bytes": (b"\xc3\xa9\xc3\xa9\xff", 4),
}
WRONG_TYPES = {
    "a list": (b"[1]", "expected a JSON object, found a list"),
    "null": (b"null", "expected a JSON object, found nothing"),
    "data": (b'{"data":[1]}', "data: expected an object, found a list"),
    "channel": (changed(b'"l2_data"', b"7"), f"channel: expected one of {CHANNELS}, found 7"),
    "timestamp": (changed(b'"2025-11-26T14:00:00.000000002Z"', b"1764165600"), f"timestamp: {TIME}, found 1764165600"),
    "sequence_num, a boolean": (changed(b'num":2', b'num":true'), f"sequence_num: {INTEGER}, found true"),
    "sequence_num, a float": (changed(b'num":2', b'num":2.0'), f"sequence_num: {INTEGER}, found 2.0"),
    "sequence_num, too large": (
        changed(b'num":2', b'num":"99999999999999999999"'),
        f"sequence_num: {INTEGER}, found '99999999999999999999'",
    ),
    "events": (EVENTLESS % b',"events":{}', "events: expected a list, found an object"),
    "event": (EVENTLESS % b',"events":[7]', "events[0]: expected an object, found a number"),
    "product_id": (changed(b'"BTC-USD"', b"[1]"), f"events[0].product_id: {PRODUCT}, found [1]"),
    "price_level": (changed(b'"1.5"', b"1.5"), f"{LEVEL}.price_level: expected a decimal string, found 1.5"),
    "new_quantity": (changed(b':"2"', b":{}"), f"{LEVEL}.new_quantity: expected a decimal string, found {{}}"),
}
WRONG_TYPES["subscriptions, under a long name"] = (
    b'{"channel":"subscriptions","timestamp":"2025-11-26T14:00:00Z","sequence_num":2,"events":[{"subscriptions":{"%s":7}}]}'
    % (b"x" * 70_000),
    f"events[0].subscriptions.'{'x' * 56}...: expected a list, found a number",
)
MISSING = {
    "everything": (b"{}", f"channel: expected one of {CHANNELS}, found nothing"),
    "channel": (changed(b'"channel":"l2_data",', b""), f"channel: expected one of {CHANNELS}, found nothing"),
    "timestamp": (changed(b'"timestamp":"2025-11-26T14:00:00.000000002Z",', b""), f"timestamp: {TIME}, found nothing"),
    "sequence_num": (changed(b'"sequence_num":2,', b""), f"sequence_num: {INTEGER}, found nothing"),
    "events": (EVENTLESS % b"", "events: expected a list, found nothing"),
    "product_id": (changed(b'"product_id":"BTC-USD",', b""), "events[0].product_id: expected a value, found nothing"),
    "side": (changed(b'"side":"bid",', b""), f"{LEVEL}.side: expected a value, found nothing"),
    "price_level, null": (changed(b'"1.5"', b"null"), f"{LEVEL}.price_level: expected a value, found nothing"),
    "price_level, empty": (changed(b'"1.5"', b'""'), f'{LEVEL}.price_level: expected a value, found ""'),
}
NOT_JSON = ("NaN", "Infinity", "-Infinity", "1e999")
NO_NUMBERS = {
    "NaN": "expected a decimal string, found 'NaN'",
    "Infinity": "expected a decimal string, found 'Infinity'",
    "-inf": "expected a decimal string, found '-inf'",
    "1e999": "expected a number within the range of float64, found '1e999'",
}


def assert_rejected(line: bytes, reason: str, input_dir: Path, output_dir: Path) -> None:
    """Run the job over two good lines with a bad one between; hold the whole row of `rejects` and what is kept.

    `reason` is a pattern: what the JSON parser calls a problem is its own affair, the place is not.
    """
    (input_dir / SEGMENT).write_bytes(good(1) + b"\n" + line + b"\n" + good(3) + b"\n")
    summary = run(input_dir, output_dir)
    assert (summary.lines, summary.accepted, summary.rejects) == (3, 2, 1)
    assert kept(output_dir) == {SEGMENT: [1.0, 3.0]}
    (row,) = rows_of(output_dir, "rejects")
    channel, raw, told = row.pop("channel"), row.pop("raw"), str(row.pop("reason"))
    assert re.fullmatch(reason, told), told
    assert row == {
        "date": "2025-11-26",
        "segment": SEGMENT,
        "line": 2,
        "byte_offset": len(good(1)) + 1,
        "length": len(line),
        "sha256": hashlib.sha256(line).hexdigest(),
    }
    assert raw == (line[:65_536] if channel in CHANNELS.split(", ") else None)


@pytest.mark.parametrize(("line", "at"), BROKEN_JSON.values(), ids=BROKEN_JSON)
def test_broken_json(line: bytes, at: int, input_dir: Path, output_dir: Path) -> None:
    assert_rejected(line, rf"not JSON: [^()]+ \(byte {at:,} of the line\)", input_dir, output_dir)


@pytest.mark.parametrize(("line", "at"), FF_BYTES.values(), ids=FF_BYTES)
def test_0xff_bytes(line: bytes, at: int, input_dir: Path, output_dir: Path) -> None:
    reason = rf"not JSON: expected UTF-8, found 0xff \(byte {at} of the line\)"
    assert_rejected(line, reason, input_dir, output_dir)


@pytest.mark.parametrize(("line", "reason"), WRONG_TYPES.values(), ids=WRONG_TYPES)
def test_a_wrong_type(line: bytes, reason: str, input_dir: Path, output_dir: Path) -> None:
    assert_rejected(line, re.escape(reason), input_dir, output_dir)


@pytest.mark.parametrize(("line", "reason"), MISSING.values(), ids=MISSING)
def test_a_missing_field(line: bytes, reason: str, input_dir: Path, output_dir: Path) -> None:
    assert_rejected(line, re.escape(reason), input_dir, output_dir)


@pytest.mark.parametrize("channel", ["level3", "L2_DATA", "", "l2_data "])
def test_an_unknown_channel(channel: str, input_dir: Path, output_dir: Path) -> None:
    reason = f"channel: expected one of {CHANNELS}, found {channel!r}"
    assert_rejected(changed(b"l2_data", channel.encode()), re.escape(reason), input_dir, output_dir)


@pytest.mark.parametrize("side", ["buy", "BID", "bid "])
def test_an_unknown_side(side: str, input_dir: Path, output_dir: Path) -> None:
    reason = f"{LEVEL}.side: expected bid or offer or ask, found {side!r}"
    assert_rejected(changed(b'"bid"', f'"{side}"'.encode()), re.escape(reason), input_dir, output_dir)


@pytest.mark.parametrize("number", NOT_JSON)
def test_nan_and_infinities_are_no_json(number: str, input_dir: Path, output_dir: Path) -> None:
    at = LINE.index(b'"1.5"')
    reason = rf"not JSON: [^()]+ \(byte ({at}|{at + 1}) of the line\)"
    assert_rejected(changed(b'"1.5"', number.encode()), reason, input_dir, output_dir)


@pytest.mark.parametrize(("number", "problem"), NO_NUMBERS.items(), ids=NO_NUMBERS)
def test_nan_and_infinities_in_strings(number: str, problem: str, input_dir: Path, output_dir: Path) -> None:
    reason = re.escape(f"{LEVEL}.price_level: {problem}")
    assert_rejected(changed(b"1.5", number.encode()), reason, input_dir, output_dir)


def test_of_duplicate_keys_the_last_wins(input_dir: Path, output_dir: Path) -> None:
    lines = [
        changed(b'"side":"bid"', b'"side":"no side","side":"offer"'),
        changed(b'"price_level":"1.5"', b'"price_level":"9","price_level":7,"price_level":"2.5"'),
        changed(b'"channel":"l2_data"', b'"channel":"level3","channel":"l2_data"'),
    ]
    (input_dir / SEGMENT).write_bytes(b"\n".join(lines))
    assert run(input_dir, output_dir).accepted == 3
    found = [(row["line"], row["side"], row["price"]) for row in rows_of(output_dir, "level2")]
    assert found == [(1, "ask", 1.5), (2, "bid", 2.5), (3, "bid", 1.5)]


def test_of_duplicate_keys_the_last_is_the_one_that_is_rejected(input_dir: Path, output_dir: Path) -> None:
    reason = re.escape(f"{LEVEL}.side: expected bid or offer or ask, found 'no side'")
    assert_rejected(changed(b'"side":"bid"', b'"side":"bid","side":"no side"'), reason, input_dir, output_dir)


def test_a_byte_order_mark_is_skipped_at_the_beginning_of_a_segment(input_dir: Path, output_dir: Path) -> None:
    (input_dir / SEGMENT).write_bytes(b"\xef\xbb\xbf" + good(1) + b"\nbad\n" + good(2))
    assert run(input_dir, output_dir).accepted == 2
    assert kept(output_dir) == {SEGMENT: [1.0, 2.0]}
    (reject,) = rows_of(output_dir, "rejects")
    assert (reject["line"], reject["byte_offset"], reject["length"]) == (2, 3 + len(good(1)) + 1, 3)


def test_a_byte_order_mark_elsewhere(input_dir: Path, output_dir: Path) -> None:
    reason = r"not JSON: .*byte order mark.* \(byte 0 of the line\)"
    assert_rejected(b"\xef\xbb\xbf" + LINE, reason, input_dir, output_dir)


def test_carriage_returns_before_line_ends(input_dir: Path, output_dir: Path) -> None:
    lines = [good(1), b"bad", b"", b" \t", good(2), good(3)]
    (input_dir / SEGMENT).write_bytes(b"\r\n".join(lines) + b"\r\n")
    summary = run(input_dir, output_dir)
    assert (summary.lines, summary.accepted, summary.blank, summary.rejects) == (6, 3, 2, 1)
    assert kept(output_dir) == {SEGMENT: [1.0, 2.0, 3.0]}
    (reject,) = rows_of(output_dir, "rejects")
    assert (reject["line"], reject["byte_offset"], reject["length"]) == (2, len(good(1)) + 2, len(b"bad\r"))


def test_a_last_line_without_an_end_is_a_line(input_dir: Path, output_dir: Path) -> None:
    (input_dir / SEGMENT).write_bytes(good_lines(1, 2) + good(3))
    assert run(input_dir, output_dir).accepted == 3
    assert kept(output_dir) == {SEGMENT: [1.0, 2.0, 3.0]}


def test_a_cut_last_line(input_dir: Path, output_dir: Path) -> None:
    (input_dir / SEGMENT).write_bytes(good_lines(1, 2) + good(3)[:-3])
    assert run(input_dir, output_dir).accepted == 2
    assert kept(output_dir) == {SEGMENT: [1.0, 2.0]}
    (reject,) = rows_of(output_dir, "rejects")
    assert (reject["line"], reject["byte_offset"]) == (3, len(good_lines(1, 2)))
    assert str(reject["reason"]).startswith("not JSON: ")
    assert str(reject["reason"]).endswith(f" (byte {len(good(3)) - 3} of the line)")


def snapshot(size: int) -> bytes:
    """Return a valid message of at least `size` bytes, with many levels."""
    level = b'{"side":"bid","event_time":"2025-11-26T14:00:00Z","price_level":"1.5","new_quantity":"7"}'
    return LINE.replace(b'"update"', b'"snapshot"')[:-4] + (b"," + level) * (size // (len(level) + 1)) + b"]}]}"


def test_a_line_of_10_mb(input_dir: Path, output_dir: Path) -> None:
    long = snapshot(10_000_000)
    levels = long.count(b"side")
    (input_dir / SEGMENT).write_bytes(good(1) + b"\n" + long + b"\n" + good(3) + b"\n")
    summary = run(input_dir, output_dir)
    rows = {"level2": 2 + levels, "book": 3, "connections": 1, "coverage": 2}
    assert (summary.accepted, summary.rejects, summary.rows) == (3, 0, rows)
    assert levels > 100_000
    assert kept(output_dir) == {SEGMENT: [1.0, 2.0, *[7.0] * (levels - 1), 3.0]}


def test_a_line_of_10_mb_over_the_limit(input_dir: Path, output_dir: Path) -> None:
    long = snapshot(10_000_000)
    (input_dir / SEGMENT).write_bytes(good(1) + b"\n" + long + b"\n" + good(3) + b"\n")
    summary = run(input_dir, output_dir, staging={"max_line_mb": 4})
    assert (summary.accepted, summary.rejects) == (2, 1)
    assert kept(output_dir) == {SEGMENT: [1.0, 3.0]}
    assert rows_of(output_dir, "rejects") == [
        {
            "date": "2025-11-26",
            "segment": SEGMENT,
            "line": 2,
            "byte_offset": len(good(1)) + 1,
            "length": len(long),
            "sha256": hashlib.sha256(long).hexdigest(),
            "channel": "l2_data",
            "reason": f"expected a line of at most 4,000,000 bytes, found {len(long):,}",
            "raw": None,
        }
    ]


def test_a_line_without_end(input_dir: Path, output_dir: Path) -> None:
    endless = b"x" * 3_000_000
    (input_dir / SEGMENT).write_bytes(good_lines(1, 2) + endless)
    (input_dir / "segment_20251126T15_00002.ndjson").write_bytes(good_lines(3, 2))
    assert run(input_dir, output_dir, staging={"max_line_mb": 1}).accepted == 4
    assert [found for _, found in sorted(kept(output_dir).items(), key=str)] == [[1.0, 2.0], [3.0, 4.0]]
    (reject,) = rows_of(output_dir, "rejects")
    assert (reject["line"], reject["length"]) == (3, 3_000_000)
    assert reject["reason"] == "expected a line of at most 1,000,000 bytes, found 3,000,000"
