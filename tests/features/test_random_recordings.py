"""Random recordings: both tables against the reference, however they are cut, and whatever arrives later."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from etl_ray.features import FeatureOptions, interval_features, trades_with_book
from tests.features.recordings import (
    APPROXIMATE,
    DATES,
    END_NS,
    FIRST_DATE,
    FIRST_NS,
    Flow,
    after,
    assert_rows,
    random_flow,
    random_options,
    recording,
    until,
)
from tests.reference.cross import DAY_NS, feature_rows, trades_with_book_rows

TABLES: list[Callable[..., pl.DataFrame]] = [trades_with_book, interval_features]
SEEDS = st.integers(0, 2**32)


def check_against_reference(seed: int) -> None:
    flow, options = random_flow(seed), random_options(seed)
    truth = recording(flow, options)
    trades, book = flow.frames(decimal=seed % 3 == 0)
    span = {"first_ns": FIRST_NS, "end_ns": END_NS}
    assert_rows(trades_with_book(trades, book, options, **span), trades_with_book_rows(truth, FIRST_NS, END_NS))
    assert_rows(interval_features(trades, book, options, **span), feature_rows(truth, FIRST_NS, END_NS))


def check_cuts(seed: int) -> None:
    """Hold spans that are computed one by one, of the rows that `CONTEXT` asks for, to all at once."""
    draw = random.Random(seed)
    flow, options = random_flow(seed), random_options(seed)
    cuts = {(FIRST_DATE + k) * DAY_NS for k in range(DATES + 2)}
    if draw.random() < 0.5:
        cuts = {FIRST_NS, END_NS, *(draw.randrange(FIRST_NS, END_NS) for _ in range(draw.randrange(4)))}
    edges = sorted(cuts)
    for compute in TABLES:
        whole = compute(*flow.frames(), options, first_ns=FIRST_NS, end_ns=END_NS)
        parts = [
            compute(*context(flow, first, end).frames(), options, first_ns=first, end_ns=end)
            for first, end in pairwise(edges)
        ]
        assert_frame_equal(pl.concat(parts), whole, check_exact=True)


def context(flow: Flow, first_ns: int, end_ns: int) -> Flow:
    """Return the rows that `CONTEXT` asks for, and no others."""
    first, last = first_ns // DAY_NS, (end_ns - 1) // DAY_NS
    begin, limit = (first - 2) * DAY_NS, (last + 2) * DAY_NS
    trades = [
        *[one for one in flow.trades if one.ts_event < begin][-1:],
        *[one for one in flow.trades if begin <= one.ts_event < limit],
        *[one for one in flow.trades if one.ts_event >= limit][:1],
    ]
    return Flow(trades, [one for one in flow.books if first - 1 <= one.ts_align // DAY_NS <= last + 1])


def check_leakage(seed: int) -> None:
    """Rows that were available at an instant are the same whatever arrives after it, and if nothing does."""
    flow, options = random_flow(seed), random_options(seed)
    arrivals = sorted({one.arrival for one in [*flow.trades, *flow.books]})
    for time in random.Random(seed).sample(arrivals, min(3, len(arrivals))):
        for compute in TABLES:
            span = {"first_ns": FIRST_NS, "end_ns": END_NS}
            then = compute(*flow.frames(), options, **span).filter(pl.col("ts_available") <= time)
            changed = compute(*after(flow, time, seed=seed).frames(), options, **span)
            assert_frame_equal(changed.filter(pl.col("ts_available") <= time), then, check_exact=True)
            left = compute(*until(flow, time).frames(), options, **span)
            assert_frame_equal(left.join(then, on=then.columns, how="semi", nulls_equal=True), then, check_exact=True)


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_reference(seed: int) -> None:
    check_against_reference(seed)


@settings(max_examples=20, deadline=None)
@example(4708)  # a clock that steps back by a day
@given(SEEDS)
def test_cuts_and_context_change_nothing(seed: int) -> None:
    check_cuts(seed)


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_nothing_is_told_of_the_future(seed: int) -> None:
    check_leakage(seed)


@pytest.mark.slow
@pytest.mark.parametrize("check", [check_against_reference, check_cuts, check_leakage])
def test_many(check: Callable[[int], None]) -> None:
    for seed in range(1_500):
        check(seed)


def test_random_recordings_hold_what_they_should() -> None:
    """Tell that each column has values and nulls somewhere, so that agreement means something."""
    found = []
    for seed in range(60):
        flow = random_flow(seed)
        found.append(interval_features(*flow.frames(), random_options(seed), first_ns=FIRST_NS, end_ns=END_NS))
    features = pl.concat(found)
    for name in ("effective_spread_bps_mean", "ofi", "kyle_lambda", "kyle_r2", "vpin"):
        assert features[name].null_count() > 20, name
        assert features[name].drop_nulls().n_unique() > 10, name


@pytest.mark.parametrize("seed", range(8))
def test_numbers_at_the_limits_of_float(seed: int) -> None:
    """No number stops a date, however large or small, and what can be told of it is told exactly."""
    # The reference fills buckets one by one.
    draw, options = random.Random(seed), replace(random_options(seed), vpin_bucket=Decimal("1e307"))
    flow = random_flow(seed)
    numbers = [
        Fraction(text) for text in ("1e308", "5e-324", "1e-30", "123456789.12345679", "1e17", "9007199254740992")
    ]
    trades = [
        replace(one, price=draw.choice(numbers), size=draw.choice(numbers)) if draw.random() < 0.3 else one
        for one in flow.trades
    ]
    books = [replace(one, bid=one.bid and draw.choice(numbers), crossed=False) for one in flow.books]
    flow = Flow(trades, books)
    truth, span = recording(flow, options), {"first_ns": FIRST_NS, "end_ns": END_NS}
    assert_rows(trades_with_book(*flow.frames(), options, **span), trades_with_book_rows(truth, FIRST_NS, END_NS))
    found = interval_features(*flow.frames(), options, **span).drop(APPROXIMATE)
    expected = [
        {name: value for name, value in row.items() if name not in APPROXIMATE}
        for row in feature_rows(truth, FIRST_NS, END_NS)
    ]
    assert_rows(found, expected)


def test_books_without_features() -> None:
    flow, options = random_flow(4), FeatureOptions()
    span = {"first_ns": FIRST_NS, "end_ns": END_NS}
    whole = interval_features(*flow.frames(), options, **span)
    bare = interval_features(*flow.frames(has_ofi=False), options, **span)
    assert whole.height > 20
    expected = whole.with_columns(
        ofi=pl.lit(None, pl.Float64), ofi_n=pl.lit(0, pl.Int64), ofi_missing=pl.col("n_messages")
    )
    assert_frame_equal(bare, expected, check_exact=True)
