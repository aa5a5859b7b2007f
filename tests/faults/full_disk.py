"""Small disks in memory, mounted for a test, that fill up or become read-only at a chosen moment."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from etl_ray.storage import failpoints

SIZE_MB = 8
_PAGE_BYTES = 4096


class SmallDisk:
    """A disk of its own at `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._ballast = root / ".ballast"

    def fill(self, *, but_bytes: int = 0) -> None:
        """Take all room but some."""
        with self._ballast.open("ab", buffering=0) as file, suppress(OSError):
            while file.write(bytes(_PAGE_BYTES)):
                pass
            raise AssertionError("expected that the disk is full")
        os.truncate(self._ballast, self._ballast.stat().st_size - but_bytes)

    def take_all_names(self) -> None:
        """Let no file or directory be made any more, whatever room there is."""
        for number in range(100_000):
            try:
                (self.root / f".name{number}").touch()
            except OSError as error:
                assert error.errno == errno.ENOSPC
                return
        raise AssertionError("expected that the disk has no more room for names")

    def free(self) -> None:
        """Give back what was taken."""
        for path in self.root.glob(".name*"):
            path.unlink()
        self._ballast.unlink(missing_ok=True)

    def remount(self, *options: str) -> None:
        """Mount it with other options, such as `ro`."""
        subprocess.run(["mount", "-o", ",".join(("remount", *options)), str(self.root)], check=True)


@contextmanager
def mounted(root: Path) -> Iterator[SmallDisk]:
    """Mount a disk of `SIZE_MB` at a new directory; skip the test where that is not allowed."""
    root.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,nr_inodes=2k", "tmpfs", str(root)]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no command to mount a disk with")
    if done.returncode:
        pytest.skip(f"a disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield SmallDisk(root)
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)


@contextmanager
def at_point(name: str, part: str, act: Callable[[], object]) -> Iterator[list[str]]:
    """Act the first time that point `name` has a URL with `part` in it; yield the URLs for which that was done."""
    met: list[str] = []

    def look(reached: str, url: str) -> None:
        if not met and reached == name and part in url:
            met.append(url)
            act()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(failpoints, "_act", look)
        yield met
