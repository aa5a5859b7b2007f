"""Trades, and the candles and tickers that follow from them."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

from .conftest import Recording
from .plain import PlainTape, delivered_trades, events_of
from .strict import ns

NS_PER_S = 10**9
SIDES = {"bid": "BUY", "offer": "SELL"}


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
