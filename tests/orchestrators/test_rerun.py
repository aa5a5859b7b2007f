"""Running a finished job again: what is done stays as it is, what differs is made as by a fresh run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from etl_ray.orchestrators import normalize
from tests.orchestrators.jobs import FEW, run
from tests.orchestrators.outputs import OWN, assert_same_rows, files_of, part_of, strays_of, table_files_of

SECOND = "segment_20251126T23_00002.ndjson"


def times_of(output: Path) -> dict[str, tuple[int, int]]:
    """Return inode and modification time of every file but the lock, and of every directory of a table."""
    return {
        str(path.relative_to(output)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in output.rglob("*")
        if OWN not in path.relative_to(output).parts or (path.is_file() and path.name != "lock")
    }


def assert_as_fresh(recording: Path, output: Path, fresh: Path, **overrides: object) -> None:
    run(recording, fresh, **overrides)
    assert_same_rows(output, fresh)
    assert strays_of(output) == []


def test_an_unchanged_run_reads_nothing_and_touches_nothing(
    recording: Path, output_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(recording, output_dir)
    before, times = files_of(output_dir), times_of(output_dir)
    monkeypatch.delattr(normalize, "read_blocks")
    monkeypatch.delattr(normalize.StagedWriter, "write")
    second = run(recording, output_dir)
    assert files_of(output_dir) == before
    assert times_of(output_dir) == times
    assert not first.unchanged
    of_each = {"seconds": 0, "unchanged": 0, "segments_read": 0}
    assert {**second.as_dict(), **of_each} == {**first.as_dict(), **of_each}
    assert (first.segments_read, second.segments_read) == (4, 0)
    assert second.unchanged


@pytest.mark.parametrize(
    "overrides",
    [
        {"engine": "auto"},
        {"strict": True},
        {"resources": {"cpus_per_task": 2, "memory_mb_per_task": 1, "max_tasks": 1}},
    ],
)
def test_what_does_not_change_rows_does_not_count(
    overrides: dict[str, object], recording: Path, output_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(recording, output_dir, **FEW)
    monkeypatch.delattr(normalize, "read_blocks")
    assert run(recording, output_dir, **{**FEW, **overrides}).unchanged


def delete(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [delete, truncate, empty])
def test_a_damaged_file_is_restored(damage: object, recording: Path, output_dir: Path) -> None:
    assert callable(damage)
    run(recording, output_dir, **FEW)
    before = table_files_of(output_dir)
    damage(part_of(output_dir / "level2/product_id=ETH-USD/date=2025-11-26"))
    assert not run(recording, output_dir, **FEW).unchanged
    assert table_files_of(output_dir) == before
    assert strays_of(output_dir) == []
    assert run(recording, output_dir, **FEW).unchanged


def test_all_tables_deleted_are_restored(recording: Path, output_dir: Path) -> None:
    run(recording, output_dir, **FEW)
    before = table_files_of(output_dir)
    for path in output_dir.glob("[!_]*/**/*.parquet"):
        path.unlink()
    assert table_files_of(output_dir) == {}
    run(recording, output_dir, **FEW)
    assert table_files_of(output_dir) == before


@pytest.mark.parametrize("name", ["receipts", "results"])
def test_what_the_manifest_refers_to_is_restored(name: str, recording: Path, output_dir: Path) -> None:
    run(recording, output_dir, **FEW)
    before = files_of(output_dir)
    (kept,) = (output_dir / OWN / name).iterdir()
    kept.unlink()
    assert not run(recording, output_dir, **FEW).unchanged
    again = kept.with_name(kept.name.replace("000001", "000002"))
    assert again.read_bytes() == before[f"{OWN}/{name}/{kept.name}"]
    assert table_files_of(output_dir) == {path: data for path, data in before.items() if not path.startswith(OWN)}
    assert strays_of(output_dir) == []
    assert run(recording, output_dir, **FEW).unchanged


def test_a_file_that_no_manifest_knows_is_removed(recording: Path, output_dir: Path) -> None:
    run(recording, output_dir, **FEW)
    before = files_of(output_dir)
    part = part_of(output_dir / "level2/product_id=ETH-USD/date=2025-11-26")
    part.with_name(part.name.replace("00000", "00001")).write_bytes(part.read_bytes())
    assert run(recording, output_dir, **FEW).unchanged
    assert files_of(output_dir) == before


def test_a_changed_segment(recording: Path, output_dir: Path, tmp_path: Path) -> None:
    run(recording, output_dir)
    lines = (recording / SECOND).read_bytes().splitlines(keepends=True)
    (recording / SECOND).write_bytes(b"".join(lines[:5] + lines[7:]) + b"garbage\n")
    summary = run(recording, output_dir)
    assert (summary.lines, summary.rejects, summary.unchanged) == (202, 1, False)
    assert summary.segments_read == 1
    assert_as_fresh(recording, output_dir, tmp_path / "fresh")


def test_a_grown_last_segment(recording: Path, output_dir: Path, tmp_path: Path) -> None:
    last = recording / "segment_20251127T00_00004.ndjson"
    whole = last.read_bytes()
    last.write_bytes(whole[: len(whole) // 2])
    run(recording, output_dir)
    last.write_bytes(whole)
    assert run(recording, output_dir).rejects == 0
    assert_as_fresh(recording, output_dir, tmp_path / "fresh")


def test_an_additional_segment_between_others(recording: Path, output_dir: Path, tmp_path: Path) -> None:
    (recording / SECOND).rename(tmp_path / SECOND)
    assert run(recording, output_dir).segments == 3
    (recording / "deeper").mkdir()
    (tmp_path / SECOND).rename(recording / "deeper" / SECOND)
    assert run(recording, output_dir).segments == 4
    assert_as_fresh(recording, output_dir, tmp_path / "fresh")


def test_segments_that_are_gone_keep_their_rows(recording: Path, output_dir: Path, tmp_path: Path) -> None:
    run(recording, tmp_path / "fresh")
    last = recording / "segment_20251127T00_00004.ndjson"
    last.rename(tmp_path / last.name)
    assert run(recording, output_dir).segments == 3
    (recording / SECOND).unlink()
    assert run(recording, output_dir).unchanged
    (tmp_path / last.name).rename(last)
    assert run(recording, output_dir).segments == 4
    assert_same_rows(output_dir, tmp_path / "fresh")
    assert strays_of(output_dir) == []


@pytest.mark.parametrize(
    ("first", "then", "both"),
    [
        ({"end": "2025-11-27"}, {"start": "2025-11-27"}, {}),
        ({"start": "2025-11-26T23:59:59.5Z"}, {"end": "2025-11-27"}, {}),
        (
            {"start": "2025-11-26T23:59:59Z", "end": "2025-11-27"},
            {"start": "2025-11-26T23:59:58Z", "end": "2025-11-27T00:00:01Z"},
            {"start": "2025-11-26T23:59:58Z", "end": "2025-11-27T00:00:01Z"},
        ),
        ({}, {"end": "2025-11-27"}, {}),
    ],
)
def test_another_range_extends(
    first: dict[str, object],
    then: dict[str, object],
    both: dict[str, object],
    recording: Path,
    output_dir: Path,
    tmp_path: Path,
) -> None:
    run(recording, output_dir, **first)
    run(recording, output_dir, **then)
    assert_as_fresh(recording, output_dir, tmp_path / "fresh", **both)
    assert run(recording, output_dir, **first).unchanged


def test_a_touched_segment_gives_the_same_bytes(recording: Path, output_dir: Path) -> None:
    run(recording, output_dir, **FEW)
    before = table_files_of(output_dir)
    os.utime(recording / SECOND, ns=(1, 1))
    assert not run(recording, output_dir, **FEW).unchanged
    assert table_files_of(output_dir) == before


def test_overwrite_of_the_same_gives_the_same_bytes(recording: Path, output_dir: Path) -> None:
    run(recording, output_dir, **FEW)
    before = table_files_of(output_dir)
    assert not run(recording, output_dir, **FEW, overwrite=True).unchanged
    assert table_files_of(output_dir) == before
    assert strays_of(output_dir) == []
    manifests = sorted(path.name for path in (output_dir / OWN / "manifests").iterdir())
    assert manifests == ["000001.json", "000002.json"]
