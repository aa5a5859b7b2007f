"""Replays against a dictionary book, in one part and in many."""

from __future__ import annotations

import doctest
import re
from dataclasses import fields
from math import isclose, nan
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_ray.book import (
    ASK,
    BID,
    CLEAR,
    Ladder,
    NetDelta,
    Replay,
    ReplayOptions,
    States,
    Updates,
    kernel,
    order_book,
    replay,
)
from tests.book.messages import delta_of, streams, updates_of
from tests.book.plain import PlainBook, Row, exact_sweep, sweep

SCALES = {"price_scale": 2, "quantity_scale": 3}
options = st.builds(
    ReplayOptions,
    st.integers(1, 5),
    st.lists(st.sampled_from([0, 1, 10, 50, 5_000, 10_000, 20_000, 1_000_000]), max_size=4, unique=True).map(tuple),
    st.lists(st.sampled_from([0.001, 0.5, 20.0, 1e9, 1e30]), max_size=3, unique=True).map(tuple),
)


def assert_equal(states: States, expected: States) -> None:
    for field in fields(States):
        found, wanted = getattr(states, field.name), getattr(expected, field.name)
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted, field.name)


def plain_states(books: list[PlainBook], options: ReplayOptions) -> States:
    """Return the states of books by the definitions."""

    def padded(levels: list[tuple[int, int]], part: int) -> list[int]:
        found = [level[part] for level in levels[: options.depth]]
        return found + [0] * (options.depth - len(found))

    def depths(side: int) -> list[list[float]]:
        found = [[book.depth(bps) for bps in options.bps] for book in books]
        return [[nan if depth is None else float(depth[side]) / 10**3 for depth in row] for row in found]

    def column(rows: list[list[int]], dtype: type, width: int) -> np.ndarray:
        return np.array(rows, dtype).reshape(len(books), width)

    n_bps, n_notionals = len(options.bps), len(options.notionals)
    return States(
        n_levels=column([[min(len(s), options.depth) for s in (b.bids, b.asks)] for b in books], np.int32, 2),
        bid_price=column([padded(book.bids, 0) for book in books], np.int64, options.depth),
        bid_quantity=column([padded(book.bids, 1) for book in books], np.int64, options.depth),
        ask_price=column([padded(book.asks, 0) for book in books], np.int64, options.depth),
        ask_quantity=column([padded(book.asks, 1) for book in books], np.int64, options.depth),
        depth_bid=column(depths(BID), np.float64, n_bps),
        depth_ask=column(depths(ASK), np.float64, n_bps),
        sweep_bid=column([[sweep(b.bids, n, 2, 3) for n in options.notionals] for b in books], np.float64, n_notionals),
        sweep_ask=column([[sweep(b.asks, n, 2, 3) for n in options.notionals] for b in books], np.float64, n_notionals),
        crossed=np.array([book.is_crossed for book in books], np.bool_),
    )


def plain_books(start: list[Row], stream: list[list[Row]]) -> list[PlainBook]:
    """Return the book after each message."""
    rows = list(start)
    books = []
    for message in stream:
        rows = rows + message
        books.append(PlainBook(rows))
    return books


@settings(deadline=None)  # the first example compiles
@given(st.lists(streams, max_size=1), streams, options, st.data())
def test_states_are_those_of_a_dictionary_book(
    before: list[list[list[Row]]], stream: list[list[Row]], options: ReplayOptions, data: st.DataObject
) -> None:
    wanted = data.draw(st.none() | st.lists(st.booleans(), min_size=len(stream), max_size=len(stream)))
    start = [row for messages in before for message in messages for row in message]
    states, end = replay(delta_of(start), updates_of(stream), options, **SCALES, wanted=wanted)
    books = plain_books(start, stream)
    chosen = [book for m, book in enumerate(books) if wanted is None or wanted[m]]
    assert_equal(states, plain_states(chosen, options))
    last = books[-1] if books else PlainBook(start)
    assert end.is_reset
    assert list(zip(*(column.tolist() for column in end.bids()), strict=True)) == last.bids[::-1]
    assert list(zip(*(column.tolist() for column in end.asks()), strict=True)) == last.asks


@settings(deadline=None)  # the first example compiles
@given(streams, options)
def test_sweeps_are_near_to_what_they_would_be_without_rounding(
    stream: list[list[Row]], options: ReplayOptions
) -> None:
    states, _ = replay(NetDelta.empty(), updates_of(stream), options, **SCALES)
    for m, book in enumerate(plain_books([], stream)):
        for j, notional in enumerate(options.notionals):
            for levels, found in ((book.bids, states.sweep_bid[m, j]), (book.asks, states.sweep_ask[m, j])):
                exact = exact_sweep(levels, notional, 2, 3)
                if exact is not None and not np.isnan(found):  # at the edge, rounding decides whether it can be filled
                    assert isclose(found, exact, rel_tol=1e-9)


@settings(deadline=None)  # the first example compiles
@given(streams, options, st.data())
def test_parts_give_what_the_whole_gives(stream: list[list[Row]], options: ReplayOptions, data: st.DataObject) -> None:
    updates = updates_of(stream)
    whole, end = replay(NetDelta.empty_book(), updates, options, **SCALES)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    wanted = np.array(data.draw(st.lists(st.booleans(), min_size=len(stream), max_size=len(stream))), np.bool_)
    ladder = data.draw(st.sampled_from([None, Ladder()]))
    running = Replay(NetDelta.empty_book(), updates, options, **SCALES, ladder=ladder)
    for first, last in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        part = running.states(first, last, wanted[first:last])
        rows = np.flatnonzero(wanted[first:last]) + first
        assert_equal(part, States(*(getattr(whole, field.name)[rows] for field in fields(States))))
        assert running.position == last
        assert running.book() == delta_of([row for message in stream[:last] for row in message]).apply(
            NetDelta.empty_book()
        )
    assert running.book() == end


@settings(deadline=None)  # the first example compiles
@given(streams, options, st.data())
def test_any_shard_replays_from_its_composed_start_book(
    stream: list[list[Row]], options: ReplayOptions, data: st.DataObject
) -> None:
    whole, end = replay(NetDelta.empty_book(), updates_of(stream), options, **SCALES)
    cut = data.draw(st.integers(0, len(stream)))
    start = NetDelta.empty()
    for message in stream[:cut]:
        start = start.compose(delta_of(message))
    states, last = replay(start, updates_of(stream[cut:]), options, **SCALES)
    assert_equal(states, whole.rows(cut, len(stream)))
    assert last == end


def many_levels(seed: int, n_prices: int) -> tuple[Updates, NetDelta]:
    """Return a start book of `n_prices` a side, and messages that remove and restore stretches of it."""
    random = np.random.default_rng(seed)
    price = np.arange(n_prices, dtype=np.int64)
    start = NetDelta(
        True, np.repeat([BID, ASK], n_prices), np.concatenate([price, price + n_prices]), np.full(2 * n_prices, 7)
    )
    rows: list[np.ndarray] = []
    offsets = [0]
    for _ in range(40):
        first, length = random.integers(0, n_prices), random.integers(1, n_prices)
        level = np.concatenate([np.arange(n_prices - min(length, n_prices), n_prices), random.integers(0, n_prices, 5)])
        level = np.unique(level[level != first])
        quantity = np.where(random.random(len(level)) < 0.01, random.integers(1, 99, len(level)), 0)
        side = int(random.integers(0, 2))
        prices = level if side == BID else 2 * n_prices - 1 - level
        rows.append(np.array([np.full(len(level), side), prices, quantity]))
        offsets.append(offsets[-1] + len(level))
        if random.random() < 0.1:
            rows.append(np.array([[CLEAR], [0], [0]]))
            offsets[-1] += 1
    columns = np.concatenate(rows, axis=1)
    return Updates(np.array(offsets), columns[0].astype(np.int8), columns[1], columns[2]), start


@pytest.mark.parametrize("n_prices", [31, 32, 33, 2_047, 2_049, 140_000])
def test_large_and_sparse_books_are_searched_right(n_prices: int) -> None:
    updates, start = many_levels(n_prices, n_prices)
    options = ReplayOptions(3, (1_000, 4_000), (100.0,))
    states, end = replay(start, updates, options, **SCALES)
    book = start
    for m in range(len(updates)):
        rows = slice(updates.offsets[m], updates.offsets[m + 1])
        book = NetDelta.of(updates.side[rows], updates.price[rows], updates.quantity[rows]).apply(book)
        prices, quantities = book.bids()
        n = states.n_levels[m, BID]
        assert n == min(3, len(prices))
        assert states.bid_price[m].tolist() == [*prices[::-1][:n], *[0] * (3 - n)]
        assert states.bid_quantity[m].tolist() == [*quantities[::-1][:n], *[0] * (3 - n)]
        prices, quantities = book.asks()
        n = states.n_levels[m, ASK]
        assert n == min(3, len(prices))
        assert states.ask_price[m].tolist() == [*prices[:n], *[0] * (3 - n)]
        assert states.ask_quantity[m].tolist() == [*quantities[:n], *[0] * (3 - n)]
        depths = order_book.OrderBook.from_levels(book, **SCALES).depth_within_bps(4_000)
        if depths is None:
            assert np.isnan(states.depth_bid[m, 1])
        else:
            assert (states.depth_bid[m, 1], states.depth_ask[m, 1]) == (depths[0] / 10**3, depths[1] / 10**3)
    assert end == book


def test_bounds_of_depth_are_inclusive_and_exact_beyond_53_bits() -> None:
    # Mid is 10000 x, so 1 bps is x: floats could not tell the level at the bound from its neighbour.
    x = 2**61 // 10_001
    rows = [(BID, 9_999 * x, 5), (BID, 9_999 * x - 1, 100), (ASK, 10_001 * x, 7), (ASK, 10_001 * x + 1, 200)]
    states, _ = replay(NetDelta.empty(), updates_of([rows]), ReplayOptions(1, (1, 0)), price_scale=0, quantity_scale=0)
    assert states.depth_bid.tolist() == [[5.0, 0.0]]
    assert states.depth_ask.tolist() == [[7.0, 0.0]]


def test_sums_of_depth_do_not_overflow_and_round_once() -> None:
    largest = 2**63 - 1
    rows = [(BID, price, largest) for price in range(1, 101)] + [(ASK, 101, 2**53), (ASK, 102, 1), (ASK, 103, 2**54)]
    states, _ = replay(
        NetDelta.empty(), updates_of([rows]), ReplayOptions(1, (10_000,)), price_scale=0, quantity_scale=0
    )
    assert states.depth_bid.tolist() == [[float(100 * largest)]]
    assert states.depth_ask.tolist() == [[float(2**53 + 1 + 2**54)]]


def test_a_ladder_serves_one_replay_at_a_time() -> None:
    ladder, updates = Ladder(), updates_of([[(BID, 1, 1)], [(BID, 2, 1)]])
    first = Replay(NetDelta.empty(), updates, ReplayOptions(1), **SCALES, ladder=ladder)
    kept = first.states(0, 1)
    assert kept.bid_price.tolist() == [[1]]
    assert first.states(1, 2).bid_price.tolist() == [[2]]
    assert kept.bid_price.tolist() == [[2]]  # lies in the ladder
    Replay(NetDelta.empty(), updates, ReplayOptions(1), **SCALES, ladder=ladder)
    with pytest.raises(ValueError, match="has gone to another replay"):
        first.book()


def test_states_without_a_ladder_are_the_callers_own() -> None:
    running = Replay(NetDelta.empty(), updates_of([[(BID, 1, 1)], [(BID, 2, 1)]]), ReplayOptions(1), **SCALES)
    kept = running.states(0, 1)
    running.states(1, 2)
    assert kept.bid_price.tolist() == [[1]]


def test_wrong_use_is_refused() -> None:
    good = updates_of([[(BID, 1, 1)], [(ASK, 2, 1)]])
    running = Replay(NetDelta.empty(), good, ReplayOptions(1), **SCALES)
    with pytest.raises(ValueError, match="states of messages 1 to 2: the replay of 2 stands at message 0"):
        running.states(1, 2)
    with pytest.raises(ValueError, match="states of messages 0 to 3"):
        running.states(0, 3)
    with pytest.raises(ValueError, match="wanted has 1 items for 2 messages"):
        running.states(0, 2, [True])
    for offsets in ([], [0, 3], [1, 0], [-1, 2]):
        with pytest.raises(ValueError, match="offsets of messages have to ascend within 0 to 2"):
            replay(
                NetDelta.empty(),
                Updates(np.array(offsets), good.side, good.price, good.quantity),
                ReplayOptions(1),
                **SCALES,
            )
    for row in ((3, 1, 1), (-1, 1, 1), (BID, -1, 1), (ASK, 2**62, 1), (BID, 1, -1)):
        with pytest.raises(ValueError, match="row 1: side, price and quantity are " + ", ".join(map(str, row))):
            replay(NetDelta.empty(), updates_of([[(BID, 1, 1), row]]), ReplayOptions(1), **SCALES)
    for wrong in (
        {"depth": 0},
        {"depth": 1, "bps": (-1,)},
        {"depth": 1, "bps": (1_000_001,)},
        {"depth": 1, "notionals": (0.0,)},
    ):
        with pytest.raises(ValueError, match="expected"):
            ReplayOptions(**wrong)


def test_each_kernel_is_compiled_once() -> None:
    start = delta_of([(BID, 1, 1)])
    columns = [[0, 1], [BID], [2], [3]]
    for updates in (Updates(*map(np.array, columns)), updates_of([[(BID, 2, 3)]])):
        states, end = replay(start.compose(start), updates, ReplayOptions(1, (1,), (1.0,)), **SCALES, wanted=[True])
        assert states.bid_price.tolist() == [[2]]
        assert len(end.compose(start)) == 2
    sources = "".join(
        path.read_text() for path in Path(kernel.__file__).parent.glob("*.py") if path.name != "kernel.py"
    )
    called = {"first_wrong_row", *re.findall(r"\bkernel\.([a-z]\w+)\(", sources)}  # others are compiled within these
    compiled = {name: len(getattr(kernel, name).signatures) for name in called}
    assert {"advance", "merge", "last_quantities"} <= called
    assert max(compiled.values()) == 1, compiled


def test_the_example_in_the_documentation_holds() -> None:
    assert doctest.testmod(order_book).failed == 0
