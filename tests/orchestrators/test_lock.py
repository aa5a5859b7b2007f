"""One run at a time on a local OUTPUT; buckets: test_lease.py."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from etl_ray.errors import LockedError, StorageError
from etl_ray.orchestrators.lock import exclusive
from tests.orchestrators.jobs import FEW, run
from tests.orchestrators.outputs import files_of

HOLD = """
import fcntl, sys
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_and_changes_nothing(sample_dir: Path, output_dir: Path) -> None:
    run(sample_dir, output_dir, **FEW)
    before = files_of(output_dir)
    lock = output_dir / "_etl_ray" / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(LockedError) as raised:
            run(sample_dir, output_dir, **FEW, numbers="decimal", overwrite=True)
        other.kill()
    assert str(raised.value) == f"another run is writing to {output_dir}; wait until it has ended"
    assert raised.value.exit_code == 4
    assert files_of(output_dir) == before
    # The system has released the lock of the process that is dead.
    assert run(sample_dir, output_dir, **FEW).unchanged


def test_the_lock_is_released_whatever_the_run_raises(tmp_path: Path) -> None:
    for error in (ValueError("of the run"), OSError(errno.EIO, "of the run"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as raised, exclusive(str(tmp_path)):
            raise error
        assert raised.value is error
    with exclusive(str(tmp_path)), pytest.raises(LockedError), exclusive(str(tmp_path)):
        pass


def test_a_file_system_without_locks_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StorageError) as raised, exclusive(str(tmp_path)):
        pass
    assert str(raised.value) == f"cannot lock {tmp_path}/lock: No locks available"


def test_a_lock_whose_file_is_gone_is_lost(tmp_path: Path) -> None:
    with exclusive(str(tmp_path)) as hold:
        hold.check()
        (tmp_path / "lock").unlink()
        with pytest.raises(LockedError) as deleted:
            hold.check()
        (tmp_path / "lock").touch()
        with pytest.raises(LockedError) as replaced:
            hold.check()
    assert str(deleted.value) == f"this run no longer holds {tmp_path.parent}: {tmp_path}/lock was deleted. It stops"
    assert str(replaced.value) == f"this run no longer holds {tmp_path.parent}: {tmp_path}/lock was replaced. It stops"


def test_a_lock_is_broken_and_its_holder_finds_out(tmp_path: Path) -> None:
    notes: list[str] = []
    with exclusive(str(tmp_path)) as first, exclusive(str(tmp_path), break_lock=True, note=notes.append) as second:
        second.check()
        with pytest.raises(LockedError, match="was replaced"):
            first.check()
        with pytest.raises(LockedError), exclusive(str(tmp_path)):
            pass
    assert notes == [f"taking {tmp_path.parent} from a run that holds it"]


def test_a_lock_that_nobody_holds_need_not_be_broken(tmp_path: Path) -> None:
    notes: list[str] = []
    (tmp_path / "lock").touch()
    before = (tmp_path / "lock").stat().st_ino
    with exclusive(str(tmp_path), break_lock=True, note=notes.append) as hold:
        hold.check()
    assert ((tmp_path / "lock").stat().st_ino, notes) == (before, [])
