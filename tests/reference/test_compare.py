"""The comparison judged: every difference is seen, and told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl_ray.sample import SampleOptions, write_sample
from etl_ray.tables import TABLES
from tests.reference import Reference, reference
from tests.reference.compare import assert_equal, read_output, to_arrow
from tests.reference.messages import Row
from tests.reference.values import percent_encode

WIRE = Path(__file__).parents[1] / "data" / "coinbase"
SEGMENTS = sorted(WIRE.glob("*.ndjson"))
PART = Path("ticker/product_id=BTC-USD/date=2025-11-26/part-0000.parquet")


def write(truth: Reference, out_dir: Path, *, rows_per_file: int = 3) -> None:
    """Write a reference as the job would."""
    for name, table in TABLES.items():
        parts: dict[Path, list[Row]] = {}
        for row in truth.tables[name]:
            values = [(key, str(row[key])) for key in table.partition_cols]
            folders = [f"{key}={percent_encode(text) if key == 'product_id' else text}" for key, text in values]
            parts.setdefault(out_dir.joinpath(name, *folders), []).append(row)
        for folder, rows in parts.items():
            folder.mkdir(parents=True)
            for start in range(0, len(rows), rows_per_file):
                found = to_arrow(rows[start : start + rows_per_file], table, truth.numbers)
                pq.write_table(table.conform(found, truth.numbers), folder / f"part-{start:04}.parquet")
    (out_dir / "_etl_ray").mkdir()


@pytest.fixture
def truth() -> Reference:
    return reference(SEGMENTS)


@pytest.fixture
def written(truth: Reference, output_dir: Path) -> Path:
    output_dir.mkdir()
    write(truth, output_dir)
    return output_dir


def test_what_is_equal_passes(truth: Reference, written: Path) -> None:
    assert_equal(read_output(written), truth)
    not_made_here = {"book_checkpoints", "bars", "trades_with_book", "features"}
    assert {name for name, rows in truth.tables.items() if not rows} == not_made_here


def test_decimals_are_compared_too(output_dir: Path) -> None:
    truth = reference(SEGMENTS, numbers="decimal")
    write(truth, output_dir)
    assert_equal(read_output(output_dir, "decimal"), truth)
    with pytest.raises(AssertionError, match="expected the schema"):
        read_output(output_dir)


def test_nothing_at_all_is_empty_tables(output_dir: Path) -> None:
    output_dir.mkdir()
    assert_equal(read_output(output_dir), reference([]))


@pytest.mark.parametrize(
    ("column", "value"),
    [("price", -0.0), ("price", 5.000000000000001), ("ts_server", 1), ("segment", "x"), ("best_bid", None)],
)
def test_a_single_value_is_seen(column: str, value: object, truth: Reference, written: Path) -> None:
    found = read_output(written)
    row = next(row for row in truth.tables["ticker"] if row["price"] == 0 or column != "price" or value != -0.0)
    before = row[column]
    row[column] = value
    with pytest.raises(AssertionError, match=rf"^ticker: row \d+ differs .*\n  {column}: expected") as told:
        assert_equal(found, truth)
    assert f"found {before!r}" in str(told.value)


def test_missing_surplus_and_swapped_rows_are_seen(truth: Reference, written: Path) -> None:
    found = read_output(written)
    rows = truth.tables["heartbeats"]  # one partition: the last row is the last one read
    last = rows.pop()
    with pytest.raises(AssertionError, match="then only the output has"):
        assert_equal(found, truth)
    rows += [last, last]
    with pytest.raises(AssertionError, match="then only the reference has"):
        assert_equal(found, truth)
    rows.pop()
    assert_equal(found, truth)
    rows[0], rows[1] = rows[1], rows[0]
    with pytest.raises(AssertionError, match="heartbeats: row 0 differs"):
        assert_equal(found, truth)


def rewrite(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    def apply(out_dir: Path) -> None:
        pq.write_table(change(pq.read_table(out_dir / PART, partitioning=None)), out_dir / PART)

    return apply


def plain_strings(table: pa.Table) -> pa.Table:
    return table.set_column(0, table.schema.field(0).with_type(pa.string()), table["product_id"].cast(pa.string()))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (rewrite(plain_strings), "expected the schema"),
        (rewrite(lambda table: table.replace_schema_metadata({})), "expected the schema"),
        (rewrite(lambda table: table.rename_columns({"price": "prize"})), "expected the schema"),
        (rewrite(lambda table: table.slice(0, 0)), "has no rows"),
        (rewrite(lambda table: table.sort_by([("line", "descending")])), "is not sorted by segment, line"),
        (lambda out: (out / PART).rename((out / PART).with_suffix(".csv")), "is no Parquet file"),
        (lambda out: (out / PART).parent.rename((out / PART).parents[1] / "date=2025-11-27"), "the column date holds"),
        (lambda out: (out / "ticker").rename(out / "tickers"), "neither a table nor"),
        (lambda out: (out / PART).rename(out / "ticker" / "x.parquet"), "expected the partition keys"),
        (lambda out: (out / "level2/product_id=A%20B").rename(out / "level2/product_id=A B"), "product_id holds 'A B'"),
    ],
)
def test_spoiled_files_are_seen(spoil: Callable[[Path], None], told: str, written: Path) -> None:
    spoil(written)
    with pytest.raises(AssertionError, match=told):
        read_output(written)


@pytest.mark.parametrize(
    ("column", "factor"),
    [("mid", 1 + 1e-13), ("depth_bid_10bps", 1 + 1e-13), ("sweep_ask_10000", 1 + 1e-7), ("ofi", None)],
)
def test_a_feature_that_is_more_than_rounded_is_seen(
    column: str, factor: float | None, input_dir: Path, output_dir: Path
) -> None:
    write_sample(str(input_dir), SampleOptions(minutes=0.05, products=("BTC-USD",), rate=10, levels=50))
    truth = reference([input_dir])
    write(truth, output_dir, rows_per_file=1_000)
    found = read_output(output_dir)
    row = next(row for row in truth.tables["book"] if row[column])
    before = row[column]
    assert isinstance(before, float)
    if column == "sweep_ask_10000":  # several levels are summed up, each rounded
        row[column] = before * (1 + 1e-11)
        assert_equal(found, truth)
    row[column] = None if factor is None else before * factor
    told = rf"^book: {column} in \w+.ndjson:\d+: expected {row[column]}, found {before}"
    with pytest.raises(AssertionError, match=told):
        assert_equal(found, truth)
