"""What `LineParser` says about lines beside their rows: counts, rejects, errors, messages."""

from __future__ import annotations

import hashlib

import pytest

from etl_ray.scan import LineParser, Parsed, Reject
from etl_ray.scan.parsed import MAX_RAW_BYTES, ErrorLine, make_reject
from etl_ray.tables.schema import Numbers
from etl_ray.venues.rows import NULL
from tests.scan.outcome import COINBASE, difference, outcome, padded, parse, parse_once
from tests.scan.wire import TICKER, all_lines, book, event, level, message, write

NUMBERS: tuple[Numbers, ...] = ("float64", "decimal")
L2 = write(message("l2_data", book("update", "BTC-USD", level("bid", "1", "2"))))
BROKEN = L2[:-1]


def found_in(data: bytes, offset: int = 0) -> Parsed:
    (found,) = parse(LineParser(COINBASE, "float64", block_bytes=1 << 16), data, offset)
    assert found.lines == found.blank + len(found.messages) + len(found.errors) + len(found.rejects)
    return found


@pytest.mark.parametrize(
    ("data", "lines", "blank", "messages", "rejects"),
    [
        (b"\n", 1, 1, 0, 0),
        (b" \t\r\n\r\n\n", 3, 3, 0, 0),
        (b" \t\r", 1, 1, 0, 0),
        (L2, 1, 0, 1, 0),
        (L2 + b"\n", 1, 0, 1, 0),
        (L2 + b"\r\n\r\n" + L2 + b"\r", 3, 1, 2, 0),
        (b"\t " + L2 + b" \t\n", 1, 0, 1, 0),
        (L2 + b"\n" + BROKEN, 2, 0, 1, 1),
        (BROKEN + b"\n" + L2 + b"\n", 2, 0, 1, 1),
        (L2 + L2, 1, 0, 0, 1),
        (L2 + b"\0", 1, 0, 0, 1),
        (b"\0", 1, 0, 0, 1),
        (b"\x0b", 1, 0, 0, 1),
        (b"\xc2\xa0", 1, 0, 0, 1),
        (L2 + b"\x0c\n" + L2, 2, 0, 1, 1),
    ],
)
def test_counts_of_lines(data: bytes, lines: int, blank: int, messages: int, rejects: int) -> None:
    found = found_in(data)
    assert (found.lines, found.blank, len(found.messages), len(found.rejects)) == (lines, blank, messages, rejects)


def test_no_data() -> None:
    assert parse(LineParser(COINBASE, "float64", block_bytes=10), b"") == []


def test_reject() -> None:
    raw = b" " + BROKEN + b"\r"
    found = found_in(L2 + b"\n\n" + raw + b"\n", offset=1000)
    (reject,) = found.rejects
    assert reject == Reject(
        line=3,
        byte_offset=1000 + len(L2) + 2,
        length=len(raw),
        sha256=hashlib.sha256(raw).hexdigest(),
        channel="l2_data",
        reason=reject.reason,
        raw=raw,
    )
    assert reject.reason.startswith("not JSON: ")


@pytest.mark.parametrize(
    ("raw", "channel", "kept"),
    [
        (b'"channel":"ticker"', "ticker", True),
        (b'"channel" \t\r:\r\t "ticker"', "ticker", True),
        (b"channel", None, False),
        (b'"channel":ticker', None, False),
        (b'"channel":"tick-er"', None, False),
        (b'"channel":""', None, False),
        (b'"channel"\n:"ticker"', None, False),
        (b'"channel":"x"', "x", False),
        (b'"channel":"%s"' % (b"x" * 64), "x" * 64, False),
        (b'"channel":"%s"' % (b"x" * 65), None, False),
        (b'"channel":"x","channel":"ticker"', "x", True),
        (b'"channel":"ticker","channel":"user"', "ticker", False),
        (b'"channel":"user"', "user", False),
        (b'"channel":"futures_balance_summary"', "futures_balance_summary", False),
        (b'"channel":"ticker" futures_balance_summary', "ticker", False),
        (b'"channel":"ticker" superuser', "ticker", False),
        (b'"channel":"ticker","x":"\\u0075ser"', "ticker", False),
        (b'"channel":"ticker","x":"\\n"', "ticker", True),
    ],
)
def test_raw_text_is_kept_only_if_it_is_surely_public(raw: bytes, channel: str | None, kept: bool) -> None:
    reject = make_reject(1, 0, raw, reason="expected x, found y", venue=COINBASE)
    assert reject.channel == channel
    assert reject.raw == (raw if kept else None)
    assert (reject.length, reject.sha256) == (len(raw), hashlib.sha256(raw).hexdigest())


def test_raw_text_is_kept_up_to_a_limit() -> None:
    raw = b'"channel":"ticker"' + b"x" * MAX_RAW_BYTES
    reject = make_reject(1, 0, raw, reason="x", venue=COINBASE)
    assert MAX_RAW_BYTES == 65_536
    assert reject.raw == raw[:65_536]
    assert reject.length == len(raw)


@pytest.mark.parametrize(
    "line",
    [
        b'{"channel":"user","channel":"ticker","timestamp":"my secret","sequence_num":1,"events":[]}',
        b'{"channel":"ticker","timestamp":"my secret","sequence_num":1,"events":[],"x":"\\u0075ser"}',
        b'{"data":{"channel":"ticker","timestamp":"my secret"},"metadata":"user"}',
        b'{"type":"error","message":["my secret"],"from":"user"}',
    ],
)
def test_reason_tells_nothing_that_may_be_private(line: bytes) -> None:
    (reject,) = found_in(line).rejects
    assert reject.raw is None
    assert "secret" not in reject.reason
    assert ": expected a " in reject.reason


def test_reason_tells_what_was_found_in_a_public_line() -> None:
    (reject,) = found_in(L2.replace(b'"bid"', b'"buy"')).rejects
    assert reject.reason == "events[0].updates[0].side: expected bid or offer or ask, found 'buy'"


def test_errors_of_the_venue() -> None:
    failure = b'{"type":"error","message":"authentication failure","code":1}'
    enveloped = b'{"capture_ts":"2025-11-26T14:00:00Z","data":{"type":"error"}}'
    found = found_in(failure + b"\n" + L2 + b"\n" + enveloped)
    assert found.errors == (ErrorLine(1, NULL, "authentication failure"), ErrorLine(3, 1_764_165_600 * 10**9, None))
    assert found.unknown_keys == 1
    assert found.messages.line.tolist() == [2]


def test_private_messages_keep_nothing_but_channel_and_number() -> None:
    lines = (
        b'{"channel":"user","sequence_num":5,"timestamp":"2025-11-26T14:00:00Z","events":[{"product_id":"SECRET"}]}',
        b'{"data":{"events":[{"tickers":[{"product_id":"SECRET"}]}],"channel":"futures_balance_summary"},"x":1}',
    )
    found = found_in(b"\n".join(lines))
    assert found.messages.channel.tolist() == [8, 9]
    assert found.messages.sequence_num.tolist() == [5, NULL]
    assert found.messages.ts_server.tolist() == [NULL, NULL]
    assert found.messages.product.tolist() == [-1, -1]
    assert (found.rows, found.symbols, found.unknown_keys) == ({}, (), 0)


def test_counters_of_first_heartbeats() -> None:
    def beats(*counters: object) -> bytes:
        return write(message("heartbeats", *({"heartbeat_counter": counter} for counter in counters)))

    found = found_in(b"\n".join([beats(3), L2, beats("5", 6, 7), beats(), beats(9, 8)]))
    assert found.slow_lines == 0
    assert found.heartbeat_counters().tolist() == [3, NULL, 5, NULL, 9]
    slow = beats(4, 2).replace(b'"heartbeat_counter":4', b'"x":1,"heartbeat_counter":4')
    found = found_in(b"\n".join([beats(3), slow, L2, beats(1)]))
    assert found.slow_lines == 1
    assert found.heartbeat_counters().tolist() == [3, 4, NULL, 1]
    assert found_in(L2).heartbeat_counters().tolist() == [NULL]


def test_symbols_of_lines_that_are_not_taken_are_forgotten() -> None:
    """The kernel meets a product before it knows that the line is not for it."""
    begun = L2.replace(b"BTC-USD", b"SECRET-%d").replace(b'"2"', b'"2",')
    other = write(message("ticker", event("update", tickers=[TICKER | {"product_id": "ALSO"}]))).replace(
        b"]}]}", b"]}],}"
    )
    lines = [begun % number for number in range(100)] + [L2, other, L2.replace(b"BTC", b"ETH"), begun % 1]
    found = found_in(b"\n".join(lines))
    assert len(found.rejects) == 102
    assert found.symbols == ("BTC-USD", "ETH-USD")
    assert [found.symbols[product] for product in found.messages.product] == ["BTC-USD", "ETH-USD"]


def test_long_line() -> None:
    parser = LineParser(COINBASE, "float64", block_bytes=1 << 16)
    (before,) = parse(parser, L2 + b"\n")
    head = b'{"channel":"ticker"' + b" " * 1000
    found = parser.long_line(500, 9_000_000, sha256="ab", head=head, limit_bytes=8_000_000)
    assert (found.lines, found.blank, len(found.messages), found.rows, found.errors) == (1, 0, 0, {}, ())
    assert found.symbols == before.symbols == ("BTC-USD",)
    reason = "expected a line of at most 8,000,000 bytes, found 9,000,000"
    assert found.rejects == (Reject(2, 500, 9_000_000, "ab", "ticker", reason, None),)
    (after,) = parse(parser, L2)
    assert after.messages.line.tolist() == [3]


def test_results_do_not_change_when_the_parser_goes_on() -> None:
    """Everything is copied out of the columns that the next block is scanned into."""
    parser = LineParser(COINBASE, "float64", block_bytes=1 << 16)
    other = L2.replace(b'"1"', b'"8"').replace(b'"2"', b'"9"').replace(b":7", b":99").replace(b"BTC", b"ETH")
    (first,) = parse(parser, L2)
    before = COINBASE.assemble["level2"](first.rows["level2"])
    texts = {name: column.to_pylist() for name, column in before.items()}
    list(parser.parse(padded(other), len(other), 0))
    assert {name: column.to_pylist() for name, column in before.items()} == texts
    assert first.messages.sequence_num.tolist() == [7]
    assert [first.symbols[product] for product in first.mentions.product] == ["BTC-USD"]


def test_results_that_are_not_copied_are_the_same() -> None:
    lines = list(all_lines())
    for block in (lines, lines[::2], lines[:-1:3]):
        data = b"\n".join(block)
        for numbers in NUMBERS:
            parser = LineParser(COINBASE, numbers, block_bytes=1 << 16, own=False)
            assert (
                difference(outcome(parser.parse(padded(data), len(data), 0)), parse_once(data, numbers=numbers)) is None
            )


def test_results_that_are_not_copied_lie_where_the_next_ones_will() -> None:
    parser = LineParser(COINBASE, "float64", block_bytes=1 << 16, own=False)
    (first,) = parse(parser, L2)
    assert first.messages.sequence_num.tolist() == [7]
    parse(parser, L2.replace(b":7", b":99"))
    assert first.messages.sequence_num.tolist() == [99]


def test_exact_numbers_are_left_out_where_they_are_not_asked_for() -> None:
    lines = list(all_lines())
    data = b"\n".join(lines)
    for numbers in NUMBERS:
        parser = LineParser(COINBASE, numbers, block_bytes=1 << 16, exact=False)
        found = parse(parser, data)
        assert difference(outcome(found), parse_once(data, numbers=numbers)) is None
        assert [key for key in found[0].rows["level2"].fields if "." in key] == []
        (slow,) = parse(parser, L2.replace(b'"1"', b'"1e0"'))
        assert slow.slow_lines == 1
        assert [key for key in slow.rows["level2"].fields if "." in key] == []


def test_exact_numbers() -> None:
    data = b"\n".join([L2.replace(b'"1"', b'"0.10"'), L2.replace(b'"2"', b'"25e-3"')])
    (found,) = parse(LineParser(COINBASE, "float64", block_bytes=1 << 16), data)
    values, scales = found.rows["level2"].exact("price_level")
    assert (found.slow_lines, values.tolist(), scales.tolist()) == (1, [10, 1], [2, 0])
    values, scales = found.rows["level2"].exact("new_quantity")
    assert (values.tolist(), scales.tolist()) == ([2, 25], [0, 3])


def test_symbols_of_both_parsers_are_of_one_numbering() -> None:
    """A slow line brings a product that the kernel meets later under another number."""
    other = write(message("ticker", event("update", tickers=[TICKER | {"product_id": "ETH-USD"}])))
    lines = [L2, L2.replace(b"BTC", b"SOL").replace(b'"1"', b'"1e0"'), other, L2.replace(b"BTC", b"SOL"), L2]
    parser = LineParser(COINBASE, "float64", block_bytes=1 << 16)
    for block in (lines, lines[::-1]):
        (found,) = parse(parser, b"\n".join(block))
        assert found.slow_lines == 1
        names = [found.symbols[product] for product in found.messages.product]
        assert names == [("BTC-USD", "SOL-USD", "ETH-USD", "SOL-USD", "BTC-USD")[block.index(line)] for line in block]
        assert [found.symbols[code] for code in found.rows["ticker"].array("product_id")] == ["ETH-USD"]
