"""The kernel takes no line otherwise than the strict parser would: mutated lines through both."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl_ray.scan import LineParser
from etl_ray.tables.schema import Numbers
from tests.scan.fuzz import STRICT_ONLY, Fuzzer, differs, seeds
from tests.scan.mutations import INTEGERS, mutate, replaced_values
from tests.scan.outcome import COINBASE, difference, parse, parse_once, plain
from tests.scan.wire import (
    CANDLE,
    STYLES,
    TICKER,
    JsonObject,
    Style,
    all_lines,
    book,
    event,
    level,
    message,
    trade,
    write,
)
from tests.scan.wire import MESSAGES as MESSAGES_ON_THE_WIRE

NUMBERS = st.sampled_from(["float64", "decimal"])
MANY = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
SEEDS = seeds()
SCANNED = ("l2_data", "market_trades", "ticker", "ticker_batch", "candles", "heartbeats")


@pytest.mark.parametrize("numbers", ["float64", "decimal"])
def test_every_shape_is_read_as_the_strict_parser_reads_it(numbers: Numbers) -> None:
    lines = list(all_lines())
    assert differs(lines, numbers) is None
    parser = LineParser(COINBASE, numbers, block_bytes=1 << 20)
    (found,) = parse(parser, b"\n".join(lines))
    assert (found.lines, found.slow_lines) == (len(lines), len(lines) * 12 // 25)
    strict = LineParser(STRICT_ONLY, numbers, block_bytes=1 << 20)
    (found,) = parse(strict, b"\n".join(lines))
    assert found.slow_lines == len(lines)


def few_lines() -> list[bytes]:
    """Return each message that the kernel takes, with all keys that a message may have."""
    parser = LineParser(COINBASE, "float64", block_bytes=1 << 16)
    lines = []
    for content in MESSAGES_ON_THE_WIRE:
        enveloped = write({"client_id": "", **content}, Style(envelope=True))
        if parse(parser, enveloped)[0].slow_lines == 0:
            lines.append(enveloped)
    return lines


@pytest.mark.parametrize("numbers", ["float64", pytest.param("decimal", marks=pytest.mark.slow)])
def test_every_value_in_every_place(numbers: Numbers) -> None:
    tried = 0
    for line in few_lines():
        lines = list(replaced_values(line))
        assert differs(lines, numbers) is None
        tried += len(lines)
    assert tried > 30_000


@pytest.mark.parametrize("numbers", ["float64", "decimal"])
def test_mutated_lines(numbers: Numbers) -> None:
    fuzzer = Fuzzer(20_251_126, numbers)
    for _ in range(20):
        assert fuzzer.compare(400) is None
    assert fuzzer.lines > 8000
    assert fuzzer.scanned > 1500


@pytest.mark.slow
@pytest.mark.parametrize(("numbers", "seed"), [("float64", 1), ("decimal", 2)])
def test_million_mutated_lines(numbers: Numbers, seed: int) -> None:
    fuzzer = Fuzzer(seed, numbers)
    while fuzzer.lines < 500_000:
        assert fuzzer.compare(500) is None
    assert fuzzer.scanned > 100_000
    assert fuzzer.rejected > 200_000
    assert min(fuzzer.accepted[channel] for channel in SCANNED) > 5_000


@MANY
@given(
    lines=st.lists(st.builds(mutate, st.randoms(use_true_random=False), st.just(SEEDS)), max_size=8), numbers=NUMBERS
)
def test_mutated_lines_shrunk(lines: list[bytes], numbers: Numbers) -> None:
    assert differs(lines, numbers) is None


def _field(pattern: str) -> st.SearchStrategy[str]:
    return st.from_regex(pattern, fullmatch=True)


DIGITS = _field(r"-?(0{0,3}[0-9]{1,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?")
SHORT = _field(r"-?[0-9]{1,12}(\.[0-9]{1,8})?")
CLOCKS = _field(
    r"(2025-11-26|20[0-9]{2}-[01][0-9]-[0-3][0-9]|[0-9]{4}-02-29)[T ]([0-2][0-9]:[0-6][0-9]:[0-6][0-9])(\.[0-9]{1,10})?"
    r"(Z|\+00:00|-00:00| \+0000 UTC| \+0000 UTC m=[+-]?[0-9]{1,20}(\.[0-9]{0,9})?)"
)
COUNTS = st.one_of(st.integers(0, 2**64), st.sampled_from(INTEGERS), _field(r"[0-9]{17,20}"))
NAMES = _field(r"[A-Z0-9._-]{1,66}")
FIGURES = st.one_of(SHORT, DIGITS, st.none(), st.just(""))
LEVELS = st.builds(
    level, st.sampled_from(["bid", "offer", "ask", "x"]), SHORT | DIGITS, SHORT | DIGITS, event_time=CLOCKS | st.none()
)
TRADES = st.builds(trade, COUNTS, st.sampled_from(["BUY", "SELL"]), time=CLOCKS, price=SHORT, product_id=NAMES)
CANDLES = st.builds(
    lambda start, name: CANDLE | {"start": start, "product_id": name}, COUNTS | st.integers(1, 2**33), NAMES
)
FIGURE_KEYS = sorted(TICKER.keys() - {"type", "product_id"})
TICKERS = st.builds(lambda figures: TICKER | figures, st.dictionaries(st.sampled_from(FIGURE_KEYS), FIGURES))
TYPES = st.sampled_from(["snapshot", "update"])
MESSAGES: st.SearchStrategy[JsonObject] = st.one_of(
    st.builds(
        lambda *events, number: message("l2_data", *events, number=number),
        st.builds(lambda kind, name, levels: book(kind, name, *levels), TYPES, NAMES, st.lists(LEVELS, max_size=3)),
        number=COUNTS,
    ),
    st.builds(
        lambda kind, rows: message("market_trades", event(kind, trades=rows)), TYPES, st.lists(TRADES, max_size=2)
    ),
    st.builds(lambda kind, rows: message("candles", event(kind, candles=rows)), TYPES, st.lists(CANDLES, max_size=2)),
    st.builds(lambda kind, rows: message("ticker", event(kind, tickers=rows)), TYPES, st.lists(TICKERS, max_size=2)),
    st.builds(
        lambda time, count: message("heartbeats", {"current_time": time, "heartbeat_counter": count}), CLOCKS, COUNTS
    ),
    st.builds(lambda time, count: message("ticker", number=count) | {"timestamp": time}, CLOCKS, COUNTS),
)


@MANY
@given(content=st.lists(MESSAGES, min_size=1, max_size=4), style=st.sampled_from(STYLES), numbers=NUMBERS)
def test_values_of_all_sorts(content: list[JsonObject], style: Style, numbers: Numbers) -> None:
    assert differs([write(one, style) for one in content], numbers) is None


def test_a_difference_is_told() -> None:
    one = write(message("l2_data", book("update", "BTC-USD", level("bid", "1", "2"))))
    other = one.replace(b'"2"', b'"3"')
    assert difference(parse_once(one), parse_once(one)) is None
    for changed in (other, one.replace(b"BTC", b"ETH"), one.replace(b"bid", b"ask"), b"", one + b"\n\n", one + b"}"):
        assert difference(parse_once(one), parse_once(changed)) is not None
    assert "level2" in str(difference(parse_once(one), parse_once(other)))
    zero, negative = ({"x": plain(pa.table({"x": [0.0, value]}))} for value in (0.0, -0.0))
    assert difference(zero, zero) is None
    assert difference(zero, negative) is not None


def test_by_hand() -> None:
    command = [sys.executable, "-m", "tests.scan.fuzz", "--seconds", "0.01", "--seed", "3", "--batch", "50"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("float64: ")
    assert "lines agree" in done.stdout
