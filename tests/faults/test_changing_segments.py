"""Segments that change between the listing of INPUT and their reading: exit code 3, and the next run makes it good.

For each kind of segment and all tables; what is kept of a plain segment that is cut or gone is tested row by row in
tests/orchestrators/test_damaged_segments.py.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd

import etl_ray
from etl_ray.orchestrators import run as run_module
from tests.faults.command_line import CommandLine
from tests.faults.recordings import half_of
from tests.orchestrators.outputs import assert_same_rows, partitions_of, rows_of, strays_of

pytestmark = pytest.mark.slow

Pack = Callable[[bytes], bytes]
PACKS: dict[str, Pack] = {"": bytes, ".gz": gzip.compress, ".zst": zstd.compress}
SUFFIXES = [
    pytest.param("", id="plain"),
    pytest.param(".gz", id="gz", marks=pytest.mark.slow),
    pytest.param(".zst", id="zst"),
]
CHANGED = 2
"""The number of the segment that changes; two lie before it, two behind."""


class Recording:
    """An INPUT whose segments are packed; that with the number `CHANGED` changes."""

    def __init__(self, directory: Path, segments: list[Path], suffix: str) -> None:
        directory.mkdir()
        self.directory = directory
        self._data = {directory / f"{path.name}{suffix}": PACKS[suffix](path.read_bytes()) for path in segments}
        self.plain = segments[CHANGED].read_bytes()
        self.path = list(self._data)[CHANGED]
        self.pack = PACKS[suffix]
        self.restore()

    @property
    def whole(self) -> bytes:
        """What the segment that changes holds before."""
        return self._data[self.path]

    def restore(self) -> None:
        """Let all segments be what they were, written now."""
        for path, data in self._data.items():
            if not path.exists() or path.read_bytes() != data:
                path.write_bytes(data)


def vanish(recording: Recording) -> None:
    """Remove it."""
    recording.path.unlink()


def cut(recording: Recording) -> None:
    """Cut it in the middle, wherever that is."""
    os.truncate(recording.path, len(recording.whole) // 2)


def empty(recording: Recording) -> None:
    """Leave its name only."""
    os.truncate(recording.path, 0)


def grow(recording: Recording) -> None:
    """Write on behind it, as a collector does."""
    with recording.path.open("ab") as file:
        file.write(recording.pack(recording.plain.splitlines(keepends=True)[-1]))


def replace(recording: Recording) -> None:
    """Put another file into its place."""
    beside = recording.path.with_name("beside")
    beside.write_bytes(recording.pack(half_of(recording.plain)))
    beside.replace(recording.path)


CHANGES = {change.__name__: change for change in (vanish, cut, empty, grow, replace)}


def run_while(change: Callable[[], object], command_line: CommandLine, source: Path, output: Path) -> tuple[int, str]:
    """Run over INPUT, whose listing `change` comes right behind; return exit code and standard error."""
    find = run_module.find_segments

    def find_and_change(*urls: str) -> object:
        found = find(*urls)
        change()
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "find_segments", find_and_change)
        answer = command_line.run(source, output)
    return answer.code, answer.err


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", CHANGES)
def test_a_segment_that_changes_behind_the_listing(
    name: str, suffix: str, tiny_segments: list[Path], undisturbed: Path, tmp_path: Path, command_line: CommandLine
) -> None:
    recording = Recording(tmp_path / "input", tiny_segments, suffix)
    output = tmp_path / "output"
    code, err = run_while(lambda: CHANGES[name](recording), command_line, recording.directory, output)
    assert code == 3
    (told,) = [line for line in err.splitlines() if "damaged segment" in line]
    assert told.startswith(f"etl-ray: warning: damaged segment: {recording.path}: damaged after ")
    assert "it changed after planning: " in told or "it vanished after planning: " in told
    assert etl_ray.verify(str(output)).differences == ()
    assert etl_ray.status(str(output)).damaged == (told.partition("damaged segment: ")[2],)
    others = {path.name for path in tiny_segments} - {tiny_segments[CHANGED].name}
    assert {row["segment"] for row in rows_of(output, "level2")} >= others

    recording.restore()
    assert command_line.run(recording.directory, output).code == 0
    assert_same_rows(output, undisturbed)
    assert strays_of(output) == []


def test_a_segment_that_goes_on_growing_is_read_up_to_the_end_in_the_next_run(
    tiny_segments: list[Path], undisturbed: Path, tmp_path: Path, command_line: CommandLine
) -> None:
    """What a collector has written meanwhile is not lost: the next run takes it."""
    recording = Recording(tmp_path / "input", tiny_segments, "")
    output = tmp_path / "output"
    recording.path.write_bytes(half_of(recording.plain))
    code, _ = run_while(recording.restore, command_line, recording.directory, output)
    assert code == 3
    assert command_line.run(recording.directory, output).code == 0
    assert_same_rows(output, undisturbed)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_all_segments_that_vanish_behind_the_listing_take_no_committed_row_along(
    suffix: str, tiny_segments: list[Path], undisturbed: Path, tmp_path: Path, command_line: CommandLine
) -> None:
    recording = Recording(tmp_path / "input", tiny_segments, suffix)
    output = tmp_path / "output"
    assert command_line.run(recording.directory, output).code == 0
    paths = sorted(recording.directory.iterdir())
    new = paths[-1].with_name(paths[-1].name.replace("_00005", "_00009"))
    new.write_bytes(paths[-1].read_bytes())

    def vanish_all() -> None:
        for path in (*paths, new):
            path.unlink()

    code, err = run_while(vanish_all, command_line, recording.directory, output)
    assert code == 3
    assert [line.split(": ")[3] for line in err.splitlines() if "damaged segment" in line] == [str(new)]
    before = {name: rows.num_rows for name, rows in partitions_of(undisturbed).items() if name.startswith("level2/")}
    after = {name: rows.num_rows for name, rows in partitions_of(output).items() if name.startswith("level2/")}
    assert after == before
