"""Files are deleted only if they are what they were; whatever happens, no other bytes are lost."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from etl_ray import storage
from etl_ray.errors import NotFoundError, StorageError
from etl_ray.storage import failpoints, removing
from etl_ray.storage.files import FileInfo
from tests.storage.places import listed
from tests.storage.test_failpoints import outcome

Act = Callable[[], object]


@pytest.fixture(autouse=True)
def _unarmed() -> Iterator[None]:
    yield
    failpoints.disarm()


def at_point(monkeypatch: pytest.MonkeyPatch, point: str, act: Act) -> None:
    """Let somebody `act` at a failpoint."""

    def reach(name: str, _url: str) -> None:
        if name == point:
            act()

    monkeypatch.setattr(removing, "reach", reach)


def test_what_did_not_change_is_deleted(root: str) -> None:
    storage.write_bytes(f"{root}/x", b"1")

    assert storage.delete_unchanged(storage.file_info(f"{root}/x"))
    assert listed(root) == []
    with pytest.raises(NotFoundError):
        storage.delete_unchanged(FileInfo(f"{root}/x", 1, "1"))


def test_what_changed_is_left(root: str) -> None:
    storage.write_bytes(f"{root}/x", b"1")
    found = storage.file_info(f"{root}/x")

    assert not storage.delete_unchanged(FileInfo(found.url, 2, found.version))
    assert not storage.delete_unchanged(FileInfo(found.url, 1, "other"))
    assert listed(root) == ["x"]
    assert storage.file_info(f"{root}/x") == found


def test_what_is_written_to_at_the_last_moment_gets_its_name_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"1")
    with path.open("ab", buffering=0) as file:
        at_point(monkeypatch, "delete.aside", lambda: file.write(b"2"))
        assert not storage.delete_unchanged(storage.file_info(str(path)))
        file.write(b"3")

    assert (listed(str(tmp_path)), path.read_bytes()) == (["x"], b"123")


@pytest.mark.parametrize("change", [b"", b"2"])
def test_a_file_that_takes_the_name_costs_none_of_both(
    change: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"1")
    with path.open("ab", buffering=0) as file:
        at_point(monkeypatch, "delete.aside", lambda: (file.write(change), path.write_bytes(b"new")))
        with pytest.raises(StorageError) as raised:
            storage.delete_unchanged(storage.file_info(str(path)))

    (aside,) = (found for found in tmp_path.iterdir() if found != path)
    assert (path.read_bytes(), aside.read_bytes()) == (b"new", b"1" + change)
    assert str(raised.value) == (
        f"cannot delete {path}: another file has taken its name meanwhile, the one before is {aside}; "
        "look at both, and remove one"
    )
    assert storage.put_back(str(tmp_path), lambda _name: True) == [str(aside)]
    assert (path.read_bytes(), aside.read_bytes()) == (b"new", b"1" + change)


def test_a_file_that_cannot_be_looked_at_again_gets_its_name_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"1")
    found = storage.file_info(str(path))

    def refuse(_path: Path) -> FileInfo:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(removing.local, "info", refuse)
    with pytest.raises(StorageError, match="Input/output error"):
        storage.delete_unchanged(found)

    assert (listed(str(tmp_path)), path.read_bytes()) == (["x"], b"1")


def test_a_link_is_deleted_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"1")
    (tmp_path / "x").symlink_to("target")

    assert not storage.delete_unchanged(FileInfo(str(tmp_path / "x"), 1, "other"))
    assert (tmp_path / "x").readlink() == Path("target")
    assert storage.delete_unchanged(storage.file_info(str(tmp_path / "x")))
    assert listed(str(tmp_path)) == ["target"]


def test_a_killed_deletion_is_repaired(tmp_path: Path) -> None:
    for name in ("x.ndjson", "y"):
        (tmp_path / name).write_bytes(b"1")
        found = storage.file_info(str(tmp_path / name))
        killed = outcome(lambda found=found: storage.delete_unchanged(found), "kill:delete.aside:")  # type: ignore[misc]
        assert killed == -signal.SIGKILL
    assert storage.list_files(str(tmp_path)) == []

    assert storage.put_back(str(tmp_path), lambda name: name == "x.ndjson") == []
    assert [name for name in listed(str(tmp_path)) if name[0] != "."] == ["x.ndjson"]
    assert storage.put_back(str(tmp_path), lambda _name: True) == []
    assert listed(str(tmp_path)) == ["x.ndjson", "y"]


def test_a_repair_that_was_killed_is_finished(tmp_path: Path) -> None:
    aside = tmp_path / ".x.01234567.removing"
    aside.write_bytes(b"1")
    os.link(aside, tmp_path / "x")

    assert storage.put_back(str(tmp_path), lambda _name: True) == []
    assert listed(str(tmp_path)) == ["x"]


def test_a_disk_without_hard_links_is_repaired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / ".x.01234567.removing").write_bytes(b"1")

    assert storage.put_back(str(tmp_path), lambda _name: True) == []
    assert listed(str(tmp_path)) == ["x"]
    (tmp_path / ".x.01234567.removing").write_bytes(b"2")
    assert storage.put_back(str(tmp_path), lambda _name: True) == [str(tmp_path / ".x.01234567.removing")]
    assert (tmp_path / "x").read_bytes() == b"1"


def test_only_directories_of_disks_are_repaired(tmp_path: Path) -> None:
    for folder in ("memory://root", str(tmp_path / "missing")):
        assert storage.put_back(folder, lambda _name: True) == []


class Bucket:
    """A bucket of Google that answers deletions of one file, whose generation is 7."""

    def __init__(self, *failures: Exception) -> None:
        self.calls: list[tuple[object, ...]] = []
        self._failures = list(failures)

    def split_path(self, path: str) -> tuple[str, str, None]:
        bucket, _, key = path.partition("/")
        return bucket, key, None

    def call(self, *arguments: str, **parameters: str) -> None:
        self.calls.append((*arguments, parameters))
        if self._failures:
            raise self._failures.pop(0)
        if parameters != {"ifGenerationMatch": "7"}:
            raise FileExistsError("b/a/x")


@pytest.mark.parametrize("scheme", ["gs", "gcs"])
def test_a_bucket_of_google_compares_and_deletes_in_one_request(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = Bucket()
    monkeypatch.setattr(removing, "filesystem", lambda url: (bucket, url.partition("://")[2]))

    assert storage.delete_unchanged(FileInfo(f"{scheme}://b/a/x", 1, "7"))
    assert not storage.delete_unchanged(FileInfo(f"{scheme}://b/a/x", 1, "8"))
    assert bucket.calls == [
        ("DELETE", "b/{}/o/{}", "b", "a/x", {"ifGenerationMatch": generation}) for generation in ("7", "8")
    ]


def test_a_lost_answer_of_a_bucket_is_no_missing_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etl_ray.storage.retries.pause", lambda _seconds: None)
    found = FileInfo("gs://b/x", 1, "7")
    bucket = Bucket(ConnectionResetError(), FileNotFoundError("x"), FileNotFoundError("x"))
    monkeypatch.setattr(removing, "filesystem", lambda url: (bucket, url.partition("://")[2]))

    assert storage.delete_unchanged(found)
    with pytest.raises(NotFoundError):
        storage.delete_unchanged(found)
