"""The output as Spark reads it, where ETL_RAY_SPARK_PYTHON names a Python that has pyspark, and there is a java."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl_ray.sample import SampleOptions, write_sample
from etl_ray.tables import TABLES
from tests.orchestrators.jobs import run

PYTHON = os.environ.get("ETL_RAY_SPARK_PYTHON")
SAMPLE = SampleOptions(minutes=0.05, products=("BTC-USD", "eth/usd=1"), rate=8, levels=20, start="2025-11-26T23:59:58Z")
DERIVED = {"bars": ["1s", "tick:2"], "trades_with_book": True, "features": "1s"}
PROGRAM = """
import json, sys
from pyspark.sql import SparkSession
from pyspark.sql.functions import col

settings = {
    "spark.sql.legacy.parquet.nanosAsLong": "true",
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
    "spark.sql.jsonGenerator.ignoreNullFields": "false",
    "spark.ui.enabled": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
}
builder = SparkSession.builder.master("local[1]")
for name, value in settings.items():
    builder = builder.config(name, value)
spark = builder.getOrCreate()
rows = {}
for path in sys.argv[2:]:
    frame = spark.read.parquet(path)
    exact = [col(name).cast("string") if kind.startswith("decimal") else col(name) for name, kind in frame.dtypes]
    rows[path] = [json.loads(row) for row in frame.select(*exact).toJSON().collect()]
with open(sys.argv[1], "w") as file:
    json.dump(rows, file)
spark.stop()
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        PYTHON is None or shutil.which("java") is None, reason="no ETL_RAY_SPARK_PYTHON with pyspark, or no java"
    ),
]


def plain(table: str) -> list[dict[str, object]]:
    """Return the rows of a table as this project's own library reads them, times as ns."""
    rows = pa.concat_tables(pq.ParquetFile(path).read() for path in sorted(Path(table).rglob("*.parquet")))
    for index, field in enumerate(rows.schema):
        if pa.types.is_timestamp(field.type):
            rows = rows.set_column(index, field.name, rows.column(index).cast(pa.int64()))
    return in_order(rows.to_pylist())


def in_order(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return sorted(({name: row[name] for name in sorted(row)} for row in rows), key=repr)


def test_spark_reads_every_row_of_every_table(tmp_path: Path) -> None:
    write_sample(str(tmp_path / "in"), SAMPLE)
    for numbers in ("float64", "decimal"):
        run(tmp_path / "in", tmp_path / numbers, numbers=numbers, derived=DERIVED)
    tables = [str(path) for numbers in ("float64", "decimal") for path in (tmp_path / numbers).glob("[!_]*")]
    assert {Path(table).name for table in tables} == set(TABLES) - {"rejects"}

    command = [str(PYTHON), "-c", PROGRAM, str(tmp_path / "rows.json"), *tables]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr[-2_000:]
    found = json.loads((tmp_path / "rows.json").read_text())
    for table in tables:
        expected = plain(table)
        exact = {name for row in expected for name, value in row.items() if isinstance(value, Decimal)}
        for row in found[table]:
            row.update({name: Decimal(row[name]) for name in exact if row[name] is not None})
        assert in_order(found[table]) == expected, table
