"""Books out of streams of `level2`, held to the books of the job."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl_ray import ETLPipeline, Level2Processor, NDJSONReader, ParquetReader, ParquetWriter, RawParser
from etl_ray.book.exact import exact_integers
from etl_ray.config import Level2Options
from etl_ray.errors import ConfigError, SchemaError
from etl_ray.sample import write_sample
from etl_ray.tables.book import BookColumns, book_table
from tests.coverage.notation import read
from tests.orchestrators.jobs import SMALL, run

Row = dict[str, object]
RECORDINGS = Path(__file__).parents[1] / "coverage" / "recordings"
WITH_FEATURES = {"reconstruct_lob": True, "compute_features": True}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a recording of two connections over midnight, without losses."""
    directory = tmp_path_factory.mktemp("recording")
    write_sample(str(directory), replace(SMALL, minutes=0.2))
    return directory


def parsed(source: Path, numbers: str = "float64") -> Iterator[pa.RecordBatch]:
    return RawParser(channel="level2", numbers=numbers).process(NDJSONReader().read(str(source)))  # type: ignore[arg-type]


def rows_of(batches: Iterator[pa.RecordBatch]) -> list[Row]:
    return [row for batch in batches for row in plain(pa.Table.from_batches([batch]))]


def plain(table: pa.Table) -> list[Row]:
    """Return rows with times as ns."""
    columns = [column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column for column in table.columns]
    rows: list[Row] = pa.table(columns, names=table.column_names).to_pylist()
    return rows


def job_rows(source: Path, output: Path, **overrides: object) -> list[Row]:
    """Return the rows of the job's books in arrival order, products of a message by name."""
    run(source, output, **overrides)
    files = sorted((output / "book").rglob("*.parquet"))
    rows = [row for file in files for row in plain(pq.read_table(file, partitioning=None))]
    return sorted(rows, key=lambda row: (row["segment"], row["line"], row["product_id"]))


def in_order(rows: list[Row]) -> list[Row]:
    assert rows == sorted(rows, key=lambda row: (row["segment"], row["line"]))
    return sorted(rows, key=lambda row: (row["segment"], row["line"], row["product_id"]))


def with_state(rows: list[Row]) -> list[Row]:
    """Return the job's rows as a stream can tell them: without the proof that nothing is missing."""
    return [{**row, "book_state": {"verified": "unverifiable"}.get(str(row["book_state"]))} for row in rows]


def without(row: Row, names: list[str]) -> Row:
    return {name: value for name, value in row.items() if name not in names}


@pytest.mark.parametrize("numbers", ["float64", "decimal"])
def test_rows_are_those_of_the_job(numbers: str, recording: Path, output_dir: Path) -> None:
    found = rows_of(Level2Processor(**WITH_FEATURES).process(parsed(recording, numbers)))  # type: ignore[arg-type]
    expected = job_rows(recording, output_dir, numbers=numbers)
    assert {row["book_state"] for row in expected} == {"verified"}
    assert sum(row["ofi"] is not None for row in expected) > 100
    assert in_order(found) == with_state(expected)


def test_real_flow(real_flow: Path, output_dir: Path) -> None:
    found = Level2Processor(depth=3, **WITH_FEATURES).process(parsed(real_flow))  # type: ignore[arg-type]
    options = {"level2": {"processor_options": {"depth": 3}}}
    told = in_order(rows_of(found))
    expected = with_state(job_rows(real_flow, output_dir, channels=options))
    # Sums of price times quantity are floats: their last bit depends on how many decimals the quantities are given.
    sweeps = [name for name in expected[0] if name.startswith("sweep_")]
    assert [without(row, sweeps) for row in told] == [without(row, sweeps) for row in expected]
    for name in sweeps:
        assert [row[name] for row in told] == pytest.approx([row[name] for row in expected], rel=1e-15, abs=0)


def test_any_batches_give_the_same_rows(recording: Path) -> None:
    whole = pa.Table.from_batches(list(parsed(recording))).unify_dictionaries()
    draw = random.Random(5)
    cuts = sorted(draw.sample(range(len(whole)), 60))
    parts = [whole.slice(a, b - a) for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    pieces = [batch for part in parts for batch in [*part.combine_chunks().to_batches(), part.slice(0, 0).to_batches()]]
    pieces = [piece for piece in pieces if isinstance(piece, pa.RecordBatch)]
    processor = Level2Processor(**WITH_FEATURES)  # type: ignore[arg-type]
    expected = rows_of(processor.process(iter(whole.combine_chunks().to_batches())))
    assert rows_of(processor.process(iter(pieces))) == expected
    assert next(processor.process(iter(pieces))).schema.equals(book_table(BookColumns()).schema(), check_metadata=True)


def test_reader_of_tables(recording: Path, output_dir: Path) -> None:
    expected = [row for row in job_rows(recording, output_dir) if row["product_id"] == "ETH-USD"]
    reader = ParquetReader(filters=[("product_id", "==", "ETH-USD")])
    processor = Level2Processor(**WITH_FEATURES)  # type: ignore[arg-type]
    found = rows_of(processor.process(reader.read(str(output_dir / "level2"))))
    assert found == with_state(expected)


def test_connections_have_books_of_their_own(input_dir: Path) -> None:
    read(RECORDINGS / "product_on_two_connections.txt").save(input_dir)
    rows = list(parsed(input_dir))
    together = rows_of(Level2Processor(reconstruct_lob=True).process(iter(rows)))
    connections = list(dict.fromkeys(row["connection_id"] for row in together))
    assert len(connections) == 2
    apart = [
        row
        for name in connections
        for row in rows_of(
            Level2Processor(reconstruct_lob=True).process(
                batch.filter(pa.array([item == name for item in batch["connection_id"].to_pylist()])) for batch in rows
            )
        )
    ]
    assert together == sorted(apart, key=lambda row: (row["segment"], row["line"]))
    unnamed = (batch.drop_columns(["connection_id"]) for batch in rows)
    mixed = rows_of(Level2Processor(reconstruct_lob=True).process(unnamed))
    assert {row["connection_id"] for row in mixed} == {"unknown"}
    assert [row["line"] for row in mixed] == [row["line"] for row in together]


STATES = """# What a stream of rows can say of a book

recording:
a0 0 up BTC b99x1.5 a101x2
a1 1 snap BTC b98x1 a102x1 ; up BTC b97x0.25
a3 2 up BTC b97x0 b103x1
a4 3 empty BTC
a5 4 up BTC b0.00001x123456
"""


def test_states(tmp_path: Path, input_dir: Path) -> None:
    (tmp_path / "recording.txt").write_text(STATES)
    read(tmp_path / "recording.txt").save(input_dir)
    found = rows_of(Level2Processor(depth=2, **WITH_FEATURES).process(parsed(input_dir)))  # type: ignore[arg-type]
    names = ("book_state", "crossed", "n_updates", "is_snapshot", "bid_price_0", "bid_size_0", "bid_price_1", "mid")
    assert [tuple(row[name] for name in names) for row in found] == [
        ("no_snapshot", False, 2, False, 99.0, 1.5, None, None),
        ("unverifiable", False, 3, True, 98.0, 1.0, 97.0, 100.0),
        ("suspect", True, 2, False, 103.0, 1.0, 98.0, None),
        ("unverifiable", False, 0, True, None, None, None, None),
        ("unverifiable", False, 1, False, 0.00001, 123456.0, None, None),
    ]


FINER = """# Ever finer prices and quantities

recording:
a0 0 snap BTC b100x1 a101x2
a1 1 up BTC b99.5x0.25
a2 2 up BTC b99.125x0.001
a3 3 up BTC a100.0000001x3
"""


@pytest.mark.parametrize("numbers", ["float64", "decimal"])
def test_scales_grow_from_batch_to_batch(numbers: str, tmp_path: Path, input_dir: Path) -> None:
    (tmp_path / "recording.txt").write_text(FINER)
    read(tmp_path / "recording.txt").save(input_dir)
    lines = [batch.slice(k, 1) for batch in parsed(input_dir, numbers) for k in range(batch.num_rows)]
    found = rows_of(Level2Processor(reconstruct_lob=True, depth=3).process(iter(lines)))
    last = {name: value for name, value in found[-1].items() if name[:4] in ("bid_", "ask_") and value is not None}
    assert {name: float(value) for name, value in last.items()} == {  # type: ignore[arg-type]
        "bid_price_0": 100.0,
        "bid_price_1": 99.5,
        "bid_price_2": 99.125,
        "bid_size_0": 1.0,
        "bid_size_1": 0.25,
        "bid_size_2": 0.001,
        "ask_price_0": 100.0000001,
        "ask_price_1": 101.0,
        "ask_size_0": 3.0,
        "ask_size_1": 2.0,
    }


def test_pipeline_and_config(recording: Path, tmp_path: Path) -> None:
    processors = [RawParser(channel="level2"), Level2Processor(reconstruct_lob=True, depth=1)]
    report = ETLPipeline(NDJSONReader(), processors, ParquetWriter()).execute(str(recording), str(tmp_path / "books"))
    custom = {"path": "etl_ray.processors:Level2Processor", "options": {"reconstruct_lob": True, "depth": 1}}
    run(recording, tmp_path / "job", channels={"level2": {"processors": [custom]}})
    files = sorted((tmp_path / "job" / "level2").rglob("*.parquet"))
    assert sum(pq.read_metadata(file).num_rows for file in files) == report.rows
    assert pq.read_schema(files[0]).names == list(book_table(BookColumns(depth=1, features=False)).names)


def test_refusals() -> None:
    with pytest.raises(
        ConfigError, match=r"compute_features=True\): features are those of books; expected reconstruct"
    ):
        Level2Processor(compute_features=True)
    with pytest.raises(ConfigError, match="depth: expected a number from 1 on, found 0"):
        Level2Processor(reconstruct_lob=True, depth=0)
    assert Level2Options().columns == BookColumns()


def test_values_beyond_64_bits_name_the_product(input_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "recording.txt").write_text(
        "# Too fine and too large\n\nrecording:\na0 0 up BTC b0.000000000000000001x1\na1 0 up BTC b900000000000x1\n"
    )
    read(tmp_path / "recording.txt").save(input_dir)
    with pytest.raises(SchemaError, match=r"no book of BTC-USD from segment_20251126T14_00001\.ndjson:2 on: "):
        rows_of(Level2Processor(reconstruct_lob=True).process(parsed(input_dir)))


class TestExactIntegers:
    def test_decimals_come_back(self) -> None:
        draw = random.Random(1)
        for _ in range(400):
            scale, digits, least = draw.randrange(12), draw.randrange(1, 16), draw.randrange(4)
            values = [Decimal(draw.randrange(10**digits)).scaleb(-scale) for _ in range(draw.randrange(6))]
            needed = max([least, *(-int(value.normalize().as_tuple().exponent) for value in values)])
            expected = [int(value.scaleb(needed)) for value in values]
            for stored in (pa.array([float(value) for value in values], pa.float64()), pa.array(values, DECIMAL)):
                integers, found = exact_integers(stored, least)
                assert (integers.tolist(), found) == (expected, needed)

    def test_a_scale_that_leaves_more_than_15_digits(self) -> None:
        integers, scale = exact_integers(pa.array([76112756074154.9]), 2)
        assert (integers.tolist(), scale) == ([7611275607415490], 2)

    def test_more_digits_than_a_float_tells_apart_are_the_shortest(self) -> None:
        integers, scale = exact_integers(pa.array([12345678901.123457, 0.5]), 0)
        assert (integers.tolist(), scale) == ([12345678901123457, 500000], 6)

    @pytest.mark.parametrize("values", [[1e-18, 1e3], [1e19], [1e-19]])
    def test_overflow(self, values: list[float]) -> None:
        with pytest.raises(OverflowError, match="do not fit 64 bits"):
            exact_integers(pa.array(values), 0)
        if min(values) >= 1e-18:
            with pytest.raises(OverflowError, match="do not fit 64 bits"):
                exact_integers(pa.array([Decimal(repr(value)) for value in values], DECIMAL), 0)


DECIMAL = pa.decimal128(38, 18)
