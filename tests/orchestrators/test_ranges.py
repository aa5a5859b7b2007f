"""Ranges that continue each other: OUTPUT has the rows of one run over all of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from etl_ray.errors import ConfigError
from etl_ray.orchestrators.manifest import Ledger
from tests.orchestrators.jobs import run
from tests.orchestrators.test_incremental import EVERYTHING, assert_same_rows

FIRST, MIDDLE, LAST = "2025-11-26T23:59:58Z", "2025-11-27T00:00:00Z", "2025-11-27T00:00:02Z"
RANGES: dict[str, list[tuple[str | None, str | None]]] = {
    "the next one": [(FIRST, MIDDLE), (MIDDLE, LAST)],
    "the one before": [(MIDDLE, LAST), (FIRST, MIDDLE)],
    "overlapping": [(FIRST, "2025-11-27T00:00:01Z"), ("2025-11-26T23:59:59Z", LAST)],
    "around": [("2025-11-26T23:59:59Z", MIDDLE), (FIRST, LAST)],
    "three": [(FIRST, "2025-11-26T23:59:59Z"), ("2025-11-26T23:59:59Z", "2025-11-27T00:00:01Z"), (MIDDLE, LAST)],
    "within": [(FIRST, LAST), (MIDDLE, "2025-11-27T00:00:01Z")],
}


@pytest.mark.parametrize("ranges", RANGES.values(), ids=RANGES.keys())
def test_ranges_give_the_rows_of_one(
    ranges: list[tuple[str | None, str | None]], recording: Path, output_dir: Path, tmp_path: Path
) -> None:
    for start, end in ranges:
        run(recording, output_dir, start=start, end=end, **EVERYTHING)
    run(recording, tmp_path / "one", start=FIRST, end=LAST, **EVERYTHING)
    assert_same_rows(output_dir, tmp_path / "one")


def test_without_a_range_everything_comes(recording: Path, output_dir: Path, tmp_path: Path) -> None:
    run(recording, output_dir, start=MIDDLE, end=LAST)
    run(recording, output_dir)
    run(recording, tmp_path / "one")
    assert_same_rows(output_dir, tmp_path / "one")


def test_only_segments_with_more_rows_are_read_again(recording: Path, output_dir: Path) -> None:
    run(recording, output_dir, end="2025-11-26T23:59:59Z")
    run(recording, output_dir)
    manifest = Ledger(str(output_dir)).latest()
    assert manifest is not None
    applied = [item.end_ns for item in manifest.inputs]
    assert applied[0] is not None
    assert applied[1:] == [None, None, None]


def test_a_range_apart_from_the_one_there_is_refused(recording: Path, output_dir: Path) -> None:
    run(recording, output_dir, start=FIRST, end="2025-11-26T23:59:59Z")
    expected = f"OUTPUT {output_dir} holds 2025-11-26T23:59:58Z to 2025-11-26T23:59:59Z, this run asks for {MIDDLE} to "
    with pytest.raises(ConfigError, match=re.escape(expected)):
        run(recording, output_dir, start=MIDDLE, end=LAST)


def test_a_range_that_needs_a_segment_that_is_gone_is_refused(recording: Path, output_dir: Path) -> None:
    run(recording, output_dir, end=MIDDLE)
    gone = sorted(recording.iterdir())[2]
    gone.unlink()
    with pytest.raises(ConfigError, match=re.escape(f"holds rows of {gone.name}, which INPUT does not have any more")):
        run(recording, output_dir)
