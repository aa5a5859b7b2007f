"""Recordings by hand: what is known of each place of them, written beside them by someone who thought about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.coverage.job import job_tables
from tests.coverage.notation import Row, Written, read
from tests.reference import reference
from tests.reference.books import book_rows

RECORDINGS = sorted((Path(__file__).parent / "recordings").glob("*.txt"))


@pytest.fixture(params=RECORDINGS, ids=lambda path: path.stem)
def written(request: pytest.FixtureRequest, input_dir: Path) -> Written:
    """Each recording, saved to `input_dir`."""
    recording = read(request.param)
    recording.save(input_dir)
    return recording


def test_there_are_enough_of_them() -> None:
    assert len(RECORDINGS) >= 20


def test_the_reference_finds_what_is_expected(written: Written, input_dir: Path) -> None:
    truth = reference([input_dir], trusts_beat=written.trust_beat)
    assert_as_written(truth.connections, truth.coverage, written)
    published: dict[str, list[tuple[tuple[str, int], str]]] = {}
    for row in book_rows(truth.recording, depth=1, trusts_beat=written.trust_beat):
        if row.is_published:
            published.setdefault(row.product_id, []).append((row.place, row.state))
    assert published == written.book


@pytest.mark.parametrize("unit_bytes", [None, 300])
def test_the_job_finds_what_is_expected(
    written: Written, unit_bytes: int | None, input_dir: Path, output_dir: Path
) -> None:
    found = job_tables(input_dir, output_dir, unit_bytes=unit_bytes, trust_beat=written.trust_beat)
    assert_as_written(found.connections, found.coverage, written)
    assert found.published == written.book


def assert_as_written(connections: list[Row], coverage: list[Row], written: Written) -> None:
    """Raise AssertionError if a row is not as expected; the lines are easier to read than the rows."""
    found, expected = (tuple(_shown(row) for row in rows) for rows in (coverage, written.coverage))
    assert found == expected
    assert coverage == written.coverage
    assert connections == written.connections


def _shown(row: Row) -> str:
    start, end = (f"{row[f'segment_{edge}']}:{row[f'line_{edge}']}".split("_")[-1] for edge in ("start", "end"))
    words = (row["channel"], row["product_id"], start, end, row["state"], row["cause"], row["connection_id"])
    return " ".join(str(word) for word in words)
