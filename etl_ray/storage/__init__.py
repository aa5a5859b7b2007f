"""Files by URL: local paths, `memory://`, `gs://`, `s3://` and whatever else fsspec knows.

A file appears under its name whole or not at all. Every failure of the storage is a `StorageError` that says what was
tried, on which URL, and why it failed, without credentials; one that may pass is met by trying again first.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import BinaryIO, cast

from etl_ray.errors import ConfigError
from etl_ray.storage import finding, local, remote
from etl_ray.storage.access import filesystem
from etl_ray.storage.at_once import each, map_ahead
from etl_ray.storage.comparing import is_same_content, is_same_file
from etl_ray.storage.failpoints import reach
from etl_ray.storage.files import FileInfo, Listing, local_path
from etl_ray.storage.reading import Reader
from etl_ray.storage.refusals import is_unmet_condition
from etl_ray.storage.removing import delete_unchanged, put_back
from etl_ray.storage.retries import persist
from etl_ray.storage.windows import MOST_BYTES
from etl_ray.urls import is_local, join, redact

__all__ = [
    "FileInfo",
    "Listing",
    "canonical",
    "create_new",
    "delete",
    "delete_temporary",
    "delete_tree",
    "delete_unchanged",
    "each",
    "exists",
    "file_info",
    "flush",
    "is_local",
    "is_same_content",
    "is_same_file",
    "join",
    "list_files",
    "list_folders",
    "local_path",
    "make_root",
    "map_ahead",
    "move",
    "open_read",
    "open_write",
    "put_back",
    "read_bytes",
    "redact",
    "search",
    "write_bytes",
]

_MEMORY_LOCK = threading.Lock()
_PROBE = ".probe.tmp"


def canonical(url: str) -> str:
    """Return the form of a directory's URL from which listings derive theirs, so that both can be compared."""
    if is_local(url):
        return str(local_path(url))
    return f"{url.partition('://')[0]}://{filesystem(url)[1].strip('/')}"


def list_files(url_or_glob: str) -> list[FileInfo]:
    """List the files below a directory, those of a glob, or the one file, sorted by URL.

    Below directories, names that begin with a dot are passed over. ConfigError if there is nothing at all.
    """
    listing = search(url_or_glob)
    return sorted({info.url: info for info in listing.below + listing.named}.values(), key=lambda info: info.url)


def list_folders(url: str) -> list[str]:
    """Return the names of the directories directly below one, sorted; none if there is no such directory."""

    def look() -> list[str]:
        with suppress(FileNotFoundError, NotADirectoryError):
            return local.folders(local_path(url)) if is_local(url) else finding.folders(url)
        return []

    return sorted(persist("look at", url, look))


def search(url_or_glob: str) -> Listing:
    """Find what a directory, glob or file name leads to. ConfigError if there is nothing at all."""
    if is_local(url_or_glob):
        found = persist("look at", url_or_glob, lambda: local.search(url_or_glob))
    else:
        found = finding.search(url_or_glob)
    if found is None:
        raise ConfigError(
            f"nothing at {redact(url_or_glob)}: expected a directory, a file, or a glob that matches at least one"
        )
    return found


def file_info(url: str) -> FileInfo:
    """Return size and version of one file."""

    def look() -> FileInfo:
        if is_local(url):
            return local.info(local_path(url))
        return remote.info(url, remote.look(url))

    return persist("look at", url, look)


def exists(url: str) -> bool:
    """Tell whether a file or directory is there; a storage that does not answer is an error, not a no."""

    def look() -> bool:
        try:
            if is_local(url):
                local_path(url).stat()
            else:
                remote.look(url)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    return persist("look at", url, look)


def open_read(url: str, *, start: int = 0) -> BinaryIO:
    """Open the raw bytes of a file, compressed as they are, from byte `start` on, without a buffer of its own."""
    return cast(BinaryIO, Reader(url, start))


def read_bytes(url: str) -> bytes:
    """Return the content of a file."""

    def read() -> bytes:
        if is_local(url):
            return local_path(url).read_bytes()
        fs, path = filesystem(url)
        return fs.cat_file(path)

    return persist("read", url, read)


def make_root(url: str) -> None:
    """Create a directory and make sure that files can be written to it and deleted again."""
    if is_local(url):
        persist("create the directory", url, lambda: local_path(url).mkdir(parents=True, exist_ok=True))
    probe = join(url, _PROBE)  # of one name, so that nothing is left where processes are killed over it
    write_bytes(probe, b"")
    delete(probe)


def write_bytes(url: str, data: bytes, *, durable: bool = True) -> None:
    """Write a file, replacing an older one. It appears whole or not at all; `durable` as in `open_write`."""
    if is_local(url):
        with open_write(url, durable=durable) as file:
            file.write(data)
        return

    def write() -> None:
        fs, path = filesystem(url)
        fs.pipe_file(path, data)

    reach("write.before", url)
    persist("write", url, write)
    reach("write.after", url)


def create_new(url: str, data: bytes, *, durable: bool = True) -> bool:
    """Write a file unless one is there: return False and change nothing then. Of several writers one gets True.

    After a lost answer it may say False for a file that this call has made: where that matters, put something unique
    into `data` and compare. `durable` as in `open_write`.
    """

    def create() -> bool:
        if is_local(url):
            return local.create(local_path(url), data, durable=durable)
        fs, path = filesystem(url)
        # memory:// checks and writes in two steps; buckets do both in one request and need no lock.
        with _MEMORY_LOCK if url.startswith("memory://") else nullcontext():
            try:
                fs.pipe_file(path, data, mode="create")
            except OSError as error:
                if not is_unmet_condition(error):
                    raise
                return False
        return True

    reach("create.before", url)
    created = persist("create", url, create)
    reach("create.after", url)
    return created


@contextmanager
def open_write(
    url: str, *, durable: bool = True, new: bool = False, final_url: Callable[[], str] | None = None
) -> Iterator[BinaryIO]:
    """Open a file for writing that appears, replacing an older one, only if the block ends without an exception.

    `new`: an older one is not replaced, but a StorageError, after a lost answer also one that this call has made.

    One that is not `durable` may be lost or damaged if the machine itself fails soon after; it is written faster.
    `final_url` is asked at the end for the name that the file gets, in the same directory: it may tell of its content.
    """
    final = final_url or (lambda: url)
    writing = local.write(url, final, durable=durable, new=new) if is_local(url) else remote.write(url, final, new=new)
    reach("write.before", url)
    with writing as file:
        yield cast(BinaryIO, file)
    reach("write.after", url)


def move(src: str, dst: str) -> None:
    """Move a file, replacing one that is there; over storages by copying it, then deleting `src`."""
    reach("move.before", src)
    if not (_rename(src, dst) if is_local(src) and is_local(dst) else _copy_within(src, dst)):
        with open_read(src) as source, open_write(dst) as target:
            shutil.copyfileobj(source, target, MOST_BYTES)
        reach("move.copied", src)
        delete(src)
    reach("move.after", dst)


def _rename(src: str, dst: str) -> bool:
    """Move a file unless it would have to be copied; tell whether that was done."""
    rename = local.renaming(local_path(src), local_path(dst))

    def attempt() -> bool:
        local_path(dst).parent.mkdir(parents=True, exist_ok=True)
        try:
            rename()
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return False
        return True

    return persist("move", src, attempt)


def _copy_within(src: str, dst: str) -> bool:
    """Move a file if both names are of one file system other than this machine's; tell whether they are."""
    if is_local(src) or is_local(dst):
        return False

    def copy() -> bool:
        (src_fs, src_path), (dst_fs, dst_path) = filesystem(src), filesystem(dst)
        if src_fs is not dst_fs:
            return False
        src_fs.cp_file(src_path, dst_path)
        return True

    if not persist("move", src, copy):
        return False
    reach("move.copied", src)
    delete(src)
    return True


def delete(url: str) -> None:
    """Delete a file; a missing one is fine."""

    def remove() -> None:
        with suppress(FileNotFoundError):
            if is_local(url):
                local_path(url).unlink()
            else:
                fs, path = filesystem(url)
                fs.rm_file(path)

    reach("delete.before", url)
    persist("delete", url, remove)
    reach("delete.after", url)


def delete_temporary(url: str) -> None:
    """Delete what killed writers have left below a directory; nobody may be writing there. Buckets keep nothing."""
    if is_local(url):
        reach("delete.before", url)
        persist("delete", url, lambda: local.delete_temporary(local_path(url)))
        reach("delete.after", url)


def flush(url: str) -> None:
    """Let what was written below a directory outlive a power cut, that which was not `durable` too."""
    if is_local(url):  # buckets have done so by themselves
        os.sync()


def delete_tree(url: str) -> None:
    """Delete a directory and all below it; a missing one is fine."""

    def remove() -> None:
        if not is_local(url):
            fs, path = filesystem(url)
            with suppress(FileNotFoundError):
                fs.rm(path, recursive=True)
            return
        while local_path(url).exists():
            # Somebody else may delete in the same tree: go on with what is left.
            with suppress(FileNotFoundError):
                shutil.rmtree(local_path(url))

    reach("delete.before", url)
    persist("delete", url, remove)
    reach("delete.after", url)
