"""Storage that fails in the middle of a run: a clear error, nothing committed or lost, and a rerun that works."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from etl_ray import storage
from etl_ray.errors import StorageError
from tests.orchestrators.jobs import FEW, run
from tests.orchestrators.outputs import OWN, strays_of, table_files_of

FAILING = {"open": errno.ENOSPC, "replace": errno.EIO, "mkdir": errno.EACCES, "hardlink_to": errno.EDQUOT}
"""Methods of Path that the storage calls, and the error that each of them meets."""


@contextmanager
def failing(name: str, at: int | None) -> Iterator[list[int]]:
    """Let the call number `at` (from 0; None: none) of a method of Path fail; yield the number of calls."""
    function = getattr(Path, name)
    calls = [0]

    def call(self: Path, *arguments: object, **options: object) -> object:
        writes = name != "open" or (arguments and "x" in str(arguments[0]))
        calls[0] += bool(writes)
        if writes and calls[0] - 1 == at:
            raise OSError(FAILING[name], os.strerror(FAILING[name]))
        return function(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, name, call)
        yield calls


class FullDisk:
    """A disk with room for some bytes: files opened for writing raise once it is full."""

    def __init__(self, room_bytes: float) -> None:
        self.room_bytes = room_bytes
        self.written_bytes = 0

    @contextmanager
    def mounted(self) -> Iterator[None]:
        open_path = Path.open

        def open_limited(path: Path, mode: str = "r", **options: object) -> object:
            file = open_path(path, mode, **options)  # type: ignore[call-overload]
            return LimitedFile(file, self) if mode == "xb" else file

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Path, "open", open_limited)
            yield


class LimitedFile:
    def __init__(self, file: BinaryIO, disk: FullDisk) -> None:
        self._file = file
        self._disk = disk

    def write(self, data: bytes) -> int:
        self._disk.written_bytes += len(data)
        if self._disk.written_bytes > self._disk.room_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._file.write(data)

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def __enter__(self) -> LimitedFile:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()


def visible_temporaries(output: Path) -> list[Path]:
    return [path for path in output.rglob("*.tmp") if path.is_file()]


@pytest.fixture(scope="module")
def wanted(sample_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the tables of an undisturbed run."""
    output = tmp_path_factory.mktemp("undisturbed") / "tables"
    run(sample_dir, output, **FEW)
    return table_files_of(output)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.4, 0.7, 0.97])
def test_a_disk_that_fills_up(
    share: float, sample_dir: Path, output_dir: Path, tmp_path: Path, wanted: dict[str, bytes]
) -> None:
    endless = FullDisk(float("inf"))
    with endless.mounted():
        run(sample_dir, tmp_path / "measured", **FEW)
    with FullDisk(share * endless.written_bytes).mounted(), pytest.raises(StorageError) as raised:
        run(sample_dir, output_dir, **FEW)
    message = str(raised.value)
    assert message.startswith((f"cannot write {output_dir}/", f"cannot create {output_dir}/"))
    assert message.endswith(": No space left on device")
    assert raised.value.exit_code == 1
    assert not list(output_dir.glob(f"{OWN}/manifests/*"))
    assert visible_temporaries(output_dir) == []
    run(sample_dir, output_dir, **FEW)
    assert table_files_of(output_dir) == wanted
    assert strays_of(output_dir) == []


@pytest.mark.parametrize("name", FAILING)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_storage_that_refuses_once(
    name: str, share: float, sample_dir: Path, output_dir: Path, tmp_path: Path, wanted: dict[str, bytes]
) -> None:
    with failing(name, None) as calls:
        run(sample_dir, tmp_path / "output-measured", **FEW)
    assert calls[0] > 0
    with failing(name, int(share * calls[0])), pytest.raises(StorageError) as raised:
        run(sample_dir, output_dir, **FEW)
    assert str(raised.value).startswith("cannot ")
    assert f" {output_dir}" in str(raised.value)
    assert str(raised.value).endswith(f": {os.strerror(FAILING[name])}")
    run(sample_dir, output_dir, **FEW)
    assert table_files_of(output_dir) == wanted
    assert strays_of(output_dir) == []


@pytest.mark.parametrize("share", [0.2, 0.9])
def test_what_is_committed_survives_a_failing_replacement(
    share: float, recording: Path, output_dir: Path, tmp_path: Path
) -> None:
    run(recording, output_dir, **FEW)
    before = table_files_of(output_dir)
    endless = FullDisk(float("inf"))
    with endless.mounted():
        run(recording, tmp_path / "measured", **FEW, numbers="decimal")
    full = FullDisk(share * endless.written_bytes)
    with full.mounted(), pytest.raises(StorageError, match="No space left on device"):
        run(recording, output_dir, **FEW, numbers="decimal", overwrite=True)
    assert table_files_of(output_dir) == before
    assert run(recording, output_dir, **FEW).unchanged


def test_a_staged_piece_that_cannot_be_read(
    sample_dir: Path, output_dir: Path, monkeypatch: pytest.MonkeyPatch, wanted: dict[str, bytes]
) -> None:
    class Unreadable:
        def readinto(self, _target: memoryview) -> int:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

        def __init__(self, inner: object) -> None:
            self.inner = inner

    piece = r"_00002\.ndjson-7f6557973a66-[0-9a-f]{16}\.rows"
    open_read = storage.open_read

    def open_badly(url: str, *, start: int = 0) -> BinaryIO:
        file = open_read(url, start=start)
        if re.search(piece, url):
            file._inner = Unreadable(file._inner)  # type: ignore[attr-defined]
        return file

    with monkeypatch.context() as patch:
        patch.setattr(storage, "open_read", open_badly)
        with pytest.raises(StorageError, match=rf"{piece}.*Input/output error"):
            run(sample_dir, output_dir, **FEW)
    run(sample_dir, output_dir, **FEW)
    assert table_files_of(output_dir) == wanted
