"""Numbers, clocks, control frames and files of whole recordings."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections import Counter
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from etl_ray.sample import SampleOptions, write_sample
from etl_ray.sample.recording import arrivals

from .conftest import Recording
from .plain import events_of
from .strict import ns

NS_PER_S = 10**9


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
