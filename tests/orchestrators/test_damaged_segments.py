"""Segments that change or break under a run: damaged, exit code 3, and all that is good is kept."""

from __future__ import annotations

import errno
import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd

from etl_ray.orchestrators import run_plan
from etl_ray.readers.segments import Unit
from tests.orchestrators.jobs import FEW, run
from tests.orchestrators.outputs import assert_same_rows, rows_of, strays_of
from tests.reference import reference


def after_planning(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Let `change` happen once the units are planned."""
    plan = run_plan.plan_units

    def plan_and_change(*arguments: object) -> tuple[Unit, ...]:
        units = plan(*arguments)  # type: ignore[arg-type]
        change()
        return units

    monkeypatch.setattr(run_plan, "plan_units", plan_and_change)


def assert_rows_of_the_others(recording: Path, output: Path, *, without: str) -> None:
    """Hold the rows of all other segments against those of a run of which the segment is no part."""
    truth = reference([recording])
    for table in ("level2", "market_trades"):
        found = [row for row in rows_of(output, table) if row["segment"] != without]
        told = [(row["segment"], row["line"], row["event_index"], row["row_index"]) for row in found]
        wanted = [
            (row["segment"], row["line"], row["event_index"], row["row_index"])
            for row in truth.tables[table]
            if row["segment"] != without
        ]
        assert sorted(told) == sorted(wanted)  # type: ignore[type-var]


def test_a_segment_that_vanishes_after_planning(
    recording: Path, sample_dir: Path, output_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "segment_20251126T23_00002.ndjson"
    after_planning(monkeypatch, (recording / name).unlink)
    summary = run(recording, output_dir, **FEW)
    assert summary.damaged == (
        f"{recording}/{name}: damaged after 0 unpacked bytes: it vanished after planning: "
        f"cannot look at {recording}/{name}: no such file, directory or bucket",
    )
    assert summary.exit_code(strict=False) == 3
    assert summary.segments == 4
    assert_rows_of_the_others(recording, output_dir, without=name)
    assert name not in {row["segment"] for row in rows_of(output_dir, "level2")}
    assert strays_of(output_dir) == []
    # It stays away: nothing is left to do. It comes back: it is read.
    monkeypatch.undo()
    run(recording, output_dir, **FEW)
    again = run(recording, output_dir, **FEW)
    assert (again.unchanged, again.damaged, again.exit_code(strict=False)) == (True, summary.damaged, 3)
    (recording / name).write_bytes((sample_dir / name).read_bytes())
    assert run(recording, output_dir, **FEW).damaged == ()
    run(recording, tmp_path / "fresh", **FEW)
    assert_same_rows(output_dir, tmp_path / "fresh")


def test_a_segment_that_is_cut_after_planning_keeps_its_first_lines(
    recording: Path, output_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recording / "segment_20251126T23_00002.ndjson"
    whole = path.read_bytes()
    after_planning(monkeypatch, lambda: os.truncate(path, len(whole) // 2))
    summary = run(recording, output_dir, **FEW)
    (damage,) = summary.damaged
    assert damage.startswith(f"{path}: damaged after {len(whole) // 2:,} unpacked bytes: it changed after planning: ")
    assert summary.exit_code(strict=False) == 3
    assert_rows_of_the_others(recording, output_dir, without=path.name)
    lines = {row["line"] for row in rows_of(output_dir, "level2") if row["segment"] == path.name}
    assert lines == {
        row["line"] for row in reference([path]).tables["level2"] if row["segment"] == path.name
    }  # of the half that is left
    # The next run sees another size and reads the segment again.
    monkeypatch.undo()
    path.write_bytes(whole)
    assert run(recording, output_dir, **FEW).damaged == ()
    run(recording, tmp_path / "fresh", **FEW)
    assert_same_rows(output_dir, tmp_path / "fresh")
    assert strays_of(output_dir) == []


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".zst", zstd.compress)], ids=["gz", "zst"])
def test_a_truncated_packed_segment_is_damaged_and_its_good_rows_are_kept(
    suffix: str, pack: Callable[[bytes], bytes], recording: Path, output_dir: Path
) -> None:
    plain = recording / "segment_20251127T00_00003.ndjson"
    whole = plain.read_bytes()
    plain.unlink()
    packed = plain.with_name(plain.name + suffix)
    # In two pieces, of which the second is cut: a collector that flushes, then dies.
    middle = whole.index(b"\n", len(whole) // 2) + 1
    packed.write_bytes(pack(whole[:middle]) + pack(whole[middle:])[:50])
    summary = run(recording, output_dir, **FEW)
    (damage,) = summary.damaged
    assert damage.startswith(f"{packed}: damaged after ")
    assert "it ends in the middle of a stream" in damage
    assert summary.exit_code(strict=False) == 3
    truth = reference([path for path in recording.iterdir() if path != packed])
    assert {row["segment"] for row in truth.tables["level2"]} == {
        row["segment"] for row in rows_of(output_dir, "level2")
    } - {plain.name}
    kept = [row for row in rows_of(output_dir, "level2") if row["segment"] == plain.name]
    plain.write_bytes(whole[:middle])
    half = reference([plain])
    assert [(row["line"], row["row_index"]) for row in kept if row["line"] <= whole[:middle].count(b"\n")] == [  # type: ignore[operator]
        (row["line"], row["row_index"])
        for product in ("BTC-USD", "ETH-USD")
        for row in half.tables["level2"]
        if row["product_id"] == product
    ]
    plain.unlink()
    # It is damaged for good: the finished run stays as it is, and says so again.
    again = run(recording, output_dir, **FEW)
    assert (again.unchanged, again.damaged, again.exit_code(strict=False)) == (True, (damage,), 3)


def test_a_segment_that_may_not_be_read(recording: Path, output_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "segment_20251127T00_00003.ndjson"
    open_path = Path.open

    def refuse(path: Path, *arguments: object, **options: object) -> object:
        if path.name == name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return open_path(path, *arguments, **options)  # type: ignore[call-overload]

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        summary = run(recording, output_dir, **FEW)
    (damage,) = summary.damaged
    assert damage == (
        f"{recording}/{name}: damaged after 0 unpacked bytes: cannot read {recording}/{name}: Permission denied"
    )
    assert summary.exit_code(strict=False) == 3
    assert_rows_of_the_others(recording, output_dir, without=name)
