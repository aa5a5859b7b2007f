"""Every feature against its formula in fractions."""

from __future__ import annotations

from fractions import Fraction
from math import isclose, isnan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_ray.book import ASK, BID, NetDelta, Replay, ReplayOptions, States, book_features, ofi, ofi_levels, replay
from tests.book.messages import streams, updates_of
from tests.book.plain import PlainBook, Row, features, order_flow

SCALES = {"price_scale": 2, "quantity_scale": 3}
EXACT = ("mid", "spread")


def states_and_books(stream: list[list[Row]], options: ReplayOptions) -> tuple[States, list[PlainBook]]:
    states, _ = replay(NetDelta.empty(), updates_of(stream), options, **SCALES)
    book, books = [], []
    for message in stream:
        book = book + message
        books.append(PlainBook(book))
    return states, books


def assert_value(found: float, expected: Fraction | None, *, exact: bool) -> None:
    if expected is None:
        assert isnan(found)
    elif exact:
        assert found == float(expected)
    else:  # a few roundings
        assert isclose(found, expected, rel_tol=1e-15)


@settings(deadline=None)
@given(streams)
def test_features_of_the_book_follow_their_formulas(stream: list[list[Row]]) -> None:
    states, books = states_and_books(stream, ReplayOptions(3))
    found = book_features(states, ReplayOptions(3), **SCALES, imbalance_levels=(1, 2, 3))
    assert list(found) == [*EXACT, "spread_bps", "weighted_mid", "imbalance_1", "imbalance_2", "imbalance_3"]
    assert {(values.dtype, len(values)) for values in found.values()} == {(np.dtype(np.float64), len(stream))}
    for m, book in enumerate(books):
        for name, expected in features(book, (1, 2, 3), 2, 3).items():
            assert_value(found[name][m], expected, exact=name in EXACT)


def test_depths_and_sweeps_are_columns_in_the_order_of_the_options() -> None:
    options = ReplayOptions(1, (50, 10), (1_000_000.0, 2.5))
    stream = [[(BID, 10_000, 5_000), (ASK, 10_020, 4_000), (BID, 9_970, 1_000)], [(ASK, 10_020, 0)]]
    states, _ = states_and_books(stream, options)
    found = book_features(states, options, **SCALES)
    assert list(found)[5:] == [
        "depth_bid_50bps",
        "depth_ask_50bps",
        "depth_bid_10bps",
        "depth_ask_10bps",
        "sweep_bid_1000000",
        "sweep_ask_1000000",
        "sweep_bid_2.5",
        "sweep_ask_2.5",
    ]
    assert [values[0] for name, values in found.items() if name.startswith("depth")] == [6.0, 4.0, 5.0, 4.0]
    assert [values[0] for name, values in found.items() if name.endswith("_2.5")] == [100.0, 100.2]
    assert isnan(found["sweep_bid_1000000"][0])
    assert found["sweep_bid_2.5"][1] == 100.0  # bids alone are enough to sell
    assert isnan(found["depth_bid_10bps"][1])


@settings(deadline=None)
@given(streams, st.data())
def test_order_flow_follows_its_formula(stream: list[list[Row]], data: st.DataObject) -> None:
    states, books = states_and_books(stream, ReplayOptions(3))
    breaks = np.array(data.draw(st.lists(st.booleans(), min_size=len(stream), max_size=len(stream))), np.bool_)
    kept = breaks.copy()
    found = ofi_levels(states, quantity_scale=3, previous=None, breaks=breaks, levels=3)
    np.testing.assert_array_equal(breaks, kept)
    assert found.shape == (len(stream), 3)
    for m, book in enumerate(books):
        for rank in range(3):
            expected = None if m == 0 or breaks[m] else order_flow(book, books[m - 1], rank, 3)
            assert_value(found[m, rank], expected, exact=expected is not None and abs(expected) * 1000 < 2**53)
    first = ofi(states, quantity_scale=3, previous=None, breaks=breaks)
    np.testing.assert_array_equal(first, found[:, 0])


@settings(deadline=None)
@given(streams, st.data())
def test_order_flow_in_parts_is_that_of_the_whole(stream: list[list[Row]], data: st.DataObject) -> None:
    updates = updates_of(stream)
    breaks = np.array(data.draw(st.lists(st.booleans(), min_size=len(stream), max_size=len(stream))), np.bool_)
    cut = data.draw(st.integers(0, len(stream)))
    states, _ = states_and_books(stream, ReplayOptions(2))
    whole = ofi_levels(states, quantity_scale=3, previous=None, breaks=breaks, levels=2)
    running = Replay(NetDelta.empty(), updates, ReplayOptions(2), **SCALES)
    first = running.states(0, cut)
    previous = first.rows(cut - 1, cut) if cut else None
    second = running.states(cut, len(stream))
    parts = [
        ofi_levels(first, quantity_scale=3, previous=None, breaks=breaks[:cut], levels=2),
        ofi_levels(second, quantity_scale=3, previous=previous, breaks=breaks[cut:], levels=2),
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_order_flow_counts_what_the_paper_counts() -> None:
    stream = [
        [(BID, 100, 5), (ASK, 102, 7)],
        [(BID, 100, 9)],  # 4 more at the bid
        [(BID, 101, 2)],  # a better bid of 2
        [(BID, 101, 0)],  # which leaves again
        [(ASK, 102, 4)],  # 3 less at the ask
        [(ASK, 102, 0), (ASK, 103, 6)],  # the ask's 4 leave
    ]
    states, _ = states_and_books(stream, ReplayOptions(1))
    found = ofi(states, quantity_scale=0, previous=None, breaks=np.zeros(6, np.bool_))
    assert isnan(found[0])
    assert found[1:].tolist() == [4.0, 2.0, -2.0, 3.0, 4.0]


def test_order_flow_out_of_a_crossed_state_is_null_across_parts() -> None:
    states, _ = states_and_books(
        [[(BID, 103, 5), (ASK, 102, 7)], [(BID, 103, 0), (BID, 101, 1)], [(BID, 101, 4)]], ReplayOptions(1)
    )
    breaks = np.zeros(2, np.bool_)
    found = ofi(states.rows(1, 3), quantity_scale=0, previous=states.rows(0, 1), breaks=breaks)
    np.testing.assert_array_equal(found, [np.nan, 3.0])


def test_more_levels_than_states_have_are_refused() -> None:
    states, _ = states_and_books([[(BID, 1, 1)]], ReplayOptions(2))
    with pytest.raises(ValueError, match="imbalance over 3 levels; states have 2"):
        book_features(states, ReplayOptions(2), **SCALES, imbalance_levels=(3,))
    with pytest.raises(ValueError, match="levels is 0; states have 2"):
        ofi_levels(states, quantity_scale=0, previous=None, breaks=np.zeros(1, np.bool_), levels=0)
