"""An OUTPUT on a disk that fills up or may not be written: one line that says so, nothing half done, and a rerun."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import etl_ray
from tests.faults.command_line import CommandLine
from tests.faults.full_disk import SmallDisk, at_point, mounted
from tests.faults.recordings import copy_segments
from tests.orchestrators.outputs import OWN, assert_same_rows, files_of, strays_of, table_files_of

pytestmark = pytest.mark.slow

FULL = "No space left on device"
STAGES = {
    "staging": ("write.before", "/_etl_ray/staged/000001/rows/"),
    "composing": ("write.before", "/_etl_ray/staged/000001/book/"),
    "building": ("write.before", "/tables-{number:06d}/level2/"),
    "deriving": ("write.before", "/tables-{number:06d}/bars/"),
    "packing": ("write.before", "/_etl_ray/receipts/{number:06d}"),
    "committing": ("create.before", "/_etl_ray/manifests/{number:06d}"),
}
"""The point at which there is no more room, by what is done there."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Return a small disk with nothing on it."""
    with mounted(tmp_path / "disk") as small:
        yield small


def told_of(line: str, disk: SmallDisk) -> bool:
    """Say whether a line names a place on the disk and that it is full."""
    begins = line.startswith(
        tuple(f"etl-ray: error: cannot {what} {disk.root}/output/_etl_ray/" for what in ("write", "create"))
    )
    return begins and line.endswith(f": {FULL}\n") and line.count("\n") == 1


@pytest.mark.parametrize("stage", STAGES)
def test_a_first_run_that_fills_the_disk(
    stage: str, disk: SmallDisk, tiny_segments: list[Path], undisturbed: Path, command_line: CommandLine
) -> None:
    name, part = STAGES[stage]
    output = disk.root / "output"
    with at_point(name, part.format(number=1), disk.fill) as met:
        answer = command_line.run(tiny_segments[0].parent, output, "--json")
    assert len(met) == 1
    assert (answer.code, answer.out) == (1, "")
    assert told_of(answer.err, disk), answer.err
    assert list(output.glob(f"{OWN}/manifests/*")) == []
    assert table_files_of(output) == {}
    assert command_line("status", str(output), "--json").json["runs"] == []

    assert command_line.run(tiny_segments[0].parent, output).code == 1  # it is still full
    disk.free()
    assert command_line.run(tiny_segments[0].parent, output).code == 0
    assert table_files_of(output) == table_files_of(undisturbed)
    assert strays_of(output) == []


@pytest.mark.parametrize("but_kb", [0, 8, 60, 400])
def test_a_disk_with_little_room_from_the_beginning(
    but_kb: int, disk: SmallDisk, tiny_segments: list[Path], undisturbed: Path, command_line: CommandLine
) -> None:
    output = disk.root / "output"
    disk.fill(but_bytes=but_kb * 1024)
    answer = command_line.run(tiny_segments[0].parent, output)
    assert (answer.code, answer.out) == (1, "")
    assert told_of(answer.err, disk), answer.err
    assert table_files_of(output) == {}
    disk.free()
    assert command_line.run(tiny_segments[0].parent, output).code == 0
    assert table_files_of(output) == table_files_of(undisturbed)


@pytest.mark.parametrize("stage", STAGES)
def test_a_later_run_that_fills_the_disk_leaves_the_committed_state_whole(
    stage: str,
    disk: SmallDisk,
    tiny_segments: list[Path],
    undisturbed: Path,
    tmp_path: Path,
    command_line: CommandLine,
) -> None:
    name, part = STAGES[stage]
    output = disk.root / "output"
    copy_segments(tiny_segments, tmp_path / "input", 0, 1, 3)
    assert command_line.run(tmp_path / "input", output).code == 0
    before = table_files_of(output)
    copy_segments(tiny_segments, tmp_path / "input", 2, 4)

    with at_point(name, part.format(number=2), disk.fill) as met:
        answer = command_line.run(tmp_path / "input", output)
    assert len(met) == 1
    assert answer.code == 1
    assert told_of(answer.err, disk), answer.err
    assert table_files_of(output) == before
    assert etl_ray.verify(str(output)).differences == ()
    assert etl_ray.status(str(output)).done == 3

    disk.free()
    assert command_line.run(tmp_path / "input", output).code == 0
    assert etl_ray.verify(str(output)).differences == ()
    assert_same_rows(output, undisturbed)
    assert strays_of(output) == []


def test_a_disk_that_is_full_once_the_manifest_is_there(
    disk: SmallDisk, tiny_segments: list[Path], undisturbed: Path, command_line: CommandLine
) -> None:
    """The state is committed and its files are safe: any next run puts them into their places."""
    output = disk.root / "output"
    with at_point("create.after", "/manifests/", disk.take_all_names) as met:
        answer = command_line.run(tiny_segments[0].parent, output)
    assert len(met) == 1
    assert answer.code == 1
    assert answer.err.startswith(f"etl-ray: error: cannot move {output}/_etl_ray/runs/")
    assert answer.err.endswith(f": {FULL}\n")
    disk.free()
    assert command_line.run(tiny_segments[0].parent, output).code == 0
    assert table_files_of(output) == table_files_of(undisturbed)
    assert strays_of(output) == []


@pytest.mark.slow
def test_a_compaction_that_fills_the_disk(
    disk: SmallDisk, tiny_segments: list[Path], undisturbed: Path, tmp_path: Path, command_line: CommandLine
) -> None:
    output = disk.root / "output"
    for number in range(len(tiny_segments)):
        copy_segments(tiny_segments, tmp_path / "input", number)
        assert command_line.run(tmp_path / "input", output).code == 0
    before = table_files_of(output)
    with at_point("write.before", "/tables-", disk.fill) as met:
        answer = command_line("compact", str(output), "--engine", "local", "--quiet")
    assert len(met) == 1
    assert answer.code == 1
    assert told_of(answer.err, disk), answer.err
    assert table_files_of(output) == before
    assert etl_ray.verify(str(output)).differences == ()
    disk.free()
    assert command_line("compact", str(output), "--engine", "local", "--quiet").code == 0
    assert len(table_files_of(output)) < len(before)
    assert_same_rows(output, undisturbed)


COMMANDS: dict[str, Callable[[Path, Path, CommandLine], tuple[int, str]]] = {
    "a run with nothing to do": lambda source, output, line: _told(line.run(source, output)),
    "a run over a new segment": lambda source, output, line: _told(line.run(source / "..", output)),
    "a compaction": lambda _, output, line: _told(line("compact", str(output), "--engine", "local", "--quiet")),
}


def _told(answer: object) -> tuple[int, str]:
    return answer.code, answer.err  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_read_only_output(
    name: str, disk: SmallDisk, tiny_segments: list[Path], undisturbed: Path, tmp_path: Path, command_line: CommandLine
) -> None:
    output = disk.root / "output"
    copy_segments(tiny_segments, tmp_path / "input" / "old", 0, 1, 2, 3)
    assert command_line.run(tmp_path / "input" / "old", output).code == 0
    copy_segments(tiny_segments, tmp_path / "input", 4)
    before = files_of(output)
    disk.remount("ro")

    code, err = COMMANDS[name](tmp_path / "input" / "old", output, command_line)
    assert code == 1
    assert err.startswith(f"etl-ray: error: cannot write {output}/_etl_ray/")
    assert err.endswith(": Read-only file system\n")
    assert err.count("\n") == 1
    # What changes nothing needs no permission to.
    assert command_line("verify", str(output), "--json").json["differences"] == []
    assert etl_ray.status(str(output)).done == 4

    disk.remount("rw")
    assert files_of(output) == before
    assert command_line.run(tmp_path / "input", output).code == 0
    assert_same_rows(output, undisturbed)


def test_a_new_output_on_a_read_only_disk(
    disk: SmallDisk, tiny_segments: list[Path], undisturbed: Path, command_line: CommandLine
) -> None:
    output = disk.root / "output"
    disk.remount("ro")
    answer = command_line.run(tiny_segments[0].parent, output)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == f"etl-ray: error: cannot create the directory {output}/_etl_ray: Read-only file system\n"
    disk.remount("rw")
    assert not output.exists()
    assert command_line.run(tiny_segments[0].parent, output).code == 0
    assert table_files_of(output) == table_files_of(undisturbed)
    shutil.rmtree(output)
