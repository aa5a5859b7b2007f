"""The output as others read it: DuckDB, Polars, pandas and pyarrow, each with the rows of the reference."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from etl_ray.config import JobConfig
from etl_ray.job import ETLJob
from etl_ray.sample import SampleOptions, write_sample
from etl_ray.tables import SYMBOL, TABLES, Numbers
from tests.reference import reference
from tests.reference.messages import Row

ODD = "eth/usd é=1"
"""A product whose directory is not called as it is."""
ODD_DIRECTORY = "product_id=%65%74%68%2F%75%73%64%20%C3%A9%3D1"
SAMPLE = SampleOptions(minutes=0.05, products=("BTC-USD", ODD), rate=8, levels=20, start="2025-11-26T23:59:58Z")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory of segments that go over a midnight."""
    directory = tmp_path_factory.mktemp("recording")
    write_sample(str(directory), SAMPLE)
    return directory


@pytest.fixture(scope="module", params=["float64", "decimal"])
def numbers(request: pytest.FixtureRequest) -> Numbers:
    name: Numbers = request.param
    return name


@pytest.fixture(scope="module")
def parent(recording: Path, numbers: Numbers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the parent of a directory OUTPUT, in several files per partition."""
    directory = tmp_path_factory.mktemp(numbers)
    staging = {"block_mb": 0.02, "rows_per_file": 60, "rows_per_group": 25}
    derived = {"bars": ["1s", "tick:2"], "trades_with_book": True, "features": "1s"}
    data = {"engine": "local", "numbers": numbers, "staging": staging, "derived": derived}
    config = JobConfig.model_validate(data)
    ETLJob(str(recording), str(directory / "OUTPUT"), config=config).process_all()
    return directory


@pytest.fixture(scope="module")
def level2(recording: Path, numbers: Numbers) -> list[Row]:
    """Return the true rows of level2, in arrival order."""
    return reference([recording], numbers=numbers).tables["level2"]


@pytest.fixture(autouse=True)
def _beside_output(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(parent)


def arrived(table: pa.Table) -> list[Row]:
    """Return the rows of a table of any reader as plain values, in arrival order."""
    columns: dict[str, Iterable[object]] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_timestamp(column.type):
            # DuckDB gives times in the zone of its session, whatever that is: the instants are the same.
            assert column.type.unit == "ns" and column.type.tz, f"{name} came as {column.type}"
            columns[name] = column.cast(pa.int64()).to_pylist()
        elif pa.types.is_date(column.type):
            columns[name] = [str(day) for day in column.to_pylist()]
        else:
            columns[name] = column.to_pylist()
    rows: list[Row] = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return sorted(rows, key=lambda row: [row[name] for name in TABLES["level2"].order])  # type: ignore[return-value]


def of(rows: list[Row], product: str, date: str | None = None) -> list[Row]:
    chosen = [row for row in rows if row["product_id"] == product and date in (None, row["date"])]
    assert len(chosen) > 50
    return chosen


def test_the_rows_are_worth_reading(level2: list[Row], parent: Path, numbers: Numbers) -> None:
    assert {path.name for path in (parent / "OUTPUT" / "level2").iterdir()} == {"product_id=BTC-USD", ODD_DIRECTORY}
    assert min(len(list(path.glob("*/*.parquet"))) for path in (parent / "OUTPUT" / "level2").iterdir()) > 2
    assert {row["date"] for row in level2} == {"2025-11-26", "2025-11-27"}
    times = [row[name] for row in level2 for name in ("ts_server", "ts_event") if row[name] is not None]
    assert any(time % 1000 for time in times)  # type: ignore[operator]
    assert type(level2[0]["price"]) is (Decimal if numbers == "decimal" else float)


def test_duckdb(level2: list[Row]) -> None:
    found = duckdb.sql(
        "SELECT * FROM 'OUTPUT/level2/**/*.parquet' WHERE product_id = 'BTC-USD' AND date = '2025-11-26'"
    )
    assert arrived(found.to_arrow_table()) == of(level2, "BTC-USD", "2025-11-26")
    found = duckdb.sql(f"SELECT * FROM 'OUTPUT/level2/**/*.parquet' WHERE product_id = '{ODD}'")
    assert arrived(found.to_arrow_table()) == of(level2, ODD)
    counted = duckdb.sql("SELECT count(*), count(DISTINCT product_id) FROM 'OUTPUT/level2/**/*.parquet'").fetchall()
    assert counted == [(len(level2), 2)]


def test_polars(level2: list[Row]) -> None:
    frame = pl.scan_parquet("OUTPUT/level2/**/*.parquet").filter(pl.col("product_id") == "BTC-USD")
    assert arrived(frame.collect().to_arrow()) == of(level2, "BTC-USD")
    frame = pl.scan_parquet("OUTPUT/level2/**/*.parquet").filter(
        (pl.col("product_id") == ODD) & (pl.col("date") == "2025-11-27")
    )
    assert arrived(frame.collect().to_arrow()) == of(level2, ODD, "2025-11-27")


def test_pandas(level2: list[Row]) -> None:
    frame = pd.read_parquet("OUTPUT/level2", filters=[("product_id", "==", "BTC-USD")])
    assert arrived(pa.Table.from_pandas(frame, preserve_index=False)) == of(level2, "BTC-USD")
    frame = pd.read_parquet("OUTPUT/level2", filters=[("product_id", "==", ODD), ("date", "==", "2025-11-26")])
    assert arrived(pa.Table.from_pandas(frame, preserve_index=False)) == of(level2, ODD, "2025-11-26")


def test_pyarrow_dataset_with_hive_partitioning(level2: list[Row]) -> None:
    keys = pa.schema([("product_id", SYMBOL), ("date", SYMBOL)])
    dataset = ds.dataset("OUTPUT/level2", partitioning=ds.partitioning(keys, flavor="hive", dictionaries="infer"))
    for product in ("BTC-USD", ODD):
        chosen = (ds.field("product_id") == product) & (ds.field("date") == "2025-11-26")
        assert arrived(dataset.to_table(filter=chosen)) == of(level2, product, "2025-11-26")
        # The directories alone tell which files these rows are in.
        files = {Path(fragment.path).parent.parent.name for fragment in dataset.get_fragments(filter=chosen)}
        assert files == {"product_id=BTC-USD" if product == "BTC-USD" else ODD_DIRECTORY}


def plain(table: pa.Table) -> list[tuple[object, ...]]:
    """Return the rows of a table of any reader as plain values, columns and rows in an order of their own."""
    columns: list[Iterable[object]] = []
    for name in sorted(table.column_names):
        column = table.column(name)
        if pa.types.is_timestamp(column.type):
            assert column.type.unit == "ns", f"{name} came as {column.type}"
            columns.append(column.cast(pa.int64()).to_pylist())
        elif pa.types.is_date(column.type):
            columns.append([str(day) for day in column.to_pylist()])
        else:
            columns.append(column.to_pylist())
    return sorted(zip(*columns, strict=True), key=repr)


def test_every_row_of_every_table_is_read_alike_everywhere(parent: Path, recording: Path, numbers: Numbers) -> None:
    truth = reference([recording], numbers=numbers).tables
    counts = {name: len(rows) for name, rows in truth.items() if rows}
    read: dict[str, list[tuple[object, ...]]] = {}
    for path in sorted((parent / "OUTPUT").iterdir()):
        if path.name in TABLES:
            read[path.name] = plain(pa.concat_tables(pq.ParquetFile(file).read() for file in path.rglob("*.parquet")))
    assert set(read) == set(TABLES) - {"rejects"}
    assert all(read.values())
    assert {name: len(rows) for name, rows in read.items() if name in counts} == counts
    for name, rows in read.items():
        assert plain(duckdb.sql(f"SELECT * FROM 'OUTPUT/{name}/**/*.parquet'").to_arrow_table()) == rows, name
        assert plain(pl.scan_parquet(f"OUTPUT/{name}/**/*.parquet").collect().to_arrow()) == rows, name
        frame = pd.read_parquet(f"OUTPUT/{name}", dtype_backend="pyarrow")
        assert plain(pa.Table.from_pandas(frame, preserve_index=False)) == rows, name


def test_files_say_what_their_columns_mean(parent: Path, numbers: Numbers) -> None:
    paths = sorted((parent / "OUTPUT").glob("[!_]*/**/*.parquet"))
    assert {path.relative_to(parent / "OUTPUT").parts[0] for path in paths} == set(TABLES) - {"rejects"}
    for path in paths:
        table = TABLES[path.relative_to(parent / "OUTPUT").parts[0]]
        schema = pq.read_schema(path)
        assert schema.metadata[b"etl_ray.table"].decode() == table.name
        assert schema.metadata[b"etl_ray.version"].decode() == str(table.version)
        assert schema.names == list(table.names)
        for column in table.columns:
            field = schema.field(column.name)
            told = {key.decode(): value.decode() for key, value in field.metadata.items() if key != b"PARQUET:field_id"}
            assert told == {"meaning": column.meaning, **({"unit": column.unit} if column.unit else {})}
            assert field.type == column.arrow_type(numbers)
            assert field.nullable == column.nullable
