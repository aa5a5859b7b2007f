"""Recordings by hand that arrive line by line: what becomes known later changes what it should, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from etl_ray.errors import WrongInputError
from tests.coverage.notation import message, read
from tests.orchestrators.jobs import run
from tests.orchestrators.outputs import rows_of
from tests.orchestrators.test_books_of_any_recording import START
from tests.orchestrators.test_incremental import assert_same_rows

RECORDINGS = sorted((Path(__file__).parents[1] / "coverage" / "recordings").glob("*.txt"))
CONFIG: dict[str, object] = {
    "channels": {"level2": {"processor_options": {"depth": 2, "ofi_levels": 1}}},
    "staging": {"rows_per_file": 1},  # so that there is much to be used again
}


def lines_of(path: Path, directory: Path) -> list[bytes]:
    """Return the lines of a recording."""
    directory.mkdir()
    read(path).save(directory)
    segments = sorted(directory.iterdir())
    if any(segment.suffix != ".ndjson" for segment in segments):
        pytest.skip("its segments cannot be cut: they are packed, to be damaged")
    return [line + b"\n" for segment in segments for line in segment.read_bytes().splitlines()]


def write(lines: list[bytes], directory: Path, *, without: int = -1) -> None:
    """Write each line as a segment of its own, but for one."""
    directory.mkdir(exist_ok=True)
    for number, line in enumerate(lines):
        path = directory / f"segment_20251126T23_{number:05}.ndjson"
        if number != without and not path.exists():
            path.write_bytes(line)


@pytest.mark.slow
@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_in_two_halves_and_with_a_late_line(path: Path, tmp_path: Path) -> None:
    lines = lines_of(path, tmp_path / "saved")
    write(lines, tmp_path / "whole")
    try:
        run(tmp_path / "whole", tmp_path / "expected", **CONFIG)
    except WrongInputError:
        pytest.skip("most of its lines are rejected")
    middle = len(lines) // 2
    recording, output = tmp_path / "halves", tmp_path / "of_halves"
    write(lines[:middle], recording)
    if middle:
        run(recording, output, **CONFIG)
    write(lines, recording)
    run(recording, output, **CONFIG)
    assert_same_rows(output, tmp_path / "expected")
    late, output = tmp_path / "late", tmp_path / "of_late"
    write(lines, late, without=middle)
    if any(late.iterdir()):
        run(late, output, **CONFIG)
    write(lines, late)
    run(late, output, **CONFIG)
    assert_same_rows(output, tmp_path / "expected")


def test_places_of_what_is_used_again_are_those_of_now(tmp_path: Path) -> None:
    second = 1_000_000_000
    early = message("snap ETH b99x1 a101x1", 0, START)
    crossing = ("snap BTC b99x1 a101x1", "up BTC b102x1", "up BTC b102x0", "up BTC b98x1")
    lines = [early, *(message(text, k, START + (10 + k) * second) for k, text in enumerate(crossing))]
    lines = [line + b"\n" for line in lines]
    write(lines, tmp_path / "recording", without=0)
    run(tmp_path / "recording", tmp_path / "output", **CONFIG)
    before = set((tmp_path / "output/book").rglob("*.parquet"))
    write(lines, tmp_path / "recording")
    run(tmp_path / "recording", tmp_path / "output", **CONFIG)
    assert before < set((tmp_path / "output/book").rglob("*.parquet"))
    write(lines, tmp_path / "whole")
    run(tmp_path / "whole", tmp_path / "expected", **CONFIG)
    crossed = [row for row in rows_of(tmp_path / "expected", "coverage") if row["cause"] == "crossed_book"]
    assert [row["segment_start"] for row in crossed] == ["segment_20251126T23_00002.ndjson"]
    assert_same_rows(tmp_path / "output", tmp_path / "expected")
