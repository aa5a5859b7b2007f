"""Failures are told in one line, without credentials, and leave nothing behind."""

from __future__ import annotations

import errno
import os
import stat
import sys
import types
from collections.abc import Callable
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from etl_ray import storage
from etl_ray.errors import StorageError

from .places import listed, refusal

NO_SPACE = OSError(errno.ENOSPC, "No space left on device")
READ_ONLY = OSError(errno.EROFS, "Read-only file system")
REFUSED = PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize(
    ("call", "error"), [("fsync", NO_SPACE), ("replace", READ_ONLY), ("mkdir", READ_ONLY), ("open", REFUSED)]
)
@pytest.mark.parametrize("write", [storage.write_bytes, storage.create_new])
def test_a_disk_that_refuses_is_told_and_nothing_stays(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    error: OSError,
    write: Callable[[str, bytes], object],
) -> None:
    if (call, write) == ("replace", storage.create_new):
        call = "link"
    url = str(tmp_path / "new" / "x")
    with monkeypatch.context() as patched, pytest.raises(StorageError) as caught:
        patched.setattr(Path if call == "open" else os, call, refusal(error))
        write(url, b"content")

    action = "write" if write is storage.write_bytes else "create"
    assert str(caught.value) == f"cannot {action} {url}: {error.strerror}"
    assert listed(str(tmp_path)) == []


def test_a_disk_that_fills_up_in_the_middle_of_a_block_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = str(tmp_path / "x")
    with pytest.raises(StorageError) as caught, storage.open_write(url) as file:
        file.write(b"a")
        monkeypatch.setattr(file, "_inner", types.SimpleNamespace(write=refusal(NO_SPACE)))
        pq.write_table(pa.table({"a": [1]}), file)

    assert str(caught.value) == f"cannot write {url}: No space left on device"
    assert listed(str(tmp_path)) == []


@pytest.mark.parametrize(
    ("function", "patched", "action"),
    [
        (storage.list_files, "scandir", "look at"),
        (storage.delete, "unlink", "delete"),
        (storage.delete_tree, "rmdir", "delete"),
    ],
)
def test_permissions_are_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    function: Callable[[str], object],
    patched: str,
    action: str,
) -> None:
    url = str(tmp_path / "x")
    if function is storage.delete:
        (tmp_path / "x").write_bytes(b"")
    else:
        (tmp_path / "x").mkdir()
    monkeypatch.setattr(os, patched, refusal(REFUSED))

    with pytest.raises(StorageError) as caught:
        function(url)
    monkeypatch.undo()

    assert str(caught.value) == f"cannot {action} {url}: Permission denied"


def test_a_file_system_that_cannot_sync_directories_is_good_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def sync_files(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(handle)

    monkeypatch.setattr(os, "fsync", sync_files)
    storage.write_bytes(str(tmp_path / "x"), b"content")

    assert listed(str(tmp_path)) == ["x"]


class BucketError(Exception):
    """A failure as clients of buckets report them: no OSError."""


class Bucket(MemoryFileSystem):
    """A bucket that refuses everything, and says so with credentials in its message."""

    protocol = "bucket"

    def refuse(self, *_: object, **__: object) -> None:
        raise BucketError(
            "403 at https://user:pa55@host/o/x?X-Goog-Signature=s1gn\n"
            "Authorization: Bearer t0ken, aws_secret_access_key=s3cret"
        )

    info = ls = find = glob = pipe_file = put_file = cat_file = rm = rm_file = cp_file = open = refuse


@pytest.mark.parametrize(
    ("action", "call"),
    [
        ("look at", storage.list_files),
        ("look at", storage.file_info),
        ("look at", storage.exists),
        ("read", storage.open_read),
        ("read", storage.read_bytes),
        ("delete", storage.delete),
        ("delete", storage.delete_tree),
        ("write", lambda url: storage.write_bytes(url, b"")),
        ("create", lambda url: storage.create_new(url, b"")),
        ("move", lambda url: storage.move(url, url + "2")),
    ],
)
def test_a_bucket_that_refuses_is_told_without_credentials(
    action: str, call: Callable[[str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = types.ModuleType("gcsfs.retry")
    client.HttpError = client.ChecksumError = client.NonRetryableError = BucketError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gcsfs.retry", client)
    fsspec.register_implementation("bucket", Bucket, clobber=True)

    with pytest.raises(StorageError) as caught:
        call("bucket://me:pa55@name/o/x?token=t0ken")

    assert str(caught.value) == (
        f"cannot {action} bucket://name/o/x: BucketError: 403 at https://host/o/x "
        "Authorization: Bearer [hidden] aws_secret_access_key=[hidden]"
    )
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_errors_that_are_not_the_storage_s_pass_through(root: str) -> None:
    with pytest.raises(OSError, match="not ours"), storage.open_write(storage.join(root, "x")):
        raise OSError("not ours")
    assert listed(root) == []
