"""What a sample says is held against plain recomputation."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections import Counter, defaultdict
from decimal import Decimal
from itertools import pairwise, repeat
from pathlib import Path

import pytest

from etl_ray.sample import SampleOptions, write_sample
from etl_ray.sample.book import ASK, BID
from etl_ray.sample.connection import Connection
from etl_ray.sample.instruments import instrument
from etl_ray.sample.market import Market
from etl_ray.sample.recording import arrivals
from etl_ray.sample.shapes import Shape

from .conftest import Recording
from .strict import Line, checked, ns

NS_PER_S = 10**9
SIDES = {"bid": "BUY", "offer": "SELL"}


class PlainBook:
    """A book of dicts: what a subscriber would know."""

    def __init__(self) -> None:
        self.levels: dict[str, dict[Decimal, Decimal]] = {"bid": {}, "offer": {}}
        self.unknown_removals = 0

    def apply(self, event: dict) -> bool:
        """Apply an event; tell whether it changed anything."""
        if event["type"] == "snapshot":
            self.levels = {"bid": {}, "offer": {}}
        changed = False
        for update in event["updates"]:
            side = self.levels[update["side"]]
            price, size = Decimal(update["price_level"]), Decimal(update["new_quantity"])
            if size == 0:
                known = side.pop(price, None) is not None
                self.unknown_removals += not known
                changed = changed or known
            else:
                changed = changed or side.get(price) != size
                side[price] = size
        return changed

    def best(self) -> tuple[Decimal, Decimal, Decimal, Decimal]:
        bid, ask = max(self.levels["bid"]), min(self.levels["offer"])
        return bid, self.levels["bid"][bid], ask, self.levels["offer"][ask]


def events_of(lines: list[Line], channel: str) -> list[tuple[Line, dict]]:
    return [(line, event) for line in lines if line.channel == channel for event in line.message["events"]]


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


def delivered_trades(lines: list[Line]) -> dict[str, dict[int, dict]]:
    """Collect each product's trades by id; copies must be equal."""
    trades: dict[str, dict[int, dict]] = defaultdict(dict)
    for _, event in events_of(lines, "market_trades"):
        for trade in event["trades"]:
            known = trades[trade["product_id"]].setdefault(int(trade["trade_id"]), trade)
            assert known == trade
    return trades


def test_trade_ids_are_contiguous_and_times_rise_with_them(either: Recording) -> None:
    trades = delivered_trades(either.lines)
    assert sorted(trades) == sorted(either.options.products)
    for product_trades in trades.values():
        ids = sorted(product_trades)
        assert ids == list(range(ids[0], ids[0] + len(ids)))
        times = [ns(product_trades[trade_id]["time"]) for trade_id in ids]
        assert times == sorted(times)
        assert len(ids) > 300


def test_snapshots_of_trades_repeat_what_was_delivered_and_heal_what_was_not(recording: Recording) -> None:
    seen: set[tuple[str, str]] = set()
    healed = repeated = 0
    for line, event in events_of(recording.lines, "market_trades"):
        keys = [(trade["product_id"], trade["trade_id"]) for trade in event["trades"]]
        if event["type"] == "snapshot":
            assert 60 <= len(keys) <= 100
            assert [int(key[1]) for key in keys] == sorted((int(key[1]) for key in keys), reverse=True)
            healed += sum(key not in seen for key in keys)
            repeated += sum(key in seen for key in keys)
        else:
            assert not seen & set(keys), line.text
        seen |= set(keys)
    # The first snapshots are new as a whole: 60 past trades of each product.
    assert healed > 3 * 60
    assert repeated > 0


def test_every_trade_is_followed_by_the_update_of_its_level(either: Recording) -> None:
    checked = 0
    for lines in either.connections():
        updates: dict[str, list[tuple[int, set[tuple[str, str]]]]] = defaultdict(list)
        for _, event in events_of(lines, "l2_data"):
            if event["type"] == "update":
                touched = {(SIDES[update["side"]], update["price_level"]) for update in event["updates"]}
                updates[event["product_id"]].append((ns(event["updates"][0]["event_time"]), touched))
        for line, event in events_of(lines, "market_trades"):
            for trade in event["trades"] if event["type"] == "update" else ():
                time_ns = ns(trade["time"])
                following = [touched for event_ns, touched in updates[trade["product_id"]] if event_ns >= time_ns]
                assert (trade["side"], trade["price"]) in following[0], line.text
                checked += 1
    assert checked > 1000


def test_candles_agree_with_the_trades(either: Recording) -> None:
    said = {}
    for _, event in events_of(either.lines, "candles"):
        for candle in event["candles"]:
            said[candle["product_id"], int(candle["start"])] = candle
    buckets: dict[tuple[str, int], list[dict]] = defaultdict(list)
    for product, trades in delivered_trades(either.lines).items():
        for trade_id in sorted(trades):
            buckets[product, ns(trades[trade_id]["time"]) // NS_PER_S // 300 * 300].append(trades[trade_id])
    assert sorted(said) == sorted(buckets)
    assert len({start for _, start in said}) >= 2
    for key, trades_in_bucket in buckets.items():
        prices = [Decimal(trade["price"]) for trade in trades_in_bucket]
        expected = {
            "open": prices[0],
            "high": max(prices),
            "low": min(prices),
            "close": prices[-1],
            "volume": sum(Decimal(trade["size"]) for trade in trades_in_bucket),
        }
        assert {name: Decimal(said[key][name]) for name in expected} == expected


class PlainTape:
    """What the trades of one product amount to, up to a time."""

    def __init__(self, by_id: dict[int, dict]) -> None:
        self._coming = [by_id[trade_id] for trade_id in sorted(by_id)][::-1]
        self.traded = Decimal(0)
        self.prices: list[Decimal] = []
        self.last: dict = {}

    def run(self, until_ns: int) -> None:
        while self._coming and ns(self._coming[-1]["time"]) <= until_ns:
            self.last = self._coming.pop()
            self.traded += Decimal(self.last["size"])
            self.prices.append(Decimal(self.last["price"]))


def test_tickers_agree_with_the_trades(either: Recording) -> None:
    tapes = {product: PlainTape(by_id) for product, by_id in delivered_trades(either.lines).items()}
    older_volumes: dict[tuple[str, int], set[Decimal]] = defaultdict(set)
    for line in either.lines:
        if line.channel == "l2_data":
            for event in line.message["events"]:
                if event["type"] == "update":
                    tapes[event["product_id"]].run(ns(event["updates"][0]["event_time"]))
        elif line.channel == "ticker" and line.message["events"][0]["type"] == "update":
            (ticker,) = line.message["events"][0]["tickers"]
            tape = tapes[ticker["product_id"]]
            assert ticker["price"] == tape.last["price"]
            assert Decimal(ticker["low_52_w"]) < Decimal(ticker["low_24_h"]) <= min(tape.prices)
            assert max(tape.prices) <= Decimal(ticker["high_24_h"]) < Decimal(ticker["high_52_w"])
            bucket = ns(tape.last["time"]) // NS_PER_S // 300
            older_volumes[ticker["product_id"], bucket].add(Decimal(ticker["volume_24_h"]) - tape.traded)
    # What is older than the sample leaves the 24 hours bucket by bucket, and never changes within one.
    assert all(len(volumes) == 1 for volumes in older_volumes.values())
    for product in either.options.products:
        older = [volume for key in sorted(older_volumes) if key[0] == product for volume in older_volumes[key]]
        assert older == sorted(older, reverse=True)
        assert older[-1] > 0


def test_sequence_numbers_count_everything_but_errors(recording: Recording) -> None:
    connections = recording.connections()
    assert len(connections) == recording.options.connections
    for lines in connections:
        numbers = [line.message["sequence_num"] for line in lines if line.channel is not None]
        assert numbers == list(range(len(numbers)))
        assert sum(line.channel is None for line in lines) == 1


def test_clocks_never_step_back_and_start_on_time(recording: Recording) -> None:
    servers = [line.server_ns for line in recording.lines if line.channel is not None]
    captures = [line.capture_ns for line in recording.lines if line.capture_ns is not None]
    start_ns = ns(recording.options.start)
    assert servers[0] == start_ns
    assert servers == sorted(servers)
    assert captures == sorted(captures)
    assert 149 * NS_PER_S < servers[-1] - start_ns < 150 * NS_PER_S + 10_000_000
    latencies = [
        line.capture_ns - line.server_ns for line in recording.lines if line.channel is not None and line.capture_ns
    ]
    assert min(latencies) > 0
    assert max(latencies) < NS_PER_S // 4


def test_heartbeats_come_each_second_and_count_on(recording: Recording) -> None:
    for lines in recording.connections():
        beats = [line for line in lines if line.channel == "heartbeats"]
        counters = [int(line.message["events"][0]["heartbeat_counter"]) for line in beats]
        assert counters == list(range(counters[0], counters[0] + len(counters)))
        assert len(beats) >= 28
        for earlier, later in pairwise(beats):
            assert abs(later.server_ns - earlier.server_ns - NS_PER_S) < 100_000_000
        for line in beats:
            uptime = line.message["events"][0]["current_time"].partition("m=+")[2]
            assert int(Decimal(uptime)) == int(line.message["events"][0]["heartbeat_counter"])


def test_connections_follow_each_other_after_a_pause(recording: Recording) -> None:
    servers = [[line.server_ns for line in lines if line.channel is not None] for lines in recording.connections()]
    pauses_ms = [(later[0] - earlier[-1]) // 1_000_000 for earlier, later in pairwise(servers)]
    assert all(290 < pause_ms < 1210 for pause_ms in pauses_ms)
    assert len(set(pauses_ms)) == 4


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


def test_snapshots_come_before_their_acknowledgement(recording: Recording) -> None:
    products = list(recording.options.products)
    for lines in recording.connections():
        opening = [
            (line.channel, line.message["events"][0])
            for line in lines[:60]
            if line.channel is not None
            and line.channel != "heartbeats"
            and line.message["events"][0].get("type") != "update"
        ]
        assert [channel for channel, _ in opening] == [
            *("subscriptions", "status", "subscriptions", "l2_data", "l2_data", "l2_data", "subscriptions"),
            *("market_trades", "market_trades", "market_trades", "subscriptions", "ticker", "subscriptions"),
            *("ticker_batch", "subscriptions", "candles", "subscriptions", "user", "subscriptions"),
        ]
        assert [event["product_id"] for channel, event in opening if channel == "l2_data"] == products
        assert opening[-1][1] == {
            "subscriptions": {
                "heartbeats": ["heartbeats"],
                "status": products,
                "level2": products,
                "market_trades": products,
                "ticker": products,
                "ticker_batch": products[:1],
                "candles": products,
                "user": ["user"],
            }
        }


def test_status_gives_terms_and_their_changes(recording: Recording) -> None:
    terms = [product for _, event in events_of(recording.lines, "status") for product in event["products"]]
    assert terms[0] == {
        "product_type": "SPOT",
        "id": "BTC-USD",
        "base_currency": "BTC",
        "quote_currency": "USD",
        "base_increment": "0.00000001",
        "quote_increment": "0.01",
        "display_name": "BTC/USD",
        "status": "online",
        "status_message": "",
        "min_market_funds": "1",
    }
    assert terms[2]["quote_increment"] == "0.0000000001"
    assert terms[2]["base_increment"] == "1"
    halted = {"status": "limit_only", "status_message": "Market orders are paused"}
    changed = [product for _, event in events_of(recording.lines, "status") for product in event["products"]][3:]
    assert terms[0] | halted in changed
    assert terms[0] in changed


def test_batch_tickers_are_of_one_product_without_book(recording: Recording) -> None:
    events = events_of(recording.lines, "ticker_batch")
    assert {ticker["product_id"] for _, event in events for ticker in event["tickers"]} == {"BTC-USD"}
    assert len(events) >= 25


def test_the_report_counts_what_is_in_the_files(recording: Recording) -> None:
    report = recording.report
    assert report.lines == len(recording.lines) == sum(report.messages.values())
    assert report.bytes == sum(Path(path).stat().st_size for path in report.paths)
    counted = Counter(line.channel or "error" for line in recording.lines)
    assert report.messages == dict(counted)
    assert sorted(report.messages) == [
        *("candles", "error", "heartbeats", "l2_data", "market_trades"),
        *("status", "subscriptions", "ticker", "ticker_batch", "user"),
    ]


def test_overlapping_connections_share_the_products_and_interleave(tmp_path: Path) -> None:
    options = SampleOptions(
        minutes=0.1,
        products=("BTC-USD", "ETH-USD", "XRP-USD", "ADA-USD", "BONK-USD"),
        connections=3,
        overlap=True,
        levels=50,
    )
    messages = list(arrivals(options))
    assert [message.capture_ns for message in messages] == sorted(message.capture_ns for message in messages)
    assert set(pairwise(message.connection for message in messages)) == {
        (earlier, later) for earlier in range(3) for later in range(3)
    }
    for number, products in enumerate((["BTC-USD", "ADA-USD"], ["ETH-USD", "BONK-USD"], ["XRP-USD"])):
        mine = [message for message in messages if message.connection == number]
        numbers = [message.sequence_num for message in mine if message.sequence_num is not None]
        assert numbers == list(range(len(numbers)))
        carried = {product for product in options.products for message in mine if f'"{product}"' in message.text}
        assert carried == set(products)
    report = write_sample(str(tmp_path / "out"), options)
    (path,) = report.paths
    lines = Path(path).read_text("ascii").splitlines()
    assert all(message.text in line for message, line in zip(messages, lines, strict=True))


@pytest.mark.parametrize("overlap", [False, True])
def test_the_same_options_give_the_same_bytes(tmp_path: Path, *, overlap: bool) -> None:
    options = SampleOptions(minutes=0.1, rate=10, levels=100, overlap=overlap)
    first = write_sample(str(tmp_path / "first"), options)
    second = write_sample(str(tmp_path / "second"), options)
    assert [Path(path).read_bytes() for path in first.paths] == [Path(path).read_bytes() for path in second.paths]
    other = write_sample(str(tmp_path / "other"), SampleOptions(seed=8, minutes=0.1, rate=10, levels=100))
    assert Path(other.paths[0]).read_bytes() != Path(first.paths[0]).read_bytes()


def test_the_bytes_are_the_same_everywhere(tmp_path: Path) -> None:
    options = SampleOptions(minutes=0.2, products=("BTC-USD", "PEPE-USD", "xy/µ-EUR"), rate=5, connections=5, levels=40)
    report = write_sample(str(tmp_path / "out"), options)
    data = b"".join(Path(path).read_bytes() for path in report.paths)
    # Changes with any change of the generator; must not change with platform, Python or numpy.
    assert hashlib.sha256(data).hexdigest() == "f7684f1226fec940f735ceb2ccb2d235cf217877157f3c5b447b1ebf2df16607"


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    def peak_bytes(minutes: float) -> int:
        options = SampleOptions(minutes=minutes, products=("SOL-USD",), rate=50, levels=100, segment_mb=0.2)
        tracemalloc.start()
        write_sample(str(tmp_path / str(minutes)), options)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    peak_bytes(0.1)
    assert peak_bytes(0.9) < 1.5 * peak_bytes(0.3)
