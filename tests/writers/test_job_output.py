"""The job's tables through ParquetReader, a processor and ParquetWriter, read back by this and by other libraries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from etl_ray import ETLJob, ParquetReader, ParquetWriter
from etl_ray.config import JobConfig
from etl_ray.processors.base import BaseProcessor
from etl_ray.sample import SampleOptions, write_sample
from etl_ray.tables import TABLES

from .columns import concatenated, same

KEYS = ("product_id", "date")


class AddNotional(BaseProcessor):
    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch.append_column("notional", pc.multiply(batch.column("price"), batch.column("quantity")))


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Run the job over a short sample, once with each kind of numbers."""
    root = tmp_path_factory.mktemp("job")
    write_sample(str(root / "input"), SampleOptions(connections=1, minutes=0.2))
    found = {}
    for numbers in ("float64", "decimal"):
        found[numbers] = root / numbers
        config = JobConfig().merge({"numbers": numbers})
        ETLJob(str(root / "input"), str(found[numbers]), config=config).process_all()
    return found


def read(path: Path, **options: object) -> pa.Table:
    return concatenated(list(ParquetReader(**options).read(str(path))))  # type: ignore[arg-type]


def tables(output: Path) -> list[str]:
    return sorted(path.name for path in output.iterdir() if not path.name.startswith("_"))


@pytest.mark.parametrize("numbers", ["float64", "decimal"])
def test_both_decoders_restore_every_table_exactly(outputs: dict[str, Path], numbers: str) -> None:
    assert {"level2", "market_trades", "ticker", "candles"} <= set(tables(outputs[numbers]))
    for name in tables(outputs[numbers]):
        files = sorted((outputs[numbers] / name).rglob("*.parquet"))
        expected = pa.concat_tables(pq.ParquetFile(file).read() for file in files)
        assert expected.schema.equals(TABLES[name].schema(numbers), check_metadata=True)  # type: ignore[arg-type]
        assert same(read(outputs[numbers] / name), expected)
        assert same(read(outputs[numbers] / name, use_polars=False), expected)


@pytest.mark.parametrize("use_polars", [True, False], ids=["polars", "pyarrow"])
@pytest.mark.parametrize("numbers", ["float64", "decimal"])
def test_tables_are_copied_without_a_loss(
    outputs: dict[str, Path], tmp_path: Path, numbers: str, use_polars: bool
) -> None:
    for name in tables(outputs[numbers]):
        reader = ParquetReader(use_polars=use_polars)
        by = TABLES[name].partition_cols
        ParquetWriter().write(reader.read(str(outputs[numbers] / name)), str(tmp_path / name), by)

        for file in sorted((outputs[numbers] / name).rglob("*.parquet")):
            copy = tmp_path / name / file.parent.relative_to(outputs[numbers] / name)
            assert same(read(copy), pq.ParquetFile(file).read())


def test_a_part_is_read_by_its_partition_and_by_filters(outputs: dict[str, Path]) -> None:
    level2 = outputs["float64"] / "level2"
    whole = read(level2)
    expected = whole.filter(pc.equal(whole["product_id"].cast(pa.string()), "BTC-USD"))

    assert len(expected) > 1000
    assert same(read(level2 / "product_id=BTC-USD"), expected)
    for use_polars in (True, False):
        assert same(read(level2, use_polars=use_polars, filters=[("product_id", "==", "BTC-USD")]), expected)
        assert read(level2, use_polars=use_polars, filters=[("product_id", "==", "DOGE-USD")]).num_rows == 0


def test_a_processor_stands_between_reader_and_writer(outputs: dict[str, Path], tmp_path: Path) -> None:
    level2 = outputs["float64"] / "level2"
    batches = AddNotional().process(ParquetReader(batch_rows=1000).read(str(level2)))

    report = ParquetWriter().write(batches, str(tmp_path), KEYS)

    before, after = read(level2), read(tmp_path)
    assert report.rows == len(before)
    assert same(after.select(before.column_names), before)
    assert after["notional"].equals(pc.multiply(before["price"], before["quantity"]))
    assert after.schema.metadata == {b"etl_ray.table": b"level2", b"etl_ray.version": b"1"}


def test_other_libraries_read_what_is_written(outputs: dict[str, Path], tmp_path: Path) -> None:
    trades = read(outputs["decimal"] / "market_trades")
    ParquetWriter(rows_per_group=100, rows_per_file=150).write(trades, str(tmp_path), KEYS)
    rows = trades.sort_by([("trade_id", "ascending"), ("line", "ascending"), ("row_index", "ascending")])
    expected = [
        rows.column(name).cast(kind).to_pylist()
        for name, kind in (("product_id", pa.string()), ("price", pa.decimal128(38, 18)), ("ts_event", pa.int64()))
    ]
    pattern = f"{tmp_path}/**/*.parquet"

    by_duckdb = duckdb.sql(
        "SELECT product_id::VARCHAR, price, epoch_ns(ts_event) "
        f"FROM read_parquet('{pattern}', hive_partitioning = true) ORDER BY trade_id, line, row_index"
    ).fetchall()
    by_polars = pl.scan_parquet(tmp_path).sort("trade_id", "line", "row_index").collect()
    by_pandas = pd.read_parquet(tmp_path, partitioning=None).sort_values(["trade_id", "line", "row_index"])

    assert [list(column) for column in zip(*by_duckdb, strict=True)] == expected
    assert [
        by_polars["product_id"].to_list(),
        by_polars["price"].to_list(),
        by_polars["ts_event"].to_physical().to_list(),
    ] == expected
    assert [
        by_pandas["product_id"].tolist(),
        by_pandas["price"].tolist(),
        by_pandas["ts_event"].astype("int64").tolist(),
    ] == expected
