"""What ParquetWriter takes: Arrow, Polars and pandas, at once or as a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl_ray.errors import ConfigError, SchemaError
from etl_ray.tables import SYMBOL
from etl_ray.writers.incoming import incoming
from etl_ray.writers.parquet import ParquetWriter

TABLE = pa.table({"x": [1, 2, 3], "word": ["a", None, "b"]})


def halves() -> Iterator[pa.Table | pa.RecordBatch]:
    yield TABLE.slice(0, 1)
    yield TABLE.slice(1).to_batches()[0]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: TABLE, id="table"),
        pytest.param(lambda: TABLE.to_batches()[0], id="batch"),
        pytest.param(lambda: TABLE.to_reader(1), id="reader"),
        pytest.param(halves, id="iterator"),
        pytest.param(lambda: [TABLE.slice(0, 2), TABLE.slice(2)], id="list"),
        pytest.param(lambda: pl.from_arrow(TABLE), id="polars frame"),
        pytest.param(lambda: pl.from_arrow(TABLE).lazy(), id="polars lazy frame"),
        pytest.param(TABLE.to_pandas, id="pandas frame"),
        pytest.param(lambda: duckdb.from_arrow(TABLE).order("x"), id="duckdb relation"),
    ],
)
def test_rows_are_taken_in_every_form(tmp_path: Path, make: Callable[[], object]) -> None:
    report = ParquetWriter().write(make(), str(tmp_path))  # type: ignore[arg-type]

    assert report.rows == 3
    assert pq.read_table(tmp_path).to_pylist() == TABLE.to_pylist()


def test_polars_types_come_back_as_they_were(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "c": pl.Series(["a", "b", None], dtype=pl.Categorical),
            "e": pl.Series(["big", "small", None], dtype=pl.Enum(["small", "big"])),
            "t": pl.Series([1, 2, None], dtype=pl.Datetime("ns", "UTC")),
            "l": [[1], [], None],
        }
    )
    for name, data in (("frame", frame), ("lazy", frame.lazy()), ("no rows", frame.lazy().filter(pl.lit(False)))):
        report = ParquetWriter().write(data, str(tmp_path / name))
        expected = frame.head(report.rows)
        assert pl.read_parquet(report.files[0]).equals(expected)
        assert pl.read_parquet(report.files[0]).schema == expected.schema


def test_pandas_frames_come_back_with_their_index_and_types(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"c": pd.Categorical(["b", "a", None], ["a", "b"]), "t": pd.to_datetime([1, 2, 3], unit="ns", utc=True)},
        index=pd.Index(["x", "y", "z"], name="key"),
    )
    report = ParquetWriter().write(frame, str(tmp_path))

    back = pd.read_parquet(report.files[0])

    assert back.index.equals(frame.index)
    assert back["t"].equals(frame["t"])
    assert back["c"].astype(object).equals(frame["c"].astype(object))
    assert isinstance(back["c"].dtype, pd.CategoricalDtype)


def test_batches_are_matched_by_name_and_keep_the_metadata_of_the_first() -> None:
    first = TABLE.replace_schema_metadata({"made_by": "a test"})
    source = incoming([first, TABLE.select(["word", "x"])])

    assert source.schema == first.schema
    assert source.schema.metadata == {b"made_by": b"a test"}
    (merged,) = source.tables
    assert merged.to_pylist() == TABLE.to_pylist() * 2


def test_dictionaries_of_other_widths_are_one_type() -> None:
    narrow = pa.table({"w": pa.array(["a"], pa.dictionary(pa.int8(), pa.large_string()))})
    wide = pa.table({"w": pa.array(["b"], SYMBOL)})

    source = incoming([narrow, wide])

    assert source.schema == pa.schema([("w", SYMBOL)])
    assert [row for table in source.tables for row in table.to_pylist()] == [{"w": "a"}, {"w": "b"}]


def test_many_tiny_batches_are_merged() -> None:
    sizes = [len(table) for table in incoming(TABLE.slice(0, 1) for _ in range(2100)).tables]

    assert sizes == [1024, 1024, 52]


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (
            {"x": [1], "wrod": ["a"]},
            "batch 2 has other columns than the first: missing: word; unknown: wrod; expected: x, word",
        ),
        ({"x": [1], "word": [2]}, "batch 2: column 'word' is int64, in the first batch it was string"),
        ({"x": [None], "word": ["a"]}, "batch 2: column 'x' is null, in the first batch it was int64"),
    ],
)
def test_batches_that_differ_from_the_first_are_refused(
    tmp_path: Path, second: dict[str, list[object]], said: str
) -> None:
    with pytest.raises(SchemaError) as caught:
        ParquetWriter().write([TABLE, pa.table(second)], str(tmp_path / "out"))

    assert str(caught.value) == said
    assert list(tmp_path.iterdir()) == []


def test_nulls_in_a_column_that_is_declared_without_are_refused() -> None:
    schema = pa.schema([pa.field("x", pa.int64(), nullable=False)])
    source = incoming([pa.table([[1]], schema), pa.table({"x": pa.array([None, 2, None], pa.int64())})])

    with pytest.raises(SchemaError) as caught:
        list(source.tables)

    assert str(caught.value) == "batch 2: column 'x' is declared without nulls, found 2"


def test_a_column_name_that_stands_twice_is_refused() -> None:
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])

    with pytest.raises(SchemaError) as caught:
        incoming(twice)

    assert str(caught.value) == "expected columns of different names, found 'x' twice"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (17, "an iterable of batches or tables, or a frame of Polars or pandas; found int"),
        ({"x": [1]}, "an iterable of batches or tables, or a frame of Polars or pandas; found dict"),
        ("table.parquet", "an iterable of batches or tables, or a frame of Polars or pandas; found str"),
        ([TABLE, {"x": 1}], "data: expected only pyarrow batches and tables, found dict as item 2"),
    ],
)
def test_what_holds_no_columns_is_refused(tmp_path: Path, data: object, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ParquetWriter().write(data, str(tmp_path / "out"))  # type: ignore[arg-type]

    assert str(caught.value).endswith(said)
    assert list(tmp_path.iterdir()) == []
