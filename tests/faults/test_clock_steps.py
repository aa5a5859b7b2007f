"""A clock that jumps by hours, forth and back: no byte of a table and no decision depends on it."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from fsspec.implementations import memory

from etl_ray import storage
from etl_ray.orchestrators import lease
from tests.faults.recordings import EVERYTHING, copy_segments
from tests.orchestrators.jobs import run
from tests.orchestrators.outputs import OWN, strays_of, table_files_of

STEPS_S = (7_200, -10_800, 0, 86_400, -86_400, 1, -3_600, 31_536_000)


@contextmanager
def stepping() -> Iterator[list[str]]:
    """Let each look at the clock find it hours off, the one before or behind the other; yield who has looked."""
    looks: list[str] = []
    steps_s = itertools.cycle(STEPS_S)
    real_s, real_ns = time.time, time.time_ns

    def jumping_s() -> float:
        looks.append("time")
        return real_s() + next(steps_s)

    def jumping_ns() -> int:
        looks.append("time_ns")
        return real_ns() + next(steps_s) * 1_000_000_000

    class Jumping(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            looks.append("datetime")
            return datetime.now(tz) + timedelta(seconds=next(steps_s))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", jumping_s)
        patch.setattr(time, "time_ns", jumping_ns)
        patch.setattr(lease, "datetime", Jumping)
        patch.setattr(memory, "datetime", Jumping)
        yield looks


@pytest.fixture
def bucket() -> Iterator[str]:
    """Return a bucket with nothing in it."""
    yield "memory://stepping"
    storage.delete_tree("memory://stepping")


def tables_of(url: str) -> dict[str, bytes]:
    """Return the content of every file of an OUTPUT in a bucket that is not below `_etl_ray`."""
    root = f"{storage.canonical(url)}/"
    found = {info.url.removeprefix(root): info.url for info in storage.list_files(url)}
    return {name: storage.read_bytes(where) for name, where in found.items() if not name.startswith(OWN)}


def test_runs_that_build_on_each_other(tiny_segments: list[Path], tmp_path: Path) -> None:
    def three_runs(place: Path) -> list[tuple[bool, int]]:
        found = []
        for numbers in ((0, 2), (1, 3, 4), ()):
            copy_segments(tiny_segments, place / "input", *numbers)
            summary = run(place / "input", place / "output", after="keep", **EVERYTHING)
            found.append((summary.unchanged, summary.removed))
        return found

    steady = three_runs(tmp_path / "steady")
    with stepping():
        assert three_runs(tmp_path / "stepping") == steady == [(False, 0), (False, 0), (True, 0)]
    assert table_files_of(tmp_path / "stepping" / "output") == table_files_of(tmp_path / "steady" / "output")
    assert strays_of(tmp_path / "stepping" / "output") == []


def test_runs_under_a_lease(tiny_segments: list[Path], undisturbed: Path, bucket: str) -> None:
    source, output = f"{bucket}/input", f"{bucket}/output"
    with stepping() as looks:
        for path in tiny_segments:
            storage.write_bytes(f"{source}/{path.name}", path.read_bytes())
        assert not run(source, output, **EVERYTHING).unchanged
        assert run(source, output, **EVERYTHING).unchanged
    assert "datetime" in looks
    assert tables_of(output) == table_files_of(undisturbed)


@pytest.mark.parametrize("step_s", [-3_600, 3_600, 10 * 31_536_000], ids=["backwards", "an hour", "ten years"])
def test_the_times_of_segments_order_nothing(
    step_s: int, tiny_segments: list[Path], undisturbed: Path, tmp_path: Path
) -> None:
    """A collector whose clock was set while it wrote, ahead of that of the run too."""
    copy_segments(tiny_segments, tmp_path / "input", *range(len(tiny_segments)))
    now_s = time.time()
    for number, path in enumerate(sorted((tmp_path / "input").iterdir())):
        os.utime(path, (now_s + number * step_s, now_s + number * step_s))
    run(tmp_path / "input", tmp_path / "output", **EVERYTHING)
    assert table_files_of(tmp_path / "output") == table_files_of(undisturbed)


def test_a_clock_that_is_behind_removes_nothing(
    tiny_segments: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Segments that are younger than the clock have not settled; once it is right they are removed."""
    copy_segments(tiny_segments, tmp_path / "input", *range(len(tiny_segments)))
    written_ns = (tmp_path / "input" / tiny_segments[0].name).stat().st_mtime_ns
    with monkeypatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: written_ns - 3_600 * 1_000_000_000)
        assert run(tmp_path / "input", tmp_path / "output", after="delete", **EVERYTHING).removed == 0
    before = table_files_of(tmp_path / "output")
    assert len(list((tmp_path / "input").iterdir())) == len(tiny_segments)
    again = run(tmp_path / "input", tmp_path / "output", after="delete", **EVERYTHING)
    assert (again.unchanged, again.removed) == (True, len(tiny_segments) - 1)
    assert table_files_of(tmp_path / "output") == before
