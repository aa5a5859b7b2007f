"""The parts of a market one by one."""

from __future__ import annotations

from dataclasses import astuple
from decimal import Decimal

import pytest

from etl_ray.sample.book import ASK, BID, Book, Fill
from etl_ray.sample.instruments import instrument
from etl_ray.sample.levels import _PriceTexts
from etl_ray.sample.tape import Tape

MIDNIGHT_NS = 1_764_201_600 * 10**9
SOL = instrument("SOL-USD")


@pytest.fixture
def book() -> Book:
    return Book(SOL, seed=1, levels=20)


def test_a_new_book_has_its_levels_around_the_price(book: Book) -> None:
    bids, asks = book.keys
    assert (len(bids), len(asks)) == (20, 20)
    assert (bids[-1], asks[-1]) == (14_275, -14_276)
    assert bids == sorted(bids)
    assert asks == sorted(asks)
    assert sorted(book.sizes) == sorted([*bids, *asks])
    assert [book.sizes[key] for key in bids] != [book.sizes[key] for key in asks]


def test_an_order_reduces_the_best_level(book: Book) -> None:
    ticks, lots = book.best(ASK)
    book.sizes[-ticks] = lots + 5
    assert book.take(ASK, lots + 2, max_levels=6) == [Fill(ticks, lots + 2)]
    assert book.best(ASK) == Fill(ticks, 3)
    assert list(book.touched) == [-ticks]


def test_an_order_removes_what_it_takes_whole(book: Book) -> None:
    first, second = book.keys[BID][-1], book.keys[BID][-2]
    book.sizes[first], book.sizes[second] = 4, 9
    assert book.take(BID, 6, max_levels=6) == [Fill(first, 4), Fill(second, 2)]
    assert book.best(BID) == Fill(second, 7)
    assert first not in book.sizes
    assert list(book.touched) == [first, second]
    assert book.take(BID, 100, max_levels=0) == []


def test_levels_that_the_price_passes_are_removed(book: Book) -> None:
    asks = [(-key, book.sizes[key]) for key in book.keys[ASK][::-1]]
    passed = [ask for ask in asks if ask[0] <= asks[0][0] + 3]
    book.walk(4 * 1024)
    assert book.clear(ASK, max_levels=1) == passed[:1]
    assert book.clear(BID, max_levels=1) == []
    assert [-key for key in book.touched] == [ticks for ticks, _ in passed]
    assert book.best(ASK) == asks[len(passed)]


def test_a_side_that_fell_behind_gets_a_new_best(book: Book) -> None:
    book.improve(BID, gap_ticks=1, lots=7)
    assert book.best(BID).ticks == 14_275
    book.walk(10 * 1024)
    book.improve(BID, gap_ticks=1, lots=7)
    assert book.best(BID) == Fill(14_284, 7)


def test_a_finished_candle_is_sent_once_more() -> None:
    tape = Tape(SOL, seed=1, start_ns=MIDNIGHT_NS)
    tape.last_candles()
    before = astuple(tape.candle)
    tape.add([Fill(14_300, 5), Fill(14_310, 2)], time_ns=MIDNIGHT_NS - 1000, taker_buys=True)
    tape.add([Fill(14_290, 1)], time_ns=MIDNIGHT_NS, taker_buys=False)
    start_s = MIDNIGHT_NS // 10**9
    finished = (start_s - 300, before[1], 14_310, before[3], 14_310, before[5] + 7)
    current = (start_s, 14_290, 14_290, 14_290, 14_290, 1)
    assert [astuple(candle) for candle in tape.candles()] == [finished, current]
    assert [astuple(candle) for candle in tape.candles()] == [current]
    assert [astuple(candle) for candle in tape.last_candles()] == [finished, current]


def test_trades_wait_until_they_are_delivered() -> None:
    tape = Tape(SOL, seed=1, start_ns=MIDNIGHT_NS)
    assert (tape.room, len(tape.deliver())) == (40, 60)
    tape.add([Fill(14_300, 5)], time_ns=MIDNIGHT_NS, taker_buys=True)
    assert tape.room == 99
    assert [(trade.ticks, trade.lots, trade.taker_buys) for trade in tape.deliver()] == [(14_300, 5, True)]
    assert tape.deliver() == []


def test_texts_of_prices_are_right_and_bounded() -> None:
    texts = _PriceTexts(instrument("BTC-USD"), end="!")
    for ticks in range(1, 70_000):
        assert texts[-ticks] == f"{Decimal(ticks) / 100:f}!"
    assert len(texts) < 65_536
