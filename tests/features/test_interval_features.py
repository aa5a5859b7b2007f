"""`features` by hand: whole rows, and one case a rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import polars as pl
import pytest

from etl_ray.features import FeatureOptions, interval_features
from etl_ray.features.intervals import arrivals, find_intervals
from etl_ray.features.kyle import kyle_lambda
from etl_ray.features.market import read_market
from etl_ray.tables import FEATURES
from tests.features.recordings import DECIMAL, FIRST_DATE, Flow
from tests.features.test_trades_with_book import DATE, NOON_NS, book, trade
from tests.reference.cross import DAY_NS, BookState, Trade

MS, SECOND_NS = 1_000_000, 10**9
DAY_MS = DAY_NS // MS


def features(
    trades: Sequence[Trade],
    books: Sequence[BookState],
    options: FeatureOptions | None = None,
    *,
    decimal: bool = False,
    dates: int = 1,
) -> pl.DataFrame:
    frames = Flow(trades, books).frames(decimal=decimal)
    span = {"first_ns": FIRST_DATE * DAY_NS, "end_ns": (FIRST_DATE + dates) * DAY_NS}
    return interval_features(*frames, options or FeatureOptions(), **span)


def test_whole_row() -> None:
    trades = [
        trade(1, 100, "100.1", "buy", size="0.3"),
        trade(2, 100, "100.2", "buy", size="0.1"),
        trade(3, 400, "99.9", "sell", size="0.7"),
        trade(4, 999, "99.9", "sell"),  # its book is too old
        trade(5, 1_000, "100", "buy"),  # the next interval, which has not ended
    ]
    books = [replace(book(50), ofi=None), replace(book(390), ofi=0.1), replace(book(391), ofi=0.2)]
    found = features(trades, books)
    mean = (0.3 * 100.1 + 0.1 * 100.2) / 0.4
    paid = 2e4 * (mean - 100) / 100
    notionals = 0.3 * 100.1 + 0.1 * 100.2, 0.7 * 99.9
    average = (paid * notionals[0] + 20 * notionals[1]) / sum(notionals)
    assert found.to_dicts() == [
        {
            "date": DATE,
            "ts_start": NOON_NS,
            "ts_end": NOON_NS + SECOND_NS,
            "ts_available": NOON_NS + 1_005 * MS,
            "trades": 4,
            "volume": 2.1,
            "buy_volume": 0.4,
            "sell_volume": 1.7,
            "signed_volume": -1.3,
            "n_taker_orders": 3,
            "effective_spread_bps_mean": pytest.approx(average, rel=1e-12),
            "effective_spread_bps_median": pytest.approx((paid + 20) / 2, rel=1e-12),
            "effective_spread_n": 2,
            "ofi": 0.3,
            "ofi_n": 2,
            "ofi_missing": 1,
            "n_messages": 3,
            "kyle_lambda": None,
            "kyle_r2": None,
            "kyle_n": 0,
            "vpin": None,
            "vpin_n": 0,
        }
    ]
    assert set(found.columns) == set(FEATURES.names) - {"product_id"}
    exact = features(trades, books, decimal=True)
    assert exact["volume"].dtype == DECIMAL
    assert exact.select("volume", "buy_volume", "sell_volume", "signed_volume").row(0) == tuple(
        Decimal(text) for text in ("2.1", "0.4", "1.7", "-1.3")
    )


def test_interval_is_told_once_something_at_or_behind_its_end_arrived() -> None:
    alone = [trade(1, 100, "100", "buy")]
    assert features(alone, []).height == 0
    assert features(alone, [book(999)]).height == 0
    assert features(alone, [book(1_000)])["ts_available"].to_list() == [NOON_NS + 1_007 * MS]
    behind = [*alone, trade(2, 1_000, "100", "buy", late_ms=3), trade(3, 9_000, "100", "buy")]
    assert features(behind, [book(1_000)])["ts_available"].to_list()[0] == NOON_NS + 1_003 * MS
    # What ends it is of the same date or the next one.
    assert features([*alone, trade(2, DAY_MS + DAY_MS // 2 - 1, "100", "buy")], []).height == 1
    assert features([*alone, trade(2, DAY_MS + DAY_MS // 2, "100", "buy")], []).height == 0


def test_intervals_without_rows_are_left_out() -> None:
    found = features([trade(1, 100, "100", "buy")], [book(5_000), book(7_500), book(9_000)])
    assert ((found["ts_start"] - NOON_NS) // SECOND_NS).to_list() == [0, 5, 7]
    assert found["trades"].to_list() == [1, 0, 0]
    assert found["n_messages"].to_list() == [0, 1, 1]
    assert found["volume"].to_list() == [1.0, 0.0, 0.0]


def test_book_row_belongs_to_the_interval_of_the_greatest_clock_so_far() -> None:
    books = [book(100), book(1_500), book(900), book(1_600), book(2_000)]
    found = features([], books)
    assert found["n_messages"].to_list() == [1, 3]
    # The row of 900 would be the first interval's without that of 1500: it is known not to be with that.
    assert ((found["ts_available"] - NOON_NS) // MS).to_list() == [1_507, 2_007]


@pytest.mark.parametrize(
    ("states", "flows", "expected"),
    [
        (("verified", "verified"), (0.5, None), (0.5, 1, 1)),
        (("verified", "verified"), (None, None), (None, 0, 2)),
        (("verified", "unverifiable"), (0.5, None), (None, 1, 1)),
        (("suspect", "verified"), (None, 0.5), (None, 1, 1)),
    ],
)
def test_ofi(states: tuple[str, ...], flows: tuple[float | None, ...], expected: tuple[float | None, int, int]) -> None:
    books = [replace(book(k, state=state), ofi=flow) for k, (state, flow) in enumerate(zip(states, flows, strict=True))]
    found = features([], [*books, book(1_000)])
    assert found.select("ofi", "ofi_n", "ofi_missing").row(0) == expected
    admitted = features([], [*books, book(1_000)], FeatureOptions(admit_unverifiable=True))
    assert admitted["ofi"][0] == (None if "suspect" in states else flows[0])


KYLE = FeatureOptions(kyle_window_ns=4 * SECOND_NS, kyle_min_n=3)


def impact(volumes: Sequence[int], moves: Sequence[str]) -> tuple[list[Trade], list[BookState]]:
    """Return, for each second, a trade of signed volume and a book behind it whose best prices have moved."""
    trades = [
        trade(k, 1_000 * k + 500, "100", "buy" if volume > 0 else "sell", size=str(abs(volume)))
        for k, volume in enumerate(volumes)
    ]
    mids = [Decimal(100)]
    for move in moves:
        mids.append(mids[-1] + Decimal(move))
    books = [book(1_000 * k - 300, str(mid - 1), str(mid + 1)) for k, mid in enumerate(mids)]
    return trades, [*books, book(60_000)]


def test_kyle_s_lambda_by_hand() -> None:
    # Moves 0.5, -1, 0.25, 1.25 for volumes 1, -2, 0 (no trade), 3: covariance 7.75/4, variance 13/4 around 0.5.
    trades, books = impact([1, -2, 0, 3], ["0.5", "-1", "0.25", "1.25"])
    found = features(trades, books, KYLE)
    covariance = 0.5 + 2 + 3.75 - 4 * 0.5 * 0.25
    variance_x, variance_y = 14 - 4 * 0.25, 0.25 + 1 + 0.0625 + 1.5625 - 4 * 0.0625
    row = found.filter(pl.col("ts_end") == NOON_NS + 4 * SECOND_NS).row(0, named=True)
    assert row["kyle_lambda"] == pytest.approx(covariance / variance_x, rel=1e-15)
    assert row["kyle_r2"] == pytest.approx(covariance**2 / variance_x / variance_y, rel=1e-15)
    assert row["kyle_n"] == 4
    # In front of the first book there is no step: two of them are not enough.
    assert found["kyle_n"].to_list()[:5] == [0, 1, 2, 3, 4]
    assert found["kyle_lambda"].is_null().to_list()[:5] == [True, True, True, False, False]


def test_price_that_follows_volume_has_all_of_the_variance_explained() -> None:
    trades, books = impact([1, -2, 4, 3], ["0.05", "-0.1", "0.2", "0.15"])
    row = features(trades, books, KYLE).filter(pl.col("kyle_n") == 4).row(0, named=True)
    assert (row["kyle_lambda"], row["kyle_r2"]) == (0.05, 1.0)


def test_without_variance() -> None:
    trades, books = impact([1, 1, 1, 1], ["1", "2", "3", "4"])
    row = features(trades, books, KYLE).filter(pl.col("kyle_n") == 4).row(0, named=True)
    assert (row["kyle_lambda"], row["kyle_r2"]) == (None, None)
    trades, books = impact([1, 2, 3, 4], ["1", "1", "1", "1"])
    row = features(trades, books, KYLE).filter(pl.col("kyle_n") == 4).row(0, named=True)
    assert (row["kyle_lambda"], row["kyle_r2"]) == (0.0, None)


def test_book_that_is_not_good_at_an_edge() -> None:
    trades, books = impact([1, -2, 4, 3], ["0.05", "-0.1", "0.2", "0.15"])
    bad = [replace(one, state="suspect") if k == 2 else one for k, one in enumerate(books)]
    row = features(trades, bad, KYLE).filter(pl.col("ts_end") == NOON_NS + 4 * SECOND_NS).row(0, named=True)
    assert (row["kyle_lambda"], row["kyle_r2"], row["kyle_n"]) == (None, None, 2)


def test_book_at_an_edge_that_is_older_than_the_window_counts_as_none() -> None:
    trades, books = impact([1, -2, 4, 3], ["0.05", "-0.1", "0.2", "0.15"])
    old = [replace(books[0], ts_align=NOON_NS - 4 * SECOND_NS - late, state="suspect") for late in (0, 1)]
    of_end = pl.col("ts_end") == NOON_NS + 4 * SECOND_NS
    rows = [features(trades, [one, *books[1:]], KYLE).filter(of_end).row(0, named=True) for one in old]
    assert [row["kyle_n"] for row in rows] == [3, 3]
    assert [row["kyle_lambda"] is None for row in rows] == [True, False]


BUCKETS = FeatureOptions(vpin_bucket=Decimal("1.5"), vpin_n=2)


def test_vpin_splits_trades_between_buckets() -> None:
    # 1 bought, 1 sold: a bucket of 1 and 0.5; 2.5 bought fill it up and one more: 1 and 0.5 sold, then 1.5 bought.
    trades = [trade(1, 0, "1", "buy"), trade(2, 1_000, "1", "sell"), trade(3, 2_000, "1", "buy", size="2.5")]
    found = features([*trades, trade(4, 3_000, "1", "buy"), trade(5, 4_000, "1", "buy", size="9")], [], BUCKETS)
    assert found["vpin_n"].to_list() == [0, 1, 2, 2]
    assert found["vpin"].to_list() == [None, None, 2.0 / 3.0, 2.0 / 3.0]


def test_buckets_restart_at_midnight_and_those_of_the_day_before_count() -> None:
    late = DAY_MS // 2 - 500
    trades = [
        trade(1, late, "1", "buy", size="4"),  # two buckets, and one that is dropped
        trade(2, late + 1_000, "1", "sell", size="1.4"),
        trade(
            3, late + 2_000, "1", "buy", size="0.2"
        ),  # of which 0.1 are in the first of the date: 1.4 sold, 0.1 bought
        trade(4, late + 3_000, "1", "buy"),
    ]
    found = features(trades, [], BUCKETS, dates=2)
    assert found["vpin"].to_list() == [1.0, 1.0, pytest.approx((1.5 + 1.3) / 3, rel=1e-15)]
    third = features([replace(one, ts_event=one.ts_event + 2 * DAY_NS) for one in trades], [], BUCKETS, dates=4)
    assert third["vpin_n"].to_list() == [2, 2, 2]


def test_buckets_are_a_fiftieth_of_the_complete_day_before() -> None:
    options = FeatureOptions(vpin_n=3)
    day = [trade(1, -DAY_MS, "1", "buy"), trade(2, 0, "1", "buy", size="100")]
    # Buckets of 2: 2 bought, 2 bought, and 1 bought with 1 sold.
    next_day = [
        trade(3, DAY_MS, "1", "buy", size="5"),
        trade(4, DAY_MS + 10, "1", "sell"),
        trade(5, DAY_MS + 1_000, "1", "buy"),
    ]
    found = features([*day, *next_day], [], options, dates=2)
    assert found.select("vpin", "vpin_n").rows() == [(None, 0), (2.0 / 3.0, 3)]
    missing = [day[0], *(replace(one, trade_id=one.trade_id + 1) for one in (day[1], *next_day))]
    assert features(missing, [], options, dates=2).select("vpin", "vpin_n").rows() == [(None, 0), (None, 0)]
    assert features(missing[1:], [], options, dates=2)["vpin_n"].to_list() == [0, 0]
    empty = [day[0], *(replace(one, trade_id=one.trade_id - 1) for one in next_day)]
    assert features(empty, [], options, dates=2)["vpin_n"].to_list() == [0]


def test_bucket_s_size_needs_a_trade_behind_the_day() -> None:
    trades = [trade(k, (k - 2) * DAY_MS, "1", "buy", size=str(1 + k)) for k in range(3)]
    books = [book(DAY_MS), book(DAY_MS + 1_000)]
    found = features(trades, books, FeatureOptions(vpin_n=3), dates=2)
    assert found.select("vpin", "vpin_n", "n_messages").rows() == [(1.0, 3, 0), (None, 0, 1)]
    behind = [*trades, trade(3, DAY_MS + 500, "1", "buy")]
    found = features(behind, books, FeatureOptions(vpin_n=3), dates=2)
    assert found.select("vpin", "vpin_n", "n_messages").rows() == [(1.0, 3, 0), (1.0, 3, 1)]


def test_vpin_is_known_with_the_trades_that_tell_how_large_buckets_are() -> None:
    late_ms = 5 * DAY_MS
    of_days = [-3, -2, -1, 0]
    for slow in of_days:
        trades = [
            trade(k, days * DAY_MS, "1", "buy", late_ms=late_ms if days == slow else 1)
            for k, days in enumerate([*of_days, 1])
        ]
        found = features(trades, [])
        fixed = features(trades, [], BUCKETS)
        known = NOON_NS + (slow + 5) * DAY_NS
        assert found["ts_available"].to_list() == [known]
        # A bucket of a given size needs the day before only.
        assert fixed["ts_available"].to_list() == [known if slow >= -1 else NOON_NS + DAY_NS + MS]


def test_each_part_knows_when_its_rows_had_arrived() -> None:
    """Even where another part of the row, such as VPIN, needs the same trades."""
    trades, books = impact([1, -2, 4, 3, 1, 1, 1, 1], ["0.05", "-0.1", "0.2", "0.15", "0", "0", "0"])
    late = [replace(one, arrival=one.ts_event + (60_000 * MS if k == 1 else 0)) for k, one in enumerate(trades)]
    market = read_market(*Flow(late, books).frames(), admit_unverifiable=False)
    span = {"first_ns": NOON_NS, "end_ns": NOON_NS + 7 * SECOND_NS}
    intervals = find_intervals(market, interval_ns=SECOND_NS, **span)
    late_ns = NOON_NS + 61_500 * MS
    assert [int(known) == late_ns for known in arrivals(market, intervals)] == [k == 1 for k in range(7)]
    fit = kyle_lambda(market, intervals.ts_end, KYLE)
    assert [int(known) == late_ns for known in fit.known] == [1 <= k <= 4 for k in range(7)]


def test_interval_is_known_with_the_books_that_its_orders_met() -> None:
    slow_ns = NOON_NS + 60_000 * MS
    # The slow book is of the interval before that of the trade, and not the one at its end.
    books = [replace(book(150), arrival=slow_ns), book(250), book(450)]
    options = FeatureOptions(interval_ns=SECOND_NS // 10, kyle_window_ns=SECOND_NS)
    for ms, known in ((205, slow_ns), (255, NOON_NS + 457 * MS)):
        found = features([trade(1, ms, "100", "buy")], books, options).filter(pl.col("trades") == 1)
        assert found["ts_available"].to_list() == [known]
