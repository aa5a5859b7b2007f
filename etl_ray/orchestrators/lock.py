"""One run at a time on an OUTPUT. A courtesy: who commits is decided by the manifest's put-if-absent."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TextIO

from etl_ray import storage
from etl_ray.errors import LockedError
from etl_ray.orchestrators.lease import Leases, Pace
from etl_ray.storage.failures import reporting


class Hold(Protocol):
    """The lock while it is held."""

    def check(self) -> None:
        """Make sure that the lock is still held; LockedError if it is not."""


def _say_nothing(_message: str) -> None:
    pass


@contextmanager
def exclusive(
    own: str, *, break_lock: bool = False, note: Callable[[str], None] = _say_nothing, pace: Pace | None = None
) -> Iterator[Hold]:
    """Hold the lock of OUTPUT, whose own directory is `own`; LockedError if another process holds it.

    `break_lock` takes it from whoever holds it, who finds out by `Hold.check`. `note` is told what is waited for. On a
    local disk the system releases the lock when the process ends, however it ends; in a bucket it expires.
    """
    if storage.is_local(own):
        with _locked_file(storage.local_path(own) / "lock", break_lock=break_lock, note=note) as held_file:
            yield held_file
        return
    held = Leases(own).take(break_lock=break_lock, note=note, pace=pace or Pace())
    held.start()
    try:
        yield held
    finally:
        held.release()


class _LockedFile:
    """A lock of the system on a file."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self._path = path
        self._file = file

    def check(self) -> None:
        """Make sure that the locked file still has its name; LockedError if not: whoever asks now gets another."""
        with reporting("lock", str(self._path)):
            held = os.fstat(self._file.fileno())
            try:
                found = self._path.stat()
            except FileNotFoundError:
                found = None
        if found is None or (found.st_dev, found.st_ino) != (held.st_dev, held.st_ino):
            raise LockedError(
                f"this run no longer holds {self._path.parent.parent}: {self._path} was "
                f"{'deleted' if found is None else 'replaced'}. It stops"
            )


@contextmanager
def _locked_file(path: Path, *, break_lock: bool, note: Callable[[str], None]) -> Iterator[_LockedFile]:
    with reporting("lock", str(path)):
        file = path.open("a")
    with file:
        with reporting("lock", str(path)):
            locked = _lock(file)
            if not locked and break_lock:
                note(f"taking {path.parent.parent} from a run that holds it")
                path.unlink(missing_ok=True)
        if locked:
            held = _LockedFile(path, file)
            held.check()
            yield held
            return
    if break_lock:
        with _locked_file(path, break_lock=False, note=note) as broken:
            yield broken
        return
    raise LockedError(f"another run is writing to {path.parent.parent}; wait until it has ended")


def _lock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
