"""The books of a sample, replayed."""

from __future__ import annotations

from collections import Counter, defaultdict
from decimal import Decimal
from itertools import repeat

import pytest

from etl_ray.sample import SampleOptions
from etl_ray.sample.book import ASK, BID
from etl_ray.sample.connection import Connection
from etl_ray.sample.instruments import instrument
from etl_ray.sample.market import Market
from etl_ray.sample.sessions import Quirks
from etl_ray.sample.shapes import Shape

from .conftest import Recording
from .plain import PlainBook, events_of
from .strict import checked

NS_PER_S = 10**9


def test_books_never_cross_and_tickers_show_them(either: Recording) -> None:
    tickers = removals = unknown = 0
    for lines in either.connections():
        books: dict[str, PlainBook] = defaultdict(PlainBook)
        for line in lines:
            if line.channel == "l2_data":
                changes = [books[event["product_id"]].apply(event) for event in line.message["events"]]
                assert any(changes), line.text
                for event in line.message["events"]:
                    removals += sum(update["new_quantity"] == "0" for update in event["updates"])
                    bid, _, ask, _ = books[event["product_id"]].best()
                    assert bid < ask, line.text
            elif line.channel == "ticker":
                for event in line.message["events"]:
                    for ticker in event["tickers"]:
                        said = tuple(
                            Decimal(ticker[key])
                            for key in ("best_bid", "best_bid_quantity", "best_ask", "best_ask_quantity")
                        )
                        assert said == books[ticker["product_id"]].best(), line.text
                        tickers += 1
        unknown += sum(book.unknown_removals for book in books.values())
    assert tickers > 1000
    assert 0 < unknown < removals / 10


def test_books_stay_deep_and_close(recording: Recording) -> None:
    book = PlainBook()
    for _, event in events_of(recording.connections()[-1], "l2_data"):
        if event["product_id"] == "BTC-USD":
            book.apply(event)
    bid, _, ask, _ = book.best()
    assert ask - bid < bid / 10_000
    assert all(300 < len(side) < 600 for side in book.levels.values())


def test_level2_events_touch_each_level_once_at_one_time(either: Recording) -> None:
    for _, event in events_of(either.lines, "l2_data"):
        updates = event["updates"]
        assert len({(update["side"], update["price_level"]) for update in updates}) == len(updates)
        assert len({update["event_time"] for update in updates}) == 1
        assert (event["type"] == "snapshot") == (updates[0]["event_time"][:4] in ("1970", "0001"))


def test_messages_may_hold_several_events_of_different_products(recording: Recording) -> None:
    products = [
        tuple(event["product_id"] for event in line.message["events"])
        for line in recording.lines
        if line.channel == "l2_data" and len(line.message["events"]) > 1
    ]
    assert any(first != second for first, second in products)


def test_a_missing_book_comes_with_the_second_subscription() -> None:
    start_ns = SampleOptions().start_ns
    market = Market(instrument("SOL-USD"), seed=1, levels=50, rate_milli=20_000, start_ns=start_ns)
    quirks = Quirks(resubscribe_ns=(start_ns + NS_PER_S,), bookless=0)
    end_ns = start_ns + 2 * NS_PER_S
    connection = Connection(0, (market,), Shape(), seed=1, start_ns=start_ns, end_ns=end_ns, quirks=quirks)
    messages = [(message, checked(message.text)) for message in connection.messages()]
    kinds = [line.message["events"][0]["type"] for message, line in messages if message.channel == "l2_data"]
    assert kinds[0] == "update"
    assert kinds.count("snapshot") == 1
    again = [message.channel for message, _ in messages if message.answers == "resubscription"]
    assert again == ["l2_data", "market_trades"]


@pytest.mark.parametrize("length_ms", [500, 510, 520, 530])
def test_held_updates_are_sent_before_anything_that_shows_them(length_ms: int) -> None:
    start_ns = SampleOptions().start_ns
    market = Market(instrument("SOL-USD"), seed=1, levels=50, rate_milli=100_000, start_ns=start_ns)
    shape, end_ns = Shape(documented=True), start_ns + length_ms * 1_000_000
    connection = Connection(0, (market,), shape, seed=1, start_ns=start_ns, end_ns=end_ns)
    connection._draws = repeat(0)  # every update waits for the next one
    lines = [checked(message.text) for message in connection.messages()]
    held_by = [len(line.message["events"]) for line in lines if line.channel == "l2_data"]
    assert held_by.count(2) > 10
    assert held_by.count(1) > 1
    book = PlainBook()
    for line in lines:
        for event in line.message["events"]:
            if line.channel == "l2_data":
                book.apply(event)
            elif line.channel == "ticker":
                (ticker,) = event["tickers"]
                assert (Decimal(ticker["best_bid"]), Decimal(ticker["best_ask"])) == book.best()[::2]
    assert book.best() == final_best(market)


def final_best(market: Market) -> tuple[Decimal, ...]:
    traded, bid, ask = market.instrument, market.book.best(BID), market.book.best(ASK)
    texts = (
        traded.price_text(bid.ticks),
        traded.size_text(bid.lots),
        traded.price_text(ask.ticks),
        traded.size_text(ask.lots),
    )
    return tuple(Decimal(text) for text in texts)


def test_rates_are_about_as_asked(recording: Recording) -> None:
    updates = Counter(event["product_id"] for _, event in events_of(recording.lines, "l2_data"))
    asked = recording.options.rate * recording.options.minutes * 60
    for product in recording.options.products:
        assert asked * 0.9 < updates[product] < asked * 1.05
