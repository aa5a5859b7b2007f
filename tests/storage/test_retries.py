"""What may pass is tried again, what stays is told at once, and a repeated call does no harm."""

from __future__ import annotations

import errno
import io
import os
import random
import socket
import sys
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path

import aiohttp
import google.auth.exceptions
import pytest
import requests
from aiohttp.client_reqrep import ConnectionKey
from gcsfs.retry import ChecksumError, HttpError, NonRetryableError

from etl_ray import storage
from etl_ray.errors import NotFoundError, StorageError
from etl_ray.storage import FileInfo, retries
from etl_ray.storage.windows import FIRST_BYTES

from .flaky import COUNTED, Faults, FlakyFileSystem, mounted, stored
from .places import refusal


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the pauses, which nobody waits for, each the longest that it may be."""
    found: list[float] = []
    monkeypatch.setattr(retries, "pause", found.append)
    monkeypatch.setattr(random, "uniform", lambda _least, most: most)
    return found


def system_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def reset() -> Exception:
    return HttpError({"code": 503, "message": "busy"})


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


class BotocoreError(Exception):
    def __init__(self, status: int, code: str = "") -> None:
        super().__init__(code)
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}, "Error": {"Code": code}}


class BotocoreTimeoutError(Exception):
    pass


@pytest.fixture
def _botocore(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("botocore.exceptions")
    module.ClientError = BotocoreError  # type: ignore[attr-defined]
    module.BotoCoreError = module.HTTPClientError = BotocoreTimeoutError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "botocore.exceptions", module)


def answered(status: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(response=response)


def answered_async(status: int) -> aiohttp.ClientResponseError:
    return aiohttp.ClientResponseError(types.SimpleNamespace(real_url="x"), (), status=status)  # type: ignore[arg-type]


KEY = ConnectionKey("host", 443, True, True, None, None, None)

TRANSIENT = [
    *(system_error(number) for number in (errno.EAGAIN, errno.ETIMEDOUT, errno.ECONNRESET, errno.ESTALE, errno.EPIPE)),
    TimeoutError(),
    ConnectionResetError(),
    socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
    *(HttpError({"code": code, "message": "x"}) for code in (408, 429, 500, 502, 503, 504, "503")),
    ChecksumError(),
    *(answered(status) for status in (429, 503)),
    requests.ConnectionError(),
    requests.exceptions.ChunkedEncodingError(),
    requests.exceptions.ProxyError(),
    aiohttp.ServerDisconnectedError(),
    aiohttp.ClientPayloadError(),
    *(answered_async(status) for status in (429, 500)),
    google.auth.exceptions.TransportError(),
    google.auth.exceptions.RefreshError(retryable=True),
    *(BotocoreError(status) for status in (500, 503)),
    BotocoreError(400, "RequestTimeout"),
    BotocoreTimeoutError(),
    caused(system_error(errno.EIO), BotocoreError(500, "InternalError")),
]
PERMANENT = [
    *(
        system_error(number)
        for number in (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.ENOENT, errno.EEXIST, errno.EIO, errno.EDQUOT)
    ),
    OSError("Forbidden: x"),
    ValueError("Bad Request: x"),
    socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
    *(HttpError({"code": code, "message": "x"}) for code in (400, 401, 403, 404, 501, 507)),
    HttpError(),
    NonRetryableError(),
    *(answered(status) for status in (401, 404)),
    answered_async(403),
    aiohttp.ClientConnectorCertificateError(KEY, ValueError("x")),
    google.auth.exceptions.DefaultCredentialsError(),
    google.auth.exceptions.RefreshError(),
    BotocoreError(403, "InvalidAccessKeyId"),
    caused(FileNotFoundError(), BotocoreError(500)),
    StorageError("told already"),
    KeyError("a defect"),
]


@pytest.mark.usefixtures("_botocore")
def test_what_may_pass_is_known() -> None:
    assert [error for error in TRANSIENT if not retries.is_transient(error)] == []
    assert [error for error in PERMANENT if retries.is_transient(error)] == []


def test_the_pauses_grow(pauses: list[float]) -> None:
    calls = []

    def call() -> None:
        calls.append("")
        raise system_error(errno.ETIMEDOUT)

    with pytest.raises(StorageError) as raised:
        retries.persist("read", "s3://me:pa55@name/x", call)

    assert str(raised.value) == "cannot read s3://name/x: Connection timed out; gave up after 7 attempts"
    assert (raised.value.__cause__, raised.value.__context__) == (None, None)
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2]
    assert len(calls) == retries.ATTEMPTS == 7


def test_the_last_attempt_counts() -> None:
    outcomes: list[Exception | int] = [*[system_error(errno.ESTALE)] * 6, 7]

    def call() -> int:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    assert retries.persist("read", "x", call) == 7


def everything(root: str) -> list[object]:
    """Do all that a storage can do; return what it says."""
    url = storage.join(root, "a")
    storage.make_root(root)
    storage.write_bytes(url, b"0123456789" * 4)
    with storage.open_write(storage.join(root, "b")) as file:
        file.write(b"content")
    found: list[object] = [storage.create_new(storage.join(root, "c"), b"new"), storage.exists(url)]
    found.append([(info.url, info.size) for info in storage.list_files(root)])
    found.append([info.size for info in storage.list_files(f"{root}/[ab]")])
    found += [storage.file_info(url).size, storage.read_bytes(url)]
    with storage.open_read(url, start=3) as reader:
        found += [reader.read(4), reader.read(5), reader.seek(-6, os.SEEK_END), reader.read(3), reader.read()]
    storage.move(storage.join(root, "b"), storage.join(root, "d/e"))
    storage.delete(storage.join(root, "c"))
    found.append(sorted(info.url for info in storage.list_files(root)))
    storage.delete_tree(storage.join(root, "d"))
    found += [storage.exists(storage.join(root, "d")), storage.create_new(url, b"other")]
    return found


@pytest.mark.parametrize("every", [3, 4, 7])
@pytest.mark.parametrize("lost", [False, True])
def test_all_functions_outlive_failures_that_pass(every: int, lost: bool, pauses: list[float]) -> None:
    with mounted(Faults(10**9, reset)) as faults:
        wanted = everything("flaky://bucket/out")
        kept, names = stored(), set(faults.calls)
    assert kept == {"/bucket/out/a": b"0123456789" * 4}
    # Only the file that a lost answer has created is not known to be this call's own.
    named = " ".join(names - {"pipe_file"}) if lost else ""
    with mounted(Faults(every, reset, lost=lost, named=named)) as faults:
        assert everything("flaky://bucket/out") == wanted
        assert stored() == kept
    assert len(pauses) == len(faults.failed) > 1
    assert names == {*COUNTED, "readinto"}


def test_a_file_created_with_a_lost_answer_is_the_caller_s_to_compare() -> None:
    with mounted(Faults(2, reset, lost=True, named="pipe_file")):
        assert storage.create_new("flaky://bucket/a", b"a")
        assert not storage.create_new("flaky://bucket/b", b"mine")
        assert storage.read_bytes("flaky://bucket/b") == b"mine"


CALLS: list[tuple[str, str, Callable[[str], object]]] = [
    ("look at", "info", storage.list_files),
    ("look at", "info", storage.file_info),
    ("look at", "info", storage.exists),
    ("read", "open", storage.open_read),
    ("read", "cat_file", storage.read_bytes),
    ("read", "readinto", lambda url: storage.open_read(url).read(3)),
    ("read", "readinto", lambda url: storage.open_read(url).read()),
    ("write", "pipe_file", lambda url: storage.write_bytes(url, b"")),
    ("create", "pipe_file", lambda url: storage.create_new(url, b"")),
    ("move", "cp_file", lambda url: storage.move(url, url + "2")),
    ("delete", "rm_file", storage.delete),
    ("delete", "rm", storage.delete_tree),
]


@pytest.mark.parametrize(("action", "name", "call"), CALLS)
def test_failures_that_stay_are_told_at_once(action: str, name: str, call: Callable[[str], object]) -> None:
    def refused() -> Exception:
        return HttpError({"code": 403, "message": "no"})

    with mounted(Faults(10**9, reset)):
        storage.write_bytes("flaky://bucket/x", b"content")
        with Failing(Faults(1, refused, named=name)) as faults, pytest.raises(StorageError) as raised:
            call("flaky://bucket/x")

    assert str(raised.value) == f"cannot {action} flaky://bucket/x: HttpError: no, 403"
    assert faults.failed == [name]


@pytest.mark.parametrize(("action", "name", "call"), CALLS)
def test_failures_that_do_not_pass_are_told_in_the_end(action: str, name: str, call: Callable[[str], object]) -> None:
    with mounted(Faults(10**9, reset)):
        storage.write_bytes("flaky://bucket/x", b"content")
        with Failing(Faults(1, reset, named=name)) as faults, pytest.raises(StorageError) as raised:
            call("flaky://bucket/x")

    assert str(raised.value) == f"cannot {action} flaky://bucket/x: HttpError: busy, 503; gave up after 7 attempts"
    assert faults.failed == [name] * 7


class Failing:
    """Let the mounted bucket fail otherwise for a while."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def __enter__(self) -> Faults:
        self._before, FlakyFileSystem.faults = FlakyFileSystem.faults, self._faults
        return self._faults

    def __exit__(self, *_error: object) -> None:
        FlakyFileSystem.faults = self._before


def test_what_is_missing_is_told_at_once(pauses: list[float]) -> None:
    with mounted(Faults(10**9, reset)), pytest.raises(NotFoundError) as raised:
        storage.read_bytes("flaky://bucket/x")
    assert str(raised.value) == "cannot read flaky://bucket/x: no such file, directory or bucket"
    assert pauses == []


def test_a_file_that_is_replaced_before_it_is_opened_anew_is_refused() -> None:
    with mounted(Faults(2, reset, named="readinto")):
        storage.write_bytes("flaky://bucket/x", b"content".ljust(2 * FIRST_BYTES))
        with storage.open_read("flaky://bucket/x") as file:
            assert file.read(2) == b"co"
            file.seek(FIRST_BYTES)
            storage.write_bytes("flaky://bucket/x", b"another".ljust(2 * FIRST_BYTES))
            with pytest.raises(StorageError) as raised:
                file.read(2)
    assert str(raised.value) == "cannot read flaky://bucket/x: it was replaced while it was read"


class Once:
    """A function of the system that fails once with `number`; with `lost`, after it was carried out."""

    def __init__(self, inner: Callable[..., object], number: int, *, lost: bool = False) -> None:
        self._inner = inner
        self._number = number
        self._lost = lost
        self.calls = 0

    def __get__(self, owner: object, _kind: type) -> Callable[..., object]:
        return self if owner is None else partial(self, owner)

    def __call__(self, *arguments: object, **options: object) -> object:
        self.calls += 1
        if self.calls == 1 and not self._lost:
            raise system_error(self._number)
        result = self._inner(*arguments, **options)
        if self.calls == 1:
            raise system_error(self._number)
        return result


@pytest.mark.parametrize("lost", [False, True])
def test_a_local_move_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: bool) -> None:
    (tmp_path / "a").write_bytes(b"content")
    replace = Once(os.replace, errno.ETIMEDOUT, lost=lost)
    monkeypatch.setattr(os, "replace", replace)

    storage.move(str(tmp_path / "a"), str(tmp_path / "b"))

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"b": b"content"}
    assert replace.calls == 2


def test_a_local_move_of_nothing_is_refused_though_the_target_is_there(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"content")

    with pytest.raises(NotFoundError):
        storage.move(str(tmp_path / "a"), str(tmp_path / "b"))


@pytest.mark.parametrize("name", ["replace", "mkdir", "open"])
@pytest.mark.parametrize("lost", [False, True])
def test_a_local_write_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, lost: bool) -> None:
    owner = Path if name == "open" else os
    with monkeypatch.context() as patch:
        once = Once(getattr(owner, name), errno.ESTALE, lost=lost)
        patch.setattr(owner, name, once)
        storage.write_bytes(str(tmp_path / "new" / "x"), b"content")

    assert once.calls == (1 if (name, lost) == ("mkdir", True) else 2)
    assert (tmp_path / "new" / "x").read_bytes() == b"content"


def test_a_local_write_that_fails_half_way_goes_on_in_its_place(tmp_path: Path) -> None:
    class HalfWritten(io.FileIO):
        failed = False

        def write(self, data: object) -> int:
            view = memoryview(data)  # type: ignore[arg-type]
            if not self.failed:
                self.failed = True
                super().write(view[:3])
                raise system_error(errno.ETIMEDOUT)
            return super().write(view[: 1 << 19]) or 0

    data = bytes(range(256)) * 8192
    with storage.open_write(str(tmp_path / "x")) as file:
        file.write(b"before")
        inner = file._inner  # type: ignore[attr-defined]
        file._inner = HalfWritten(inner.name, "r+b")  # type: ignore[attr-defined]
        file.write(data)
        assert file.tell() == 6 + len(data)

    assert (tmp_path / "x").read_bytes() == b"before" + data


def test_a_local_directory_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_bytes(b"content")
    scandir = Once(os.scandir, errno.ESTALE)
    monkeypatch.setattr(os, "scandir", scandir)

    info = FileInfo(str(tmp_path / "x"), 7, str((tmp_path / "x").stat().st_mtime_ns))
    assert storage.list_files(str(tmp_path)) == [info]
    assert scandir.calls == 2


def test_a_local_file_is_opened_anew_unless_it_is_another(tmp_path: Path) -> None:
    class Stale(io.FileIO):
        def readinto(self, _target: object) -> int:
            raise system_error(errno.ESTALE)

    url = str(tmp_path / "x")
    storage.write_bytes(url, b"content")
    with storage.open_read(url) as file:
        assert file.read(2) == b"co"
        file._inner = Stale(url)  # type: ignore[attr-defined]
        assert file.read(2) == b"nt"
        assert file.read() == b"ent"
        file._inner = Stale(url)  # type: ignore[attr-defined]
        assert file.read(2) == b""
        file._inner = Stale(url)  # type: ignore[attr-defined]
        storage.write_bytes(url, b"another")
        with pytest.raises(StorageError) as raised:
            file.read(2)
    assert str(raised.value) == f"cannot read {url}: it was replaced while it was read"


def test_a_sync_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", refusal(system_error(errno.ETIMEDOUT)))

    with pytest.raises(StorageError) as raised:
        storage.write_bytes(str(tmp_path / "x"), b"content")

    assert str(raised.value) == f"cannot write {tmp_path}/x: Connection timed out"
