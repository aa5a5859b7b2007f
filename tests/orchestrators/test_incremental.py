"""Runs over input that grows: after the last one OUTPUT has the rows of one run over everything."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from etl_ray.errors import WrongInputError
from tests.orchestrators.jobs import run
from tests.orchestrators.outputs import OWN, decoded
from tests.orchestrators.test_books_of_any_recording import CUTS, FEATURES, OPTIONS, STEP, Step, lines_of

MAX_SEGMENTS = 5
RUNS = 3
LONG_ENOUGH = 2
"""Days of which pieces have to be kept so that no segment of a recording over a midnight is read again."""


@dataclass(frozen=True)
class History:
    """When a segment comes: half of it in run `half`, all in run `whole`; removed before run `gone` if committed."""

    half: int
    whole: int
    gone: int


HISTORIES = st.lists(
    st.builds(
        History,
        st.integers(0, RUNS - 1),
        st.integers(0, RUNS - 1),
        st.sampled_from((1, 2, RUNS, RUNS, RUNS)),
    ),
    min_size=MAX_SEGMENTS,
    max_size=MAX_SEGMENTS,
)
EVERYTHING: dict[str, object] = {
    "derived": {"bars": ["1s", "tick:2"], "trades_with_book": True, "features": "1s"},
}


def segments_of(steps: list[Step], count: int) -> list[bytes]:
    """Return a recording cut into segments."""
    lines = [line + b"\n" for line in lines_of(steps)]
    size = -(-len(lines) // count)
    return [b"".join(lines[begin : begin + size]) for begin in range(0, len(lines), size)]


def rows_by_partition(output: Path) -> dict[str, pa.Table]:
    """Return the rows of each partition in the order of its files' names, but for the checkpoints of books.

    There is a checkpoint for each file of books.
    """
    found: dict[str, list[pa.Table]] = {}
    for path in sorted(output.rglob("*.parquet")):
        name = str(path.parent.relative_to(output))
        if not name.startswith((OWN, "book_checkpoints")):
            found.setdefault(name, []).append(decoded(pq.read_table(path, partitioning=None)))
    return {name: pa.concat_tables(pieces).combine_chunks() for name, pieces in found.items()}


def assert_same_rows(found: Path, expected: Path) -> None:
    """Compare all rows of all tables, in their order."""
    rows, true = rows_by_partition(found), rows_by_partition(expected)
    assert rows.keys() == true.keys()
    for name in true:
        assert rows[name].num_rows == true[name].num_rows, name
        if not rows[name].equals(true[name]):
            columns = [column for column in true[name].column_names if rows[name][column] != true[name][column]]
            raise AssertionError(f"{name}: {columns} differ: {rows[name].to_pydict()} is not {true[name].to_pydict()}")


def names(count: int) -> list[str]:
    """Return names of segments in their order."""
    return [f"segment_20251126T23_{number:05}.ndjson" for number in range(count)]


def play(segments: list[bytes], histories: list[History], root: Path, config: dict[str, object]) -> None:
    """Run again and again while segments come and go, until all have been there."""
    recording, output = root / "recording", root / "output"
    recording.mkdir()
    files = dict(zip((recording / name for name in names(len(segments))), segments, strict=True))
    committed: set[Path] = set()
    for number in range(RUNS + 1):
        for (path, data), history in zip(files.items(), histories, strict=False):
            if path in committed:
                if number >= history.gone:
                    path.unlink(missing_ok=True)
            elif number >= min(history.whole, RUNS):
                if not path.exists() or path.read_bytes() != data:
                    path.write_bytes(data)
            elif number >= history.half:
                path.write_bytes(data[: data.find(b"\n", len(data) // 2) + 1])
        if not any(recording.iterdir()):
            continue
        try:
            run(recording, output, **config)
        except WrongInputError:  # so far; nothing is committed then
            assert number < RUNS
            continue
        committed |= {path for path, data in files.items() if path.exists() and path.read_bytes() == data}


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=50)
@given(
    steps=st.lists(STEP, min_size=15, max_size=80),
    count=st.integers(2, MAX_SEGMENTS),
    histories=HISTORIES,
    in_order=st.booleans(),
    staging=CUTS,
    keep_days=st.sampled_from((0, 1, 2)),
    options=OPTIONS,
    everything=st.booleans(),
)
@pytest.mark.slow
def test_any_history_gives_the_rows_of_one_run(
    steps: list[Step],
    count: int,
    histories: list[History],
    in_order: bool,
    staging: dict[str, object],
    keep_days: int,
    options: dict[str, object],
    everything: bool,
) -> None:
    options = {**FEATURES, **options}
    if everything:
        options |= {"emit": "message", "compute_features": True}
    if in_order:
        histories = sorted(histories, key=lambda history: history.whole)
    if keep_days < LONG_ENOUGH:  # what is gone could be needed again
        histories = [replace(history, gone=RUNS + 1) for history in histories]
    config: dict[str, object] = {
        "staging": {**staging, "keep_days": keep_days},
        "channels": {"level2": {"processor_options": options}},
        **(EVERYTHING if everything else {}),
    }
    segments = segments_of(steps, count)
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        fresh = root / "fresh"
        fresh.mkdir()
        for name, data in zip(names(len(segments)), segments, strict=True):
            (fresh / name).write_bytes(data)
        try:
            run(fresh, root / "expected", **config)
        except WrongInputError:
            reject()
        play(segments, histories, root, config)
        assert_same_rows(root / "output", root / "expected")
