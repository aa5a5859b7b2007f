"""Files on local disk."""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from etl_ray.errors import ConfigError
from etl_ray.storage.failpoints import reach
from etl_ray.storage.failures import reporting
from etl_ray.storage.files import FileInfo, Listing, local_path
from etl_ray.storage.retries import is_transient, persist
from etl_ray.storage.writing import Writer

NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.tmp")


def info(path: Path) -> FileInfo:
    """Return size and modification time of a file."""
    status = path.stat()
    return FileInfo(str(path), status.st_size, str(status.st_mtime_ns), status.st_mtime_ns)


def search(url: str) -> Listing | None:
    """Find what a directory, glob or name leads to; None if there is nothing."""
    path = local_path(url)
    if path.exists():
        matches = [path]
    else:
        pattern = str(path)
        found = glob.glob(pattern, recursive=True) if glob.has_magic(pattern) else []  # noqa: PTH207  # absolute
        matches = [Path(match) for match in found]
    if not matches:
        return None
    named = tuple(info(match) for match in matches if match.is_file())
    below = tuple(info for match in matches if match.is_dir() for info in _walk(match))
    if not named and path in matches and not path.is_dir():
        raise ConfigError(f"{path}: expected a directory or a regular file, found neither")
    return Listing(named, below)


def _walk(root: Path) -> Iterator[FileInfo]:
    def refuse(error: OSError) -> None:
        if is_transient(error):  # the whole search is repeated
            raise error
        with reporting("look at", str(error.filename or root)):
            raise error

    visited: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(root, onerror=refuse, followlinks=True):
        status = os.stat(folder)  # noqa: PTH116  # as below
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()  # a symbolic link that leads back
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = f"{folder.rstrip('/')}/{name}"  # a Path costs more than all the rest
            if name.startswith("."):
                continue
            with suppress(FileNotFoundError):  # gone since the directory was read, or a dangling link
                status = os.stat(path)  # noqa: PTH116
                if stat.S_ISREG(status.st_mode):
                    yield FileInfo(path, status.st_size, str(status.st_mtime_ns), status.st_mtime_ns)


def folders(path: Path) -> list[str]:
    """Return the names of the directories directly below one."""
    return [entry.name for entry in path.iterdir() if entry.is_dir()]


def temporary_name() -> str:
    """Return a new name that listings pass over."""
    return f".{secrets.token_hex(8)}.tmp"


def delete_temporary(root: Path) -> None:
    """Delete the files of this directory and all below it that writers were killed over."""
    for folder, _, files in os.walk(root):
        for name in filter(_TEMPORARY.fullmatch, files):
            Path(folder, name).unlink(missing_ok=True)


def _sync_directory(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that cannot do it
            raise
    finally:
        os.close(folder)


@contextmanager
def write(url: str, final_url: Callable[[], str], *, durable: bool, new: bool) -> Iterator[Writer]:
    """Open a file that appears under its final URL when the block ends without an exception.

    `durable`: and that outlives a power cut. `new`: where one is there already, that is a failure.
    """
    path = local_path(url)
    temporary, file = persist("write", url, lambda: _open_beside(path))
    try:
        writer = Writer(url, file)
        yield writer
        writer.drain()
        with reporting("write", url):
            if durable:
                # Not repeated: the system may have forgotten which pages it could not write.
                os.fsync(file.fileno())
            file.close()
        final = final_url()
        reach("write.whole", final)
        place = linking(temporary, local_path(final)) if new else renaming(temporary, local_path(final))
        persist("write", url, place)
        with reporting("write", url):
            if durable:
                _sync_directory(path.parent)
    finally:
        with suppress(OSError):
            file.close()
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _open_beside(path: Path) -> tuple[Path, BinaryIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(temporary_name())
    return temporary, cast(BinaryIO, temporary.open("xb", buffering=0))


def renaming(source: Path, target: Path) -> Callable[[], None]:
    """Return a call that renames a file, and that can be repeated after one whose answer was lost."""
    failed = False

    def rename() -> None:
        nonlocal failed
        try:
            source.replace(target)
        except FileNotFoundError:
            if not failed or not target.exists():
                raise
        except OSError:
            failed = True
            raise

    return rename


def linking(source: Path, target: Path) -> Callable[[], None]:
    """Return a call that gives a file a further name, or a new one; FileExistsError if another file has it."""

    def link() -> None:
        if not _link_new(source, target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    return link


def create(path: Path, data: bytes, *, durable: bool) -> bool:
    """Write a file whole unless one is there already; tell whether this call made it. `durable` as in `write`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(temporary_name())
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        reach("create.whole", str(path))
        created = _link_new(temporary, path)
        if durable:
            _sync_directory(path.parent)
        return created
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _link_new(temporary: Path, path: Path) -> bool:
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        # NFS may repeat a request whose answer was lost: then the file that is there is ours.
        return temporary.stat().st_nlink > 1
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
    else:
        return True
    with path.with_name(".create.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return False
        temporary.replace(path)
        return True
