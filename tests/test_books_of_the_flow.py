"""Books rebuilt from real flow: the exchange's own best bid and offer, published on another stream, as the truth."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import zstandard

from etl_ray.config import JobConfig
from etl_ray.job import ETLJob

WRONG_IN_THE_RECORDING = {("BTC-USDT", 49069), ("BTC-USDT", 49800)}
"""Rows of the truth in which the exchange's stream of best prices ran ahead of its levels by a message."""

Top = tuple[float | None, ...]


@pytest.fixture(scope="module")
def output(real_flow: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("flow") / "out"
    ETLJob(str(real_flow), str(directory), config=JobConfig(engine="local")).process_all()
    return directory


@pytest.fixture(scope="module")
def tops(output: Path) -> dict[tuple[str, int], Top]:
    """Return the best bid and offer, with sizes, after each message of each product."""
    names = ["bid_price_0", "bid_size_0", "ask_price_0", "ask_size_0"]
    found: dict[tuple[str, int], Top] = {}
    for path in sorted(output.glob("book/*/*/*.parquet")):
        rows = pq.read_table(
            path, columns=["product_id", "sequence_num", "crossed", "book_state", *names], partitioning=None
        )
        for row in rows.to_pylist():
            assert (row["crossed"], row["book_state"]) == (False, "verified")
            found[row["product_id"], row["sequence_num"]] = tuple(row[name] for name in names)
    return found


def truth(directory: Path) -> dict[tuple[str, int], Top]:
    text = zstandard.ZstdDecompressor().stream_reader((directory / "truth.csv.zst").read_bytes()).read().decode()
    return {
        (row["product_id"], int(row["sequence_num"])): tuple(
            float(row[name]) for name in ("bid", "bid_size", "ask", "ask_size")
        )
        for row in csv.DictReader(io.StringIO(text))
    }


def test_every_best_price_and_size_is_the_exchange_s_own(real_flow: Path, tops: dict[tuple[str, int], Top]) -> None:
    true = truth(real_flow)
    assert len(true) == 11_099
    assert {key for key, top in true.items() if tops[key] != top} == WRONG_IN_THE_RECORDING


def test_there_is_a_row_after_each_of_the_messages(tops: dict[tuple[str, int], Top]) -> None:
    assert len(tops) == 12_963


def test_one_snapshot_each_is_carried_over_all_segments_and_midnight(output: Path) -> None:
    products: dict[str, set[tuple[str, str]]] = {}
    snapshots = 0
    for path in sorted(output.glob("book/*/*/*.parquet")):
        for row in pq.read_table(
            path, columns=["product_id", "date", "segment", "is_snapshot"], partitioning=None
        ).to_pylist():
            products.setdefault(row["product_id"], set()).add((row["date"], row["segment"]))
            snapshots += row["is_snapshot"]
    assert snapshots == len(products) == 2
    for found in products.values():
        assert len({segment for _, segment in found}) == 12
        assert {date for date, _ in found} == {"2024-08-08", "2024-08-09"}
