"""`trades_with_book` by hand: one case a rule."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest

from etl_ray.config import JobConfig
from etl_ray.errors import ConfigError, SchemaError
from etl_ray.features import FeatureOptions, interval_features, trades_with_book
from etl_ray.job import ETLJob
from etl_ray.tables import TRADES_WITH_BOOK
from tests.features.recordings import FIRST_DATE, Flow
from tests.reference.cross import DAY_NS, BookState, Trade

NOON_NS = FIRST_DATE * DAY_NS + DAY_NS // 2
DATE = "2024-10-04"
Row = dict[str, object]


def trade(trade_id: int, ms: int, price: str, side: str, *, size: str = "1", late_ms: int = 5) -> Trade:
    time = NOON_NS + ms * 1_000_000
    return Trade(trade_id, time, time + late_ms * 1_000_000, Fraction(price), Fraction(size), side)


def book(ms: int, bid: str | None = "99.9", ask: str | None = "100.1", *, state: str = "verified") -> BookState:
    time = NOON_NS + ms * 1_000_000
    (bid_price, bid_size), (ask_price, ask_size) = (
        (None, None) if price is None else (Fraction(price), Fraction(size)) for price, size in ((bid, 2), (ask, 3))
    )
    crossed = bid_price is not None and ask_price is not None and bid_price > ask_price
    return BookState(time, time + 7_000_000, state, crossed, bid_price, bid_size, ask_price, ask_size, None)


def joined(trades: Sequence[Trade], books: Sequence[BookState], options: FeatureOptions | None = None) -> pl.DataFrame:
    span = {"first_ns": FIRST_DATE * DAY_NS, "end_ns": (FIRST_DATE + 1) * DAY_NS}
    return trades_with_book(*Flow(trades, books).frames(), options or FeatureOptions(), **span)


def test_whole_rows_of_an_order_with_two_fills() -> None:
    trades = [trade(7, 100, "100.1", "buy"), trade(8, 100, "100.2", "buy", size="0.5", late_ms=90)]
    # The third book is of the very time of the trades: it is not before them.
    found = joined(trades, [book(10), book(40), book(100, "100.1", "100.3")])
    first: Row = {
        "date": DATE,
        "ts_event": NOON_NS + 100_000_000,
        "ts_available": NOON_NS + 105_000_000,
        "trade_id": 7,
        "price": 100.1,
        "size": 1.0,
        "taker_side": "buy",
        "taker_order_id": 7,
        "is_first_fill": True,
        "book_ts_align": NOON_NS + 40_000_000,
        "book_state": "verified",
        "book_crossed": False,
        "bid_price_0": 99.9,
        "bid_size_0": 2.0,
        "ask_price_0": 100.1,
        "ask_size_0": 3.0,
        "mid": 100.0,
        "book_age_ns": 60_000_000,
        "effective_spread_bps": 20.0,
    }
    second = first | {"ts_available": NOON_NS + 190_000_000, "trade_id": 8, "price": 100.2, "size": 0.5}
    assert found.to_dicts() == [first, second | {"is_first_fill": False, "effective_spread_bps": 40.0}]
    assert set(found.columns) == set(TRADES_WITH_BOOK.names) - {"product_id"}


def test_orders_end_at_another_side_and_another_time() -> None:
    sides = [("buy", 1), ("buy", 1), ("sell", 1), ("buy", 1), ("buy", 2), ("buy", 2)]
    trades = [trade(k, ms, "100", side) for k, (side, ms) in enumerate(sides)]
    assert joined(trades, [])["taker_order_id"].to_list() == [0, 0, 2, 3, 4, 4]
    assert joined(trades, [])["is_first_fill"].to_list() == [True, False, True, True, True, False]


def test_order_is_known_with_the_trade_that_divides_it_from_the_one_before() -> None:
    trades = [trade(1, 1, "100", "buy"), trade(2, 1, "100", "sell", late_ms=60), trade(3, 1, "100", "buy")]
    known = [(time - NOON_NS) // 1_000_000 for time in joined(trades, [])["ts_available"]]
    assert known == [6, 61, 61]


def test_sellers_pay_below_mid() -> None:
    trades = [trade(1, 60, "99.9", "sell"), trade(2, 61, "100.05", "sell")]
    assert joined(trades, [book(50)])["effective_spread_bps"].to_list() == [20.0, -10.0]


def test_last_row_by_arrival_even_if_its_clock_stepped_back() -> None:
    books = [book(10, "99"), book(50, "99.8"), book(20, "99.9"), book(90, "99.7")]
    found = joined([trade(1, 15, "100", "buy"), trade(2, 60, "100", "buy")], books)
    assert found["bid_price_0"].to_list() == [99.0, 99.9]
    assert found["book_age_ns"].to_list() == [5_000_000, 40_000_000]


VERIFIED_ONLY, ALSO_UNVERIFIABLE = FeatureOptions(), FeatureOptions(admit_unverifiable=True)


@pytest.mark.parametrize(
    ("found", "options", "mid", "spread"),
    [
        (book(0), VERIFIED_ONLY, 100.0, 20.0),
        (book(0, state="unverifiable"), VERIFIED_ONLY, None, None),
        (book(0, state="unverifiable"), ALSO_UNVERIFIABLE, 100.0, 20.0),
        (book(0, state="suspect"), ALSO_UNVERIFIABLE, None, None),
        (book(0, state="no_snapshot"), ALSO_UNVERIFIABLE, None, None),
        (book(0, "100.2"), VERIFIED_ONLY, None, None),
        (book(0, None), VERIFIED_ONLY, None, None),
        (book(0, "99.9", None), VERIFIED_ONLY, None, None),
        (book(0, None, None), VERIFIED_ONLY, None, None),
        (book(0, "0", "0"), VERIFIED_ONLY, None, None),
        (book(-100), VERIFIED_ONLY, 100.0, 20.0),
        (book(-101), VERIFIED_ONLY, 100.0, None),
        (book(-101), FeatureOptions(max_book_age_ns=201_000_000), 100.0, 20.0),
    ],
)
def test_when_there_is_a_mid_and_a_spread(
    found: BookState, options: FeatureOptions, mid: float | None, spread: float | None
) -> None:
    row = joined([trade(1, 100, "100.1", "buy")], [found], options).row(0, named=True)
    assert (row["mid"], row["effective_spread_bps"]) == (mid, spread)
    assert row["book_state"] == found.state
    assert row["book_crossed"] == found.crossed


def test_book_of_over_a_day_ago_counts_as_none() -> None:
    day_ms = DAY_NS // 1_000_000
    for age_ms, state in ((day_ms, "verified"), (day_ms + 1, None)):
        row = joined([trade(1, 100, "100", "buy")], [book(100 - age_ms)]).row(0, named=True)
        assert row["book_state"] == state
        assert row["book_age_ns"] == (None if state is None else DAY_NS)


def test_only_trades_of_the_span_have_rows() -> None:
    midnight = trade(3, -43_200_000, "100", "buy")
    before = replace(midnight, trade_id=2, ts_event=midnight.ts_event - 1)
    last = replace(midnight, trade_id=4, ts_event=midnight.ts_event + DAY_NS - 1)
    behind = replace(last, trade_id=5, ts_event=last.ts_event + 1)
    assert joined([before, midnight, last, behind], [])["trade_id"].to_list() == [3, 4]


def test_trades_out_of_order_and_missing_columns() -> None:
    trades, books = Flow([trade(1, 5, "100", "buy"), trade(2, 4, "100", "buy")], [book(0)]).frames()
    with pytest.raises(SchemaError) as raised:
        trades_with_book(trades, books, FeatureOptions(), first_ns=0, end_ns=1)
    assert str(raised.value) == (
        "trades: expected them by ts_event and trade_id, each id once; found row 1 (trade_id 2) behind trade_id 1"
    )
    twice = pl.concat([trades[:1], trades[:1]])
    with pytest.raises(SchemaError, match=r"found row 1 \(trade_id 1\) behind trade_id 1"):
        interval_features(twice, books, FeatureOptions(), first_ns=0, end_ns=1)
    with pytest.raises(SchemaError) as raised:
        trades_with_book(trades.drop("size"), books, FeatureOptions(), first_ns=0, end_ns=1)
    assert str(raised.value) == (
        "trades: expected the columns trade_id, ts_event, ts_available, price, size, taker_side; missing: size; "
        "found: trade_id, ts_event, ts_available, price, taker_side"
    )
    with pytest.raises(SchemaError, match=r"^book: expected the columns ts_align, .*; missing: crossed; found: "):
        interval_features(trades, books.drop("crossed"), FeatureOptions(), first_ns=0, end_ns=1)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("interval_ns", 0, f"interval_ns is 0; expected 1 to {DAY_NS} (a day)"),
        ("interval_ns", DAY_NS + 1, f"interval_ns is {DAY_NS + 1}; expected 1 to {DAY_NS} (a day)"),
        ("kyle_step_ns", -1, f"kyle_step_ns is -1; expected 1 to {DAY_NS} (a day)"),
        ("kyle_window_ns", 5, "kyle_window_ns is 5; expected a multiple of kyle_step_ns, 1000000000"),
        ("max_book_age_ns", -1, "max_book_age_ns is -1; expected 0 or more"),
        ("kyle_min_n", 1, "kyle_min_n is 1; expected 2 or more"),
        ("vpin_n", 0, "vpin_n is 0; expected 1 or more"),
    ],
)
def test_options_that_make_no_sense(option: str, value: int, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        replace(FeatureOptions(), **{option: value})
    assert str(raised.value) == words


def message(channel: str, second: str, number: int, **event: object) -> bytes:
    fields = {"channel": channel, "timestamp": f"2025-11-26T14:00:{second}Z", "sequence_num": number}
    return json.dumps({**fields, "events": [event]}).encode() + b"\n"


def test_side_of_the_wire_is_the_maker_s(input_dir: Path, output_dir: Path) -> None:
    """A resting order to SELL was met: the taker bought, at the ask, and paid half the spread."""
    levels = [("bid", "99.9", "2"), ("offer", "100.1", "3")]
    updates = [
        {"side": side, "event_time": "2025-11-26T14:00:00.9Z", "price_level": price, "new_quantity": size}
        for side, price, size in levels
    ]
    made = [("7", "100.1", "SELL"), ("8", "99.9", "BUY")]
    trades = [
        {"product_id": "BTC-USD", "trade_id": number, "price": price, "size": "0.5", "side": side} | {"time": time}
        for (number, price, side), time in zip(made, ("2025-11-26T14:00:01.0Z", "2025-11-26T14:00:01.1Z"), strict=True)
    ]
    lines = [
        message("l2_data", "00.95", 0, type="snapshot", product_id="BTC-USD", updates=updates),
        message("market_trades", "01.2", 1, type="update", trades=trades[::-1]),
    ]
    (input_dir / "segment_20251126T14_00001.ndjson").write_bytes(b"".join(lines))
    config = JobConfig.model_validate({"engine": "local", "derived": {"trades_with_book": True}})
    ETLJob(str(input_dir), str(output_dir), config=config).process_all()
    found = pl.read_parquet(output_dir / "trades_with_book" / "**" / "*.parquet", hive_partitioning=False)
    assert found.select("trade_id", "taker_side", "book_state", "effective_spread_bps").rows() == [
        (7, "buy", "verified", 20.0),
        (8, "sell", "verified", 20.0),
    ]
