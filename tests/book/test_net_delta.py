"""Net deltas against the dictionary book, and the algebra that parallel books rest on."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_ray.book import ASK, BID, CLEAR, NetDelta
from etl_ray.book.net_delta import compose_all
from tests.book.messages import delta_of, messages
from tests.book.plain import Row


def plain_delta(rows: list[Row]) -> tuple[bool, list[Row]]:
    """Return whether rows clear the book, and the last quantity of each level behind that, sorted."""
    is_reset = False
    last: dict[tuple[int, int], int] = {}
    for side, price, quantity in rows:
        if side == CLEAR:
            is_reset, last = True, {}
        else:
            last[side, price] = quantity
    return is_reset, [(*level, last[level]) for level in sorted(last) if last[level] or not is_reset]


def rows_of(delta: NetDelta) -> tuple[bool, list[Row]]:
    columns = (delta.side.tolist(), delta.price.tolist(), delta.quantity.tolist())
    return delta.is_reset, list(zip(*columns, strict=True))


@settings(deadline=None)
@given(messages)
def test_a_delta_is_the_last_quantity_of_each_level(rows: list[Row]) -> None:
    assert rows_of(delta_of(rows)) == plain_delta(rows)


@settings(deadline=None)
@given(messages, messages, messages)
def test_composition_is_associative_and_that_of_the_rows(first: list[Row], second: list[Row], third: list[Row]) -> None:
    a, b, c = delta_of(first), delta_of(second), delta_of(third)
    whole = delta_of(first + second + third)
    assert a.compose(b).compose(c) == whole
    assert a.compose(b.compose(c)) == whole
    assert compose_all(iter([a, b, c])) == whole
    assert rows_of(whole) == plain_delta(first + second + third)


@settings(deadline=None)
@given(messages)
def test_the_empty_delta_is_neutral(rows: list[Row]) -> None:
    delta = delta_of(rows)
    assert NetDelta.empty().compose(delta) == delta == delta.compose(NetDelta.empty())
    assert compose_all([]) == NetDelta.empty()
    assert compose_all([delta]) == delta


@settings(deadline=None)
@given(messages, messages)
def test_applying_to_a_book_is_composing_with_it(first: list[Row], second: list[Row]) -> None:
    book = delta_of([(CLEAR, 0, 0), *first])
    assert delta_of(second).apply(book) == book.compose(delta_of(second))
    assert delta_of(second).apply(NetDelta.empty_book()) == delta_of([(CLEAR, 0, 0), *second])


def test_thousands_of_levels_outgrow_every_first_table() -> None:
    random = np.random.default_rng(4)
    side = random.integers(0, 2, 200_000).astype(np.int8)
    # Neighbours, strides that are powers of two and far prices, which a hash could put into one place.
    price = np.concatenate(
        [
            random.integers(0, 60_000, 100_000),
            random.integers(0, 2**15, 50_000) << 46,
            random.integers(0, 2**62, 50_000),
        ]
    )
    quantity = random.integers(0, 3, 200_000)
    expected = plain_delta(list(zip(side.tolist(), price.tolist(), quantity.tolist(), strict=True)))
    assert rows_of(NetDelta.of(side, price, quantity)) == expected


def test_bids_and_asks_are_ascending() -> None:
    delta = delta_of([(ASK, 7, 1), (BID, 2, 4), (BID, 1, 3)])
    assert [column.tolist() for column in delta.bids()] == [[1, 2], [3, 4]]
    assert [column.tolist() for column in delta.asks()] == [[7], [1]]


def test_rescaling_multiplies_and_refuses_what_does_not_fit() -> None:
    delta = delta_of([(BID, 3, 5), (ASK, 4, 0)])
    assert delta.rescaled(100, 10) == delta_of([(BID, 300, 50), (ASK, 400, 0)])
    assert delta.rescaled(1, 1) == delta
    largest = delta_of([(BID, 2**62 - 1, 2**63 - 1)])
    assert largest.rescaled(1, 1) == largest
    with pytest.raises(OverflowError, match=r"price 461168601842738791 times 10 does not fit .* largest price is"):
        delta_of([(BID, 461168601842738791, 1)]).rescaled(10, 1)
    with pytest.raises(OverflowError, match=r"quantity 922337203685477581 times 10 does not fit"):
        delta_of([(BID, 1, 922337203685477581)]).rescaled(1, 10)
    fits = delta_of([(BID, 461168601842738790, 922337203685477580)]).rescaled(10, 10)
    assert rows_of(fits) == (False, [(BID, 4611686018427387900, 9223372036854775800)])
    for factor in (0, 5, -10, 10**19):
        with pytest.raises(ValueError, match=f"factor of the price is {factor}; expected a power of ten"):
            delta.rescaled(factor, 1)


def test_deltas_are_values() -> None:
    delta = delta_of([(BID, 3, 5)])
    assert delta == delta_of([(BID, 3, 5)])
    assert delta != delta_of([(ASK, 3, 5)])
    assert delta != delta_of([(BID, 4, 5)])
    assert delta != delta_of([(BID, 3, 6)])
    assert delta != delta_of([(CLEAR, 0, 0), (BID, 3, 5)])
    assert delta != "delta"
    assert pickle.loads(pickle.dumps(delta)) == delta
    with pytest.raises(ValueError, match="read-only"):
        delta.price[0] = 1


def test_rows_have_to_be_rows() -> None:
    with pytest.raises(ValueError, match=r"need a side, a price and a quantity each, not \[1, 2, 1\] of them"):
        NetDelta.of([BID], [1, 2], [1])
    with pytest.raises(TypeError, match="Cannot cast"):
        NetDelta.of([BID], [1.5], [1])
    with pytest.raises(ValueError, match="row 2: side, price and quantity are 0, 3, -1"):
        NetDelta.of([BID, CLEAR, BID], [1, -5, 3], [1, -7, -1])


@settings(deadline=None)
@given(st.lists(messages, max_size=6))
def test_all_at_once_is_one_after_the_other(stretches: list[list[Row]]) -> None:
    deltas = [delta_of(rows) for rows in stretches]
    one_by_one = NetDelta.empty()
    for delta in deltas:
        one_by_one = one_by_one.compose(delta)
    assert compose_all(deltas) == one_by_one
