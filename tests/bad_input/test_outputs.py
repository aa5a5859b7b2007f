"""Storage that takes no more: a message that names it, nothing half done, and a rerun that completes."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from etl_ray.cli.entry import main
from etl_ray.errors import StorageError
from tests.bad_input.recordings import good_lines, run
from tests.orchestrators.outputs import OWN, table_files_of

NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def recording(input_dir: Path) -> Path:
    """Return an INPUT of two segments, one of them with a bad line."""
    (input_dir / "segment_20251126T14_00001.ndjson").write_bytes(good_lines(0, 6))
    (input_dir / "segment_20251126T15_00002.ndjson").write_bytes(good_lines(6, 6) + b"garbage")
    return input_dir


class Disk:
    """Counts what is written below a directory; from write number `full_at` on it writes half and fails."""

    def __init__(self, full_at: float) -> None:
        self.full_at = full_at
        self.writes = 0

    def write(self, file: BinaryIO, data: bytes) -> int:
        self.writes += 1
        if self.writes <= self.full_at:
            return file.write(data)
        file.write(memoryview(data)[: len(data) // 2])
        raise NO_SPACE


class File:
    """A file on such a disk."""

    def __init__(self, file: BinaryIO, disk: Disk) -> None:
        self._file = file
        self._disk = disk

    def write(self, data: bytes) -> int:
        return self._disk.write(self._file, data)

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def __enter__(self) -> File:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()


@contextmanager
def on(disk: Disk) -> Iterator[None]:
    """Let all files that are written lie on the disk."""
    open_path = Path.open

    def open_on_disk(path: Path, mode: str = "r", **options: object) -> object:
        file = open_path(path, mode, **options)  # type: ignore[call-overload]
        return File(file, disk) if "x" in mode or "w" in mode else file

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", open_on_disk)
        yield


def test_a_disk_that_fills_up_at_any_write(recording: Path, tmp_path: Path) -> None:
    endless = Disk(float("inf"))
    with on(endless):
        run(recording, tmp_path / "undisturbed")
    wanted = table_files_of(tmp_path / "undisturbed")
    assert endless.writes > 10
    for number in range(endless.writes):
        output = tmp_path / f"{number}"
        with on(Disk(number)), pytest.raises(StorageError) as raised:
            run(recording, output)
        assert raised.value.exit_code == 1
        message = str(raised.value)
        assert message.startswith((f"cannot write {output}/", f"cannot create {output}/{OWN}/"))
        assert message.endswith(": No space left on device")
        assert not list(output.glob(f"{OWN}/manifests/*"))
        run(recording, output)
        assert table_files_of(output) == wanted


def test_a_disk_that_is_full_when_files_are_flushed(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(recording, tmp_path / "undisturbed")
    calls = 0

    def refuse(_descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == left:
            raise NO_SPACE

    monkeypatch.setattr(os, "fsync", refuse)
    for left in range(1, 100):
        calls = 0
        output = tmp_path / f"{left}"
        try:
            run(recording, output)
        except StorageError as error:
            assert str(error).endswith(": No space left on device")
            assert f" {output}/" in str(error)
            run(recording, output)
        assert table_files_of(output) == table_files_of(tmp_path / "undisturbed")
        if calls < left:
            break
    assert 5 < left < 99


@pytest.mark.parametrize(
    ("method", "error", "told"),
    [
        ("mkdir", errno.EACCES, "cannot create the directory {output}/_etl_ray: Permission denied"),
        ("mkdir", errno.EROFS, "cannot create the directory {output}/_etl_ray: Read-only file system"),
        ("open", errno.EACCES, "cannot write {output}/_etl_ray/.*.tmp: Permission denied"),
        ("open", errno.EDQUOT, "cannot write {output}/_etl_ray/.*.tmp: Disk quota exceeded"),
    ],
)
def test_an_unwritable_output(
    method: str,
    error: int,
    told: str,
    recording: Path,
    output_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    call: Callable[..., object] = getattr(Path, method)

    def refuse(path: Path, *arguments: object, **options: object) -> object:
        if str(path).startswith(str(output_dir)):
            raise OSError(error, os.strerror(error))
        return call(path, *arguments, **options)

    monkeypatch.setattr(Path, method, refuse)
    monkeypatch.setattr("sys.argv", ["etl-ray", "run", str(recording), str(output_dir), "--engine", "local"])
    with pytest.raises(SystemExit) as exited:
        main()
    assert exited.value.code == 1
    begin, _, end = told.format(output=output_dir).partition("*")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"etl-ray: error: {begin}")
    assert line.endswith(end)
    assert [path for path in output_dir.rglob("*") if path.is_file()] == []
    monkeypatch.undo()
    assert run(recording, output_dir).accepted == 12


def test_an_output_below_a_file(recording: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError) as raised:
        run(recording, tmp_path / "file" / "output")
    assert str(raised.value) == f"cannot create the directory {tmp_path}/file/output/_etl_ray: Not a directory"
    assert (tmp_path / "file").read_text() == "mine"
