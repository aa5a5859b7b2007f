"""`ETLPipeline`: reader, processors and writer in one stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from etl_ray import (
    BaseProcessor,
    ETLJob,
    ETLPipeline,
    JobConfig,
    NDJSONReader,
    ParquetReader,
    ParquetWriter,
    RawParser,
    TickerProcessor,
    TradesProcessor,
)
from etl_ray.errors import SchemaError

PARTITION_COLS = ["product_id", "date"]


class AddNotional(BaseProcessor):
    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch.append_column("notional", pc.multiply(batch.column("price"), batch.column("size")))


def rows_of(path: Path) -> list[dict[str, object]]:
    return [row for batch in ParquetReader(use_polars=False).read(str(path)) for row in batch.to_pylist()]


@pytest.fixture
def trades(sample_dir: Path, tmp_path: Path) -> Path:
    ETLJob(str(sample_dir), str(tmp_path / "job"), config=JobConfig(engine="local")).process_all()
    return tmp_path / "job" / "market_trades"


def test_segments_to_parquet_gives_the_rows_of_the_job(sample_dir: Path, trades: Path, tmp_path: Path) -> None:
    tickers = trades.parent / "ticker"
    pipeline = ETLPipeline(NDJSONReader(), [RawParser(), TickerProcessor()], ParquetWriter())
    report = pipeline.execute(str(sample_dir), str(tmp_path / "ticker"), PARTITION_COLS)
    rows = rows_of(tmp_path / "ticker")
    assert rows == rows_of(tickers) != []
    assert report.rows == len(rows)
    assert sorted(Path(file).parent.relative_to(tmp_path / "ticker") for file in report.files) == sorted(
        path.parent.relative_to(tickers) for path in tickers.rglob("*.parquet")
    )


def test_of_trades_the_job_keeps_one_copy_of_what_a_pipeline_delivers(
    sample_dir: Path, trades: Path, tmp_path: Path
) -> None:
    pipeline = ETLPipeline(NDJSONReader(), [RawParser(), TradesProcessor()], ParquetWriter())
    pipeline.execute(str(sample_dir), str(tmp_path / "trades"), PARTITION_COLS)
    delivered = rows_of(tmp_path / "trades")
    kept = rows_of(trades)
    copies = Counter((row["product_id"], row["trade_id"]) for row in delivered)
    assert {(row["product_id"], row["trade_id"]): row["n_copies"] for row in kept} == copies
    assert len(kept) == len(copies) < len(delivered)
    assert all({name: row[name] for name in delivered[0]} in delivered for row in kept)


@pytest.mark.parametrize("use_polars", [True, False])
def test_the_output_of_one_is_the_input_of_the_next(trades: Path, tmp_path: Path, use_polars: bool) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    reader = ParquetReader(use_polars=use_polars)
    ETLPipeline(reader, [AddNotional()], ParquetWriter()).execute(str(trades), str(first), PARTITION_COLS)
    ETLPipeline(reader, [], ParquetWriter()).execute(str(first), str(second), ["date"])
    expected = [{**row, "notional": row["price"] * row["size"]} for row in rows_of(trades)]  # type: ignore[operator]

    def place(row: dict[str, object]) -> tuple[str, ...]:
        return tuple(str(row[key]).rjust(9) for key in ("product_id", "segment", "line", "event_index", "row_index"))

    assert sorted(rows_of(first), key=place) == sorted(expected, key=place)
    assert sorted(rows_of(second), key=place) == sorted(expected, key=place)


def test_a_stream_of_several_tables_is_refused_with_what_to_do(sample_dir: Path, tmp_path: Path) -> None:
    pipeline = ETLPipeline(NDJSONReader(), [RawParser()], ParquetWriter())
    with pytest.raises(SchemaError, match=r"are of table '.*' and of table '.*': give RawParser a channel"):
        pipeline.execute(str(sample_dir), str(tmp_path / "all"), ["date"])
    assert not list(tmp_path.rglob("*.parquet"))
