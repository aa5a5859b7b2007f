"""Processors of the user's own, named in the config by import path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from etl_ray import BaseProcessor, ETLJob, JobConfig
from etl_ray.errors import ConfigError, SchemaError

TRADE = (
    b'{"channel":"market_trades","timestamp":"2025-11-26T14:00:00Z","sequence_num":%d,"events":[{"type":"update",'
    b'"trades":[{"product_id":"BTC-USD","trade_id":"%d","price":"2","size":"%d","time":"2025-11-26T14:00:00Z",'
    b'"side":"SELL"}]}]}\n'
)


class AddNotional(BaseProcessor):
    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch.append_column("notional", pc.multiply(batch.column("price"), batch.column("size")))


class AtLeast(BaseProcessor):
    def __init__(self, size: float) -> None:
        self._size = size

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch.filter(pc.greater_equal(batch.column("size"), self._size))


class Unsteady(BaseProcessor):
    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch.select(["price"])
            yield batch.select(["size"])


def run(tmp_path: Path, *processors: object) -> list[dict[str, object]]:
    (tmp_path / "in").mkdir()
    lines = b"".join(TRADE % (n, n, n) for n in range(6))
    (tmp_path / "in/segment_20251126T14_00001.ndjson").write_bytes(lines)
    config = JobConfig(engine="local", channels={"market_trades": {"processors": list(processors)}})
    ETLJob(str(tmp_path / "in"), str(tmp_path / "out"), config=config).process_all()
    files = sorted((tmp_path / "out/market_trades").rglob("*.parquet"))
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def test_a_column_is_added_and_rows_are_filtered_in_the_given_order(tmp_path: Path) -> None:
    rows = run(tmp_path, f"{__name__}:AddNotional", {"path": f"{__name__}:AtLeast", "options": {"size": 4}})
    assert [(row["trade_id"], row["notional"]) for row in rows] == [(4, 8.0), (5, 10.0)]


def test_a_partition_of_which_nothing_is_left_has_no_file(tmp_path: Path) -> None:
    assert run(tmp_path, {"path": f"{__name__}:AtLeast", "options": {"size": 100}}) == []
    assert not list((tmp_path / "out/market_trades").rglob("*.parquet"))


@pytest.mark.parametrize(
    ("processor", "message"),
    [
        ("no_such_module:Thing", "processor no_such_module:Thing: cannot import no_such_module"),
        (f"{__name__}:Missing", f"expected a class with a method process(batches) in {__name__}"),
        ("json:JSONDecoder", "expected a class with a method process(batches) in json"),
        (f"{__name__}:AtLeast", "cannot be made with {}"),
    ],
)
def test_what_cannot_be_had_is_told_before_anything_is_read(tmp_path: Path, processor: str, message: str) -> None:
    with pytest.raises(ConfigError, match="processor") as caught:
        run(tmp_path, processor)
    assert message in str(caught.value)
    assert not list((tmp_path / "out").rglob("*.parquet"))


def test_batches_of_two_schemas_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="different schemas: price and then size"):
        run(tmp_path, f"{__name__}:Unsteady")
