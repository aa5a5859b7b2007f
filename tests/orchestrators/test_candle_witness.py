"""Candles held to our own bars: pairs by hand, random recordings against the reference, and a generated sample."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from etl_ray import ETLJob
from etl_ray.orchestrators.candle_witness import compare_candles
from etl_ray.sample import SampleOptions, write_sample
from tests.orchestrators.jobs import run
from tests.reference.against import Asked
from tests.reference.compare import assert_equal, read_output

MIDNIGHT_S = 1_764_201_600  # 2025-11-27
FIVE_MINUTES_NS = 300 * 10**9
FIGURES = ("open", "high", "low", "close", "volume")
PLAIN = (2.0, 4.0, 1.0, 3.0, 0.5)
Given = tuple[int, bool, tuple[float, ...]]


def frame(rows: list[Given], flag: str, *, decimal: bool = False) -> pl.DataFrame:
    """Return candles or bars: number, whether final or complete, figures."""
    values = {
        name: [Decimal(repr(figures[k])) if decimal else figures[k] for *_, figures in rows]
        for k, name in enumerate(FIGURES)
    }
    kind = pl.Decimal(38, 18) if decimal else pl.Float64
    times = pl.Series([number * FIVE_MINUTES_NS for number, *_ in rows], dtype=pl.Datetime("ns", "UTC"))
    flags = {"ts_start": times, flag: pl.Series([whole for _, whole, _ in rows], dtype=pl.Boolean)}
    return pl.DataFrame(flags | values, schema_overrides=dict.fromkeys(FIGURES, kind))


@pytest.mark.parametrize("decimal", [False, True])
def test_equal_ones_are_counted(decimal: bool) -> None:
    candles: list[Given] = [(0, True, PLAIN), (1, True, PLAIN), (2, False, PLAIN), (3, True, PLAIN), (5, True, PLAIN)]
    own: list[Given] = [(0, True, PLAIN), (1, False, PLAIN), (2, True, PLAIN), (4, True, PLAIN), (5, True, PLAIN)]
    found = compare_candles(frame(candles, "is_final", decimal=decimal), frame(own, "is_complete", decimal=decimal))
    assert found == (4, 2, 2)


@pytest.mark.parametrize("decimal", [False, True])
@pytest.mark.parametrize("name", FIGURES)
def test_any_figure_that_differs_counts(name: str, decimal: bool) -> None:
    other = tuple(value + 1e-9 * (key == name) for key, value in zip(FIGURES, PLAIN, strict=True))
    candles = frame([(0, True, PLAIN)], "is_final", decimal=decimal)
    own = frame([(0, True, other)], "is_complete", decimal=decimal)
    assert compare_candles(candles, own) == (1, 1, 0)


def test_nothing_to_compare() -> None:
    nothing = frame([], "is_final"), frame([], "is_complete")
    assert compare_candles(*nothing) == (0, 0, 0)
    assert compare_candles(frame([(0, True, PLAIN)], "is_final"), nothing[1]) == (1, 0, 0)


def time_of(second: float) -> str:
    """Return a time of the wire, `second` seconds from midnight on."""
    at = round(86_400_000 * 2 + second * 1000)
    day, rest = divmod(at, 86_400_000)
    clock = f"{rest // 3_600_000:02}:{rest // 60_000 % 60:02}:{rest // 1000 % 60:02}.{rest % 1000:03}"
    return f"2025-11-{25 + day}T{clock}Z"


def write_recording(input_dir: Path, draw: random.Random) -> None:
    """Write trades of 25 minutes around midnight, some of them lost, and candles, some of which are wrong."""
    lines = []
    for product in ("BTC-USD", "a/b"):
        second, trades = -900.0, []
        while second < 700:
            second += draw.choice((0.0, 0.001, 20.0, 60.0, 400.0))
            trades.append(
                (second, f"{draw.randint(90, 110)}.{draw.randint(0, 99):02}", f"0.{draw.randint(1, 10**8):08}")
            )
        for trade_id, (at, price, size) in enumerate(trades):
            if draw.random() < 0.04:
                continue
            rows = [{"product_id": product, "trade_id": str(trade_id), "price": price, "size": size}]
            rows[0] |= {"time": time_of(at), "side": draw.choice(("BUY", "SELL"))}
            lines.append((at + 0.1, "market_trades", {"type": "update", "trades": rows}))
        for number in range(-3, 3):
            mine = [trade for trade in trades if number <= trade[0] / 300 < number + 1]
            if not mine:
                continue
            prices = [Decimal(price) for _, price, _ in mine]
            figures = {"open": prices[0], "high": max(prices), "low": min(prices), "close": prices[-1]}
            figures["volume"] = sum((Decimal(size) for *_, size in mine), Decimal(0))
            if draw.random() < 0.2:
                figures[draw.choice(FIGURES)] += Decimal("0.00000001")
            start = str(MIDNIGHT_S + 300 * number)
            candle = {"product_id": product, "start": start, **{name: str(value) for name, value in figures.items()}}
            lines.append((300 * number + 301, "candles", {"type": "update", "candles": [candle]}))
    lines.sort(key=lambda line: line[0])
    texts = [
        json.dumps({"channel": channel, "timestamp": time_of(at), "sequence_num": number, "events": [event]})
        for number, (at, channel, event) in enumerate(lines)
    ]
    (input_dir / "segment_20251126.ndjson").write_text("\n".join(texts))


@pytest.mark.parametrize("numbers", ["float64", "decimal"])
@pytest.mark.parametrize("seed", range(4))
def test_random_recordings_are_those_of_the_reference(
    seed: int, numbers: str, input_dir: Path, output_dir: Path
) -> None:
    write_recording(input_dir, random.Random(seed))
    asked = Asked(numbers=numbers, unit_bytes=4_000, block_bytes=2_000, rows_per_file=7, bare=True)  # type: ignore[arg-type]
    ETLJob(str(input_dir), str(output_dir), config=asked.config()).process_all()
    truth = asked.truth([input_dir])
    assert_equal(read_output(output_dir, asked.numbers, tables=truth.schemas), truth)
    rows = truth.tables["witness"]
    assert [(row["product_id"], row["kind"], row["date"]) for row in rows] == [
        (product, "candle", date) for product in ("BTC-USD", "a/b") for date in ("2025-11-26", "2025-11-27")
    ]
    assert sum(int(str(row["n_compared"])) for row in rows) > 0


def test_sums_of_both_kinds_are_seen_among_random_recordings(tmp_path: Path) -> None:
    compared = equal = witnesses = 0
    for seed in range(4):
        (tmp_path / str(seed)).mkdir()
        write_recording(tmp_path / str(seed), random.Random(seed))
        for row in Asked(bare=True).truth([tmp_path / str(seed)]).tables["witness"]:
            witnesses += int(str(row["n_witnesses"]))
            compared += int(str(row["n_compared"]))
            equal += int(str(row["n_equal"]))
    assert witnesses > compared > equal > 0


def test_a_sample_agrees_with_itself(tmp_path: Path) -> None:
    options = SampleOptions(
        minutes=16, products=("BTC-USD", "ETH-USD"), rate=0.5, levels=10, start="2025-11-26T23:51:00Z", connections=1
    )
    write_sample(str(tmp_path / "in"), options)
    run(tmp_path / "in", tmp_path / "out", channels={"level2": {"enabled": False}})
    files = sorted((tmp_path / "out/witness").rglob("*.parquet"))
    rows = [row for path in files for row in pq.read_table(path, partitioning=None).to_pylist()]
    counts = [(row["product_id"], row["date"], row["n_compared"], row["n_equal"], row["share"]) for row in rows]
    assert counts == [
        ("BTC-USD", "2025-11-26", 3, 3, 1.0),
        ("ETH-USD", "2025-11-26", 3, 3, 1.0),
        ("BTC-USD", "2025-11-27", 1, 1, 1.0),
        ("ETH-USD", "2025-11-27", 1, 1, 1.0),
    ]


@pytest.mark.parametrize(
    "channels",
    [
        {"candles": {"enabled": False}},
        {"market_trades": {"enabled": False}},
        {"candles": {"partition_cols": ["product_id"]}},
        {"market_trades": {"partition_cols": ["date"]}},
        {"candles": {"processors": ["etl_ray.processors:CandlesProcessor"]}},
        {"market_trades": {"processors": ["etl_ray.processors:TradesProcessor"]}},
    ],
)
def test_no_witness(channels: dict[str, object], sample_dir: Path, output_dir: Path) -> None:
    run(sample_dir, output_dir, channels={"level2": {"enabled": False}, **channels})
    assert not (output_dir / "witness").exists()
