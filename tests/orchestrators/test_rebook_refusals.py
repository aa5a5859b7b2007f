"""Stored tables that books cannot be computed from again, and what just does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl_ray.errors import ConfigError, StorageError
from etl_ray.orchestrators.rebook_plans import plan_rebooks
from tests.coverage.notation import message
from tests.orchestrators.jobs import config, run
from tests.orchestrators.rebooks import Runs, book_rows, compute_again, manifest_of, overrides
from tests.orchestrators.test_books_of_any_recording import START, Step, write

SMALL_STEPS = [
    Step(0, 20, 0, "snap BTC b100x1 b99x2 a101x1"),
    Step(0, 20, 0, "up BTC b99x1"),
    Step(0, 1000, 0, "up BTC a101x0.5"),
]


def stored(place: Path, level2: Mapping[str, object], lines: list[bytes] | None = None) -> Path:
    """Return the output of a run over a few messages."""
    (place / "in").mkdir()
    write(SMALL_STEPS, place / "in")
    if lines is not None:
        for path in (place / "in").iterdir():
            path.unlink()
        (place / "in" / "segment_20251126T23_00001.ndjson").write_bytes(b"".join(line + b"\n" for line in lines))
    run(place / "in", place / "out", **overrides(level2))
    return place / "out"


@pytest.mark.parametrize(
    ("level2", "text"),
    [
        ({"emit": "1s"}, r"has a row for each 1s, .* expected emit: message; run again with that"),
        ({"reconstruct_lob": False}, r"was made with reconstruct_lob: false"),
        (
            {"trust_beat": True, "compute_features": False},
            r"trust_beat: true and compute_features: false, .* run again with compute_features: true",
        ),
    ],
    ids=str,
)
def test_an_output_that_does_not_tell_enough_is_refused(tmp_path: Path, level2: dict[str, object], text: str) -> None:
    output = stored(tmp_path, level2)
    with pytest.raises(ConfigError, match=text):
        plan_rebooks(manifest_of(output), str(output), config().level2.columns)


def test_trusted_beats_without_features_do_for_levels(tmp_path: Path) -> None:
    output = stored(tmp_path, {"trust_beat": True, "compute_features": False})
    wanted = config(**overrides({"trust_beat": True, "compute_features": False, "depth": 2}))
    compute_again(output, tmp_path / "again", wanted)
    assert [row["bid_size_1"] for row in book_rows(tmp_path / "again")] == [2.0, 1.0, 1.0]


LONG = message("snap BTC b100x9007199.254740993 a101x1", 0, START)
"""A quantity of 16 digits, which no float64 tells from its neighbours."""


def test_floats_that_do_not_tell_numbers_apart_are_refused(tmp_path: Path) -> None:
    output = stored(tmp_path, {}, [LONG])
    plans = plan_rebooks(manifest_of(output), str(output), config().level2.columns)
    assert plans.plans == ()
    assert plans.refused == (
        "the book of BTC-USD cannot be computed again: expected prices and quantities of up to 15 digits, found more, "
        "which the float64 of OUTPUT do not tell apart; run again with numbers: decimal",
    )


def test_decimals_of_more_digits_are_exact(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "segment_20251126T23_00001.ndjson").write_bytes(LONG + b"\n")
    given = overrides({}, numbers="decimal")
    runs = Runs(tmp_path / "in", tmp_path)
    assert runs.assert_computed(given, overrides({"depth": 2}, numbers="decimal"), tmp_path / "again") == 1
    assert [str(row["bid_size_0"]) for row in book_rows(tmp_path / "again")] == ["9007199.254740993000000000"]


@pytest.mark.parametrize("table", ["level2", "book", "book_checkpoints"])
def test_tables_that_do_not_fit_each_other_are_refused(tmp_path: Path, table: str) -> None:
    (tmp_path / "in").mkdir()
    write(SMALL_STEPS, tmp_path / "in")
    cut = {"unit_mb": 0.0003, "block_mb": 0.0001, "rows_per_file": 1}
    run(tmp_path / "in", tmp_path / "out", staging=cut)
    path = sorted((tmp_path / "out" / table).rglob("*.parquet"))[-1]
    rows = pq.read_table(path, partitioning=None)
    name = {"level2": "quantity", "book": "line", "book_checkpoints": "size"}[table]
    values = pa.array([value.as_py() + 1 for value in rows.column(name)], rows.schema.field(name).type)
    pq.write_table(rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), values), path)
    with pytest.raises(
        StorageError, match=r"the tables of BTC-USD do not fit each other .* run again with --overwrite"
    ):
        compute_again(tmp_path / "out", tmp_path / "again", config(staging=cut))
