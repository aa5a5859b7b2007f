"""The check of checkpoints judged: what is wrong or missing is seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from etl_ray.sample import SampleOptions, write_sample
from tests.reference import Reference
from tests.reference.against import Asked, run
from tests.reference.checkpoints import assert_checkpoints

ASKED = Asked(block_bytes=20_000, rows_per_file=50)


@pytest.fixture
def truth(input_dir: Path, output_dir: Path) -> Reference:
    """Return the reference of a recording over a midnight, of which `output_dir` has the tables."""
    write_sample(
        str(input_dir),
        SampleOptions(
            minutes=0.1,
            products=("BTC-USD",),
            rate=10,
            levels=10,
            connections=1,
            segment_mb=0.03,
            start="2025-11-26T23:59:57Z",
        ),
    )
    run(input_dir, output_dir, ASKED)
    return ASKED.truth([input_dir])


def rewrite(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    """Return what changes the rows of a file."""
    return lambda path: pq.write_table(change(pq.read_table(path, partitioning=None)), path)


def halved(table: pa.Table) -> pa.Table:
    index = table.schema.get_field_index("size")
    return table.set_column(index, table.schema.field(index), pc.divide(table["size"], 2.0))


def test_what_is_right_passes(truth: Reference, output_dir: Path) -> None:
    count = assert_checkpoints(output_dir, truth)
    assert count == len(list((output_dir / "book_checkpoints").rglob("*.parquet"))) > 5


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (Path.unlink, "no checkpoint in front of"),
        (rewrite(halved), r"book_checkpoints/.*part-\d+-\w+\.parquet: \("),
        (rewrite(lambda table: table.slice(1)), r"book_checkpoints/.*part-\d+-\w+\.parquet: \("),
        (
            rewrite(lambda table: pa.concat_tables([table.slice(1), table.slice(0, 1)])),
            r"book_checkpoints/.*part-\d+-\w+\.parquet: \(",
        ),
        (
            rewrite(lambda table: table.drop_columns("ts_align").append_column("ts_align", table["ts_server"])),
            r"book_checkpoints/.*part-\d+-\w+\.parquet: \(",
        ),
    ],
)
def test_spoiled_checkpoints_are_seen(
    spoil: Callable[[Path], None], told: str, truth: Reference, output_dir: Path
) -> None:
    spoil(sorted((output_dir / "book_checkpoints").rglob("*.parquet"))[-1])
    with pytest.raises(AssertionError, match=told):
        assert_checkpoints(output_dir, truth)
