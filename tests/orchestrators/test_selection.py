"""A selection limits rows, not what is valid, numbered or found; `rejects` are written whatever it is."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from etl_ray.config import CHANNELS
from tests.orchestrators.jobs import run
from tests.orchestrators.outputs import partitions_of, rows_of
from tests.reference import reference
from tests.reference.checkpoints import assert_checkpoints
from tests.reference.compare import assert_equal, read_output
from tests.reference.run import Reference

MIDNIGHT_NS = 1_764_201_600_000_000_000


def only(*tables: str, **options: dict[str, object]) -> dict[str, object]:
    """Return the channels of a config that has these tables only."""
    return {name: {"enabled": name in tables, **options.get(name, {})} for name in CHANNELS}


def check(source: Path, output: Path, truth: Reference, **overrides: object) -> None:
    """Run with a selection and compare tables and counts with the reference's; long lines are known by their hash."""
    for row in truth.tables["rejects"]:
        row["raw"] = None if row["length"] > 250_000 else row["raw"]  # type: ignore[operator]
    summary = run(source, output, **overrides)
    assert_equal(read_output(output), truth)
    assert_checkpoints(output, truth)
    counts = truth.counts
    assert (summary.accepted, summary.ignored, summary.out_of_range, summary.blank, summary.rejects) == (
        counts.accepted,
        counts.ignored,
        counts.out_of_range,
        counts.blank,
        counts.rejected,
    )
    assert summary.messages == counts.messages
    assert summary.rejects > 10


@pytest.mark.parametrize(
    ("tables", "wire"),
    [
        (("level2",), ("l2_data",)),
        (("market_trades", "ticker"), ("market_trades", "ticker", "ticker_batch")),
        (("heartbeats", "errors"), ("heartbeats", "errors")),
        (("status",), ("status",)),
        (("candles", "subscriptions"), ("candles", "subscriptions")),
    ],
)
def test_channels(tables: tuple[str, ...], wire: tuple[str, ...], hostile_dir: Path, output_dir: Path) -> None:
    truth = reference([hostile_dir], channels=wire)
    check(hostile_dir, output_dir, truth, channels=only(*tables))
    assert {name.split("/")[0] for name in partitions_of(output_dir)} == {
        *tables,
        "rejects",
        *({"instruments"} if "status" in tables else ()),
        *({"book"} if "level2" in tables else ()),
        *({"coverage"} if tables != ("heartbeats", "errors") else ()),
        "connections",
    }


def test_ticker_without_its_batches(hostile_dir: Path, output_dir: Path) -> None:
    channels = only("ticker", ticker={"processor_options": {"include_batch": False}})
    check(hostile_dir, output_dir, reference([hostile_dir], channels=("ticker",)), channels=channels)
    assert {row["is_batch"] for row in rows_of(output_dir, "ticker")} == {False}


@pytest.mark.parametrize("products", [("ETH-USD",), ("BTC-USD", "ETH-USD"), ("NO-SUCH",)])
def test_products(products: tuple[str, ...], hostile_dir: Path, output_dir: Path) -> None:
    check(hostile_dir, output_dir, reference([hostile_dir], products=products), products=products)
    assert {row["product_id"] for row in rows_of(output_dir, "level2")} == set(products) - {"NO-SUCH"}


def test_usdc_products_are_delivered_as_usd(
    hostile_dir: Path, output_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        check(hostile_dir, output_dir, reference([hostile_dir], products=["ETH-USDC"]), products=("ETH-USDC",))
    assert {row["product_id"] for row in rows_of(output_dir, "market_trades")} == {"ETH-USD"}
    assert "product ETH-USDC is delivered by the venue as ETH-USD: ETH-USD is selected" in caplog.messages
    # The names resolve to the same, so this is the same run.
    assert run(hostile_dir, output_dir, products=("ETH-USD",)).unchanged


def test_range_is_half_open_to_the_nanosecond(hostile_dir: Path, tmp_path: Path) -> None:
    run(hostile_dir, tmp_path / "whole")
    times = sorted({row["ts_server"] for row in rows_of(tmp_path / "whole", "level2")})  # type: ignore[type-var]
    first, last = times[20], times[40]
    assert isinstance(first, int)
    assert isinstance(last, int)
    for name, start, end in (("inner", first, last), ("shifted", first + 1, last + 1)):
        truth = reference([hostile_dir], start_ns=start, end_ns=end)
        check(hostile_dir, tmp_path / name, truth, start=start, end=end)
    inner, shifted = ({row["ts_server"] for row in rows_of(tmp_path / name, "level2")} for name in ("inner", "shifted"))
    assert inner == set(times[20:40])
    assert shifted == set(times[21:41])


def test_a_date_means_midnight(hostile_dir: Path, tmp_path: Path) -> None:
    check(hostile_dir, tmp_path / "before", reference([hostile_dir], end_ns=MIDNIGHT_NS), end="2025-11-27")
    check(hostile_dir, tmp_path / "after", reference([hostile_dir], start_ns=MIDNIGHT_NS), start="2025-11-27")
    names = {side: {*partitions_of(tmp_path / side)} for side in ("before", "after")}
    assert {name for name in names["before"] if name.startswith("level2")} == {
        "level2/product_id=BTC-USD/date=2025-11-26",
        "level2/product_id=ETH-USD/date=2025-11-26",
    }
    assert {name for name in names["after"] if name.startswith("heartbeats")} == {"heartbeats/date=2025-11-27"}


def test_all_at_once_and_cut_small(hostile_dir: Path, output_dir: Path) -> None:
    truth = reference([hostile_dir], channels=("l2_data", "status"), products=("BTC-USD",), start_ns=MIDNIGHT_NS)
    check(
        hostile_dir,
        output_dir,
        truth,
        channels=only("level2", "status"),
        products=("BTC-USD",),
        start="2025-11-27",
        staging={"unit_mb": 0.02, "block_mb": 0.01, "rows_per_file": 40, "rows_per_group": 9},
    )


def test_nothing_selected_is_found_still_leaves_a_committed_output(sample_dir: Path, output_dir: Path) -> None:
    summary = run(sample_dir, output_dir, start="2030-01-01", channels=only("level2"))
    truth = reference([sample_dir], channels=("l2_data",), start_ns=1_893_456_000_000_000_000)
    assert_equal(read_output(output_dir), truth)
    assert set(summary.rows) == {"coverage", "connections"}
    assert summary.accepted == 0
    assert summary.out_of_range == summary.messages["l2_data"]
    assert run(sample_dir, output_dir, start="2030-01-01", channels=only("level2")).unchanged
