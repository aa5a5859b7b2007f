"""What `status` tells of an output: runs, segments, tables, what is unfinished."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

import etl_ray
from etl_ray.errors import ConfigError
from etl_ray.orchestrators.lock import exclusive
from etl_ray.orchestrators.manifest import Ledger, Manifest
from etl_ray.orchestrators.messages import to_json
from etl_ray.orchestrators.status import Leftover, PendingSegment, TableSize, UnlistedSource, Unpublished
from tests.orchestrators.jobs import FEW, run
from tests.orchestrators.outputs import OWN, files_of

MTIME_NS = 1_764_201_600_123_456_789


@pytest.fixture
def output(recording: Path, tmp_path: Path) -> Path:
    run(recording, tmp_path / "output", **FEW)
    return tmp_path / "output"


def manifest_of(output: Path) -> Manifest:
    found = Ledger(str(output)).latest()
    assert found is not None
    return found


def rewrite(output: Path, manifest: Manifest) -> None:
    (output / OWN / "manifests" / f"{manifest.number:06d}.json").write_bytes(to_json(manifest))


def test_a_committed_output_is_told_of_in_full(output: Path) -> None:
    manifest = manifest_of(output)
    os.utime(output / OWN / "manifests/000001.json", ns=(0, MTIME_NS))

    found = etl_ray.status(str(output))

    (committed,) = found.runs
    assert (committed.number, committed.run_id, committed.committed_ns) == (1, manifest.run_id, MTIME_NS)
    assert (committed.segments, committed.files) == (4, len(manifest.files))
    assert committed.rows == sum(size.rows for size in found.tables.values())
    assert (found.n_runs, found.done, found.pending, found.damaged, found.removed) == (1, 4, (), (), ())
    assert (found.unlisted, found.unpublished, found.leftovers) == ((), None, ())
    assert list(found.tables) == [
        *("level2", "market_trades", "book", "connections", "coverage"),
    ]
    level2 = list(output.glob("level2/**/*.parquet"))
    assert found.tables["level2"] == TableSize(
        rows=sum(file.rows for file in manifest.files if file.table == "level2"),
        files=len(level2),
        bytes=sum(path.stat().st_size for path in level2),
    )
    assert (found.counts, found.is_balanced) == (manifest.counts, True)


def test_what_it_tells_is_one_json_object(output: Path) -> None:
    os.utime(output / OWN / "manifests/000001.json", ns=(0, MTIME_NS))
    found = json.loads(json.dumps(etl_ray.status(str(output)).as_dict()))

    assert list(found) == [
        *("output", "n_runs", "runs", "segments", "unpublished", "leftovers", "tables", "counts", "is_balanced"),
        "findings",
    ]
    assert list(found["runs"][0]) == ["number", "run_id", "segments", "files", "rows", "committed"]
    assert found["runs"][0]["committed"] == "2025-11-27T00:00:00.123456789Z"
    assert found["segments"] == {"done": 4, "pending": [], "damaged": [], "removed": [], "unlisted": []}
    assert list(found["tables"]["level2"]) == ["rows", "files", "bytes"]
    assert found["counts"]["lines"] == 203


def test_nothing_is_changed_and_no_lock_is_taken(output: Path) -> None:
    before = files_of(output)
    with exclusive(str(output / OWN)):
        etl_ray.status(str(output))
    assert files_of(output) == before


def test_new_changed_and_removed_segments_are_told_apart(recording: Path, output: Path) -> None:
    first, second, third, _ = sorted(recording.iterdir())
    shutil.copy(first, recording / "segment_20251127T09_00009.ndjson")
    with second.open("ab") as file:
        file.write(b"\n")
    third.unlink()

    found = etl_ray.status(str(output))

    assert found.pending == (
        PendingSegment(second.name, str(second), "changed"),
        PendingSegment("segment_20251127T09_00009.ndjson", f"{recording}/segment_20251127T09_00009.ndjson", "new"),
    )
    assert (found.removed, found.done) == ((third.name,), 4)

    run(recording, output, **FEW)
    found = etl_ray.status(str(output))
    assert (found.n_runs, found.pending, found.removed, found.done) == (2, (), (third.name,), 5)


def test_an_input_that_cannot_be_listed_is_said_so(recording: Path, output: Path) -> None:
    shutil.rmtree(recording)
    found = etl_ray.status(str(output))
    (unlisted,) = found.unlisted
    assert unlisted == UnlistedSource(str(recording), unlisted.reason)
    assert unlisted.reason.startswith(f"nothing at {recording}: expected a directory")
    assert (found.pending, found.removed) == ((), ())


def test_a_relative_input_is_found_from_another_directory(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run("recording", "output", **FEW)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = etl_ray.status("../output")
    assert (found.done, found.pending, found.unlisted) == (4, (), ())


def test_damaged_segments_are_named(recording: Path, tmp_path: Path) -> None:
    import gzip

    path = sorted(recording.iterdir())[-1]
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes())[:-50])
    path.unlink()
    run(recording, tmp_path / "output", **FEW)
    (damaged,) = etl_ray.status(str(tmp_path / "output")).damaged
    assert damaged.startswith(f"{path}.gz: damaged after ")


def test_only_the_latest_runs_are_told_of(recording: Path, output: Path) -> None:
    for number in range(3):
        path = sorted(recording.iterdir())[0]
        shutil.copy(path, recording / f"segment_20251127T1{number}_00009.ndjson")
        run(recording, output, **FEW)
    found = etl_ray.status(str(output), runs=2)
    assert (found.n_runs, [item.number for item in found.runs]) == (4, [3, 4])
    assert [item.segments for item in found.runs] == [6, 7]


def test_an_interrupted_publish_is_told_of(output: Path) -> None:
    manifest = manifest_of(output)
    waiting = output / OWN / "runs" / manifest.run_id / "tables-000001"
    files = [file.path for file in manifest.files if file.table == "level2"]
    for path in files:
        (waiting / path).parent.mkdir(parents=True)
        (output / path).rename(waiting / path)
    (output / "level2" / "part-00009-000000000000.parquet").write_bytes(b"old")

    found = etl_ray.status(str(output))

    assert found.unpublished == Unpublished(missing=len(files), superseded=1)
    size = sum(file.bytes for file in manifest.files if file.table == "level2")
    assert found.leftovers == (Leftover(manifest.run_id, len(files), size),)


def test_leftovers_are_told_by_run(output: Path) -> None:
    for name, size in (("b/tables-000002/x.parquet", 3), ("a/tables-000002/level2/y.parquet", 4), ("b/z", 5)):
        path = output / OWN / "runs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    assert etl_ray.status(str(output)).leftovers == (Leftover("a", 1, 4), Leftover("b", 2, 8))


def test_lines_that_are_lost_are_told_of(output: Path) -> None:
    from dataclasses import replace

    manifest = manifest_of(output)
    rewrite(output, replace(manifest, counts=replace(manifest.counts, accepted=manifest.counts.accepted - 1)))
    assert not etl_ray.status(str(output)).is_balanced


def test_an_output_without_a_commit_is_empty(tmp_path: Path) -> None:
    (tmp_path / OWN).mkdir()
    found = etl_ray.status(str(tmp_path))
    assert (found.n_runs, found.runs, found.done, dict(found.tables), found.counts) == (0, (), 0, {}, None)
    assert found.is_balanced


@pytest.mark.parametrize("command", [etl_ray.status, etl_ray.verify])
def test_what_is_no_output_is_refused(tmp_path: Path, command: object) -> None:
    assert callable(command)
    with pytest.raises(ConfigError, match=r"is no output of etl-ray: .* found no _etl_ray in it"):
        command(str(tmp_path))
    with pytest.raises(ConfigError, match=r"is no output of etl-ray: .* found nothing there"):
        command(str(tmp_path / "nowhere"))
    assert list(tmp_path.iterdir()) == []
