"""The book for people against the dictionary book."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_ray.book import ASK, BID, CLEAR, OrderBook
from tests.book.messages import delta_of, messages, updates_of
from tests.book.plain import PlainBook, Row


def book_of(rows: list[Row], *, price_scale: int = 2, quantity_scale: int = 3) -> OrderBook:
    return OrderBook.from_levels(delta_of(rows), price_scale=price_scale, quantity_scale=quantity_scale)


@settings(deadline=None)
@given(messages, messages, st.integers(0, 4), st.sampled_from([0, 1, 50, 10_000, 30_000]))
def test_it_is_what_a_dictionary_book_is(first: list[Row], second: list[Row], n: int, bps: int) -> None:
    book, plain = book_of(first), PlainBook(first)
    updates = updates_of([second])
    book.apply(updates.side, updates.price, updates.quantity)
    plain.apply(second)
    bids, asks = book.top(n)
    assert list(zip(bids.price.tolist(), bids.quantity.tolist(), strict=True)) == plain.bids[:n]
    assert list(zip(asks.price.tolist(), asks.quantity.tolist(), strict=True)) == plain.asks[:n]
    assert book.best() == (next(iter(plain.bids), None), next(iter(plain.asks), None))
    assert book.is_crossed == plain.is_crossed
    assert book.is_locked == (plain.is_two_sided and plain.bids[0][0] == plain.asks[0][0])
    assert book.depth_within_bps(bps) == plain.depth(bps)
    assert book.levels() == delta_of([(CLEAR, 0, 0), *first, *second])


@settings(deadline=None)
@given(messages)
def test_arrow_and_back(rows: list[Row]) -> None:
    book = book_of(rows)
    table = book.to_arrow()
    back = OrderBook.from_arrow(table, price_scale=2, quantity_scale=3)
    assert back.levels() == book.levels()
    plain = PlainBook(rows)
    assert table.num_rows == len(plain.bids) + len(plain.asks)


def test_arrow_has_exact_decimals_best_first() -> None:
    table = book_of([(BID, 100, 2_500), (BID, 101, 1), (ASK, 2**61, 2**63 - 1), (ASK, 103, 7)]).to_arrow()
    assert table.schema.types == [pa.string(), pa.int32(), pa.decimal128(38, 18), pa.decimal128(38, 18)]
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        ("bid", 0, Decimal("1.01"), Decimal("0.001")),
        ("bid", 1, Decimal("1.00"), Decimal("2.5")),
        ("ask", 0, Decimal("1.03"), Decimal("0.007")),
        ("ask", 1, Decimal("23058430092136939.52"), Decimal("9223372036854775.807")),
    ]


def test_tables_with_other_content_are_refused() -> None:
    table = book_of([(BID, 101, 1)]).to_arrow()
    with pytest.raises(ValueError, match=r"1\.01.* has more than 1 decimals"):
        OrderBook.from_arrow(table, price_scale=1, quantity_scale=3)
    with pytest.raises(ValueError, match="side is 'offer'; expected 'bid' or 'ask'"):
        OrderBook.from_arrow(table.set_column(0, "side", pa.array(["offer"])), price_scale=2, quantity_scale=3)


def test_decimals_in_text_give_the_scales() -> None:
    book = OrderBook.of_decimals(bids=[("1.5", "10"), ("1.25", "1e-3")], asks=[("2", "0")])
    assert (book.price_scale, book.quantity_scale) == (2, 3)
    assert book.best() == ((150, 10_000), None)
    empty = OrderBook.of_decimals(bids=[], asks=[])
    assert (empty.price_scale, empty.quantity_scale, empty.best()) == (0, 0, (None, None))
    with pytest.raises(ValueError, match="NaN is no number"):
        OrderBook.of_decimals(bids=[("NaN", "1")], asks=[])


def test_clear_empties_both_sides() -> None:
    book = book_of([(BID, 1, 1), (ASK, 2, 1)])
    assert not book.is_crossed
    book.apply([BID], [2], [1])
    assert book.is_locked
    book.clear()
    assert book.best() == (None, None)
    assert book.depth_within_bps(10) is None
    assert np.array_equal(book.levels().price, [])
