"""What is promised of files holds on disk and in memory alike."""

from __future__ import annotations

import errno
import os
import pickle
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from threading import Barrier
from time import sleep

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

from etl_ray import storage
from etl_ray.errors import ConfigError, NotFoundError, StorageError
from etl_ray.storage import FileInfo, access, remote

from .places import listed, refusal

HOUR = timedelta(hours=1)


def test_what_is_written_is_read(root: str) -> None:
    url = storage.join(root, "level2", "product_id=A%2FB", "x.parquet")

    storage.write_bytes(url, b"old")
    storage.write_bytes(url, b"new content")

    assert storage.read_bytes(url) == b"new content"
    assert storage.open_read(url, start=4).read() == b"content"
    assert storage.file_info(url).size == 11
    assert listed(root) == ["level2/product_id=A%2FB/x.parquet"]


def test_a_file_open_for_reading_can_be_sought_and_read_into(root: str) -> None:
    storage.write_bytes(storage.join(root, "x"), b"0123456789")
    target = bytearray(4)

    with storage.open_read(storage.join(root, "x"), start=2) as file:
        assert file.readinto(target) == 4  # type: ignore[attr-defined]
        assert bytes(target) == b"2345"
        assert file.seek(-1, os.SEEK_END) == 9
        assert (file.tell(), file.read(), file.read(5)) == (9, b"9", b"")
    assert file.closed


def test_folders_are_those_directly_below(root: str) -> None:
    for path in ("b/x", "a/below/x", "a.json"):
        storage.write_bytes(storage.join(root, path), b"1")

    assert storage.list_folders(root) == storage.list_folders(f"{root}/") == ["a", "b"]
    assert storage.list_folders(storage.join(root, "a")) == ["below"]
    assert storage.list_folders(storage.join(root, "none")) == []
    assert storage.list_folders(storage.join(root, "a.json")) == []


def test_parquet_is_written_and_read_through_it(root: str) -> None:
    url = storage.join(root, "x.parquet")
    table = pa.table({"a": list(range(100_000))})

    with storage.open_write(url) as file:
        pq.write_table(table, file)

    with storage.open_read(url) as file:
        assert pq.read_table(file).equals(table)


def test_a_directory_is_listed_by_url_without_hidden_names(root: str) -> None:
    for name in ["b/2", "b/10", "a", ".hidden", ".dir/x", "b/.dir/x"]:
        storage.write_bytes(storage.join(root, name), name.encode())

    files = storage.list_files(root)

    top = str(storage.local_path(root)) if storage.is_local(root) else root
    assert [(info.url, info.size) for info in files] == [(f"{top}/a", 1), (f"{top}/b/10", 4), (f"{top}/b/2", 3)]
    assert files == [storage.file_info(info.url) for info in files]
    assert storage.list_files(f"{root}/b/*") == files[1:]
    assert storage.list_files(f"{root}/b/1*") == files[1:2]
    assert storage.list_files(f"{root}/?") == files
    assert storage.list_files(f"{root}/b/2") == files[2:]


def test_a_name_with_the_characters_of_a_glob_is_a_name_first(root: str) -> None:
    storage.write_bytes(storage.join(root, "a[1]"), b"x")
    storage.move(storage.join(root, "a[1]"), storage.join(root, "b[1]"))

    assert [info.size for info in storage.list_files(storage.join(root, "b[1]"))] == [1]
    storage.delete(storage.join(root, "b[1]"))
    assert not storage.exists(storage.join(root, "b[1]"))


def test_listings_are_not_kept_from_earlier_calls() -> None:
    fs, path = access.filesystem("memory://top/x")

    assert (fs.storage_options, path) == ({"use_listings_cache": False}, "/top/x")  # type: ignore[attr-defined]


def test_a_version_changes_with_the_content(root: str) -> None:
    url = storage.join(root, "x")
    storage.write_bytes(url, b"old")
    old = storage.file_info(url)
    if storage.is_local(root):
        assert old == FileInfo(str(storage.local_path(url)), 3, str(storage.local_path(url).stat().st_mtime_ns))
        os.utime(storage.local_path(url), ns=(1, 1))
    else:
        storage.write_bytes(url, b"new")

    assert storage.file_info(url).version != old.version


def test_files_tell_when_they_were_written(root: str) -> None:
    url = storage.join(root, "x")
    before = time.time_ns()
    storage.write_bytes(url, b"1")
    after = time.time_ns()
    if storage.is_local(root):
        os.utime(storage.local_path(url), ns=(5, 7))
        before = after = 7

    (listed_info,) = storage.list_files(root)
    for info in (storage.file_info(url), listed_info):
        assert info.modified_ns is not None
        assert before - 10_000_000 <= info.modified_ns <= after + 10_000_000


@pytest.mark.parametrize(
    ("entry", "modified_ns"),
    [
        ({"generation": "1", "mtime": datetime(2025, 11, 26, 0, 0, 0, 123456, tzinfo=UTC)}, 1_764_115_200_123_456_000),
        ({"ETag": "e", "LastModified": datetime(2025, 11, 26, 1, tzinfo=timezone(HOUR))}, 1_764_115_200_000_000_000),
        ({"last_modified": datetime(2025, 11, 26)}, 1_764_115_200_000_000_000),  # taken for UTC
        ({"mtime": 1_764_115_200.5}, 1_764_115_200_500_000_000),
        ({"mtime": 1_764_115_200}, 1_764_115_200_000_000_000),
        ({"mtime": "yesterday"}, None),
        ({"created": 1_764_115_200}, None),
        ({}, None),
    ],
)
def test_buckets_tell_in_their_own_ways_when_files_were_written(
    entry: dict[str, object], modified_ns: int | None
) -> None:
    info = remote.info("s3://b/x", {"name": "b/x", "type": "file", "size": 1, **entry})
    assert info.modified_ns == modified_ns


def test_a_new_file_replaces_none(root: str) -> None:
    url = storage.join(root, "x")
    with storage.open_write(url, new=True) as file:
        file.write(b"first")
    with pytest.raises(StorageError, match=r"cannot write .*/x: "), storage.open_write(url, new=True) as file:
        file.write(b"second")

    assert (listed(root), storage.read_bytes(url)) == (["x"], b"first")


def test_nothing_there_is_said_plainly(root: str) -> None:
    url = storage.join(root, "missing")

    assert not storage.exists(url)
    assert not storage.exists(storage.join(url, "below"))
    with pytest.raises(ConfigError) as listing:
        storage.list_files(url)
    with pytest.raises(NotFoundError) as reading:
        storage.open_read(url)
    with pytest.raises(NotFoundError) as looking:
        storage.file_info(url)
    assert str(listing.value) == (
        f"nothing at {url}: expected a directory, a file, or a glob that matches at least one"
    )
    assert str(reading.value) == f"cannot read {url}: no such file, directory or bucket"
    assert str(looking.value) == f"cannot look at {url}: no such file, directory or bucket"
    assert str(pickle.loads(pickle.dumps(reading.value))) == str(reading.value)


def test_a_file_appears_only_when_the_block_ends(root: str) -> None:
    url = storage.join(root, "x")

    with storage.open_write(url) as file:
        file.write(b"half")
        assert not storage.exists(url)
        file.write(b" and half")

    assert storage.read_bytes(url) == b"half and half"
    assert listed(root) == ["x"]


def test_an_exception_leaves_nothing_and_the_old_file(root: str) -> None:
    url = storage.join(root, "x")
    storage.write_bytes(url, b"old")

    for name in ["x", "y"]:
        with pytest.raises(ZeroDivisionError), storage.open_write(storage.join(root, name)) as file:
            file.write(b"half")
            raise ZeroDivisionError

    assert storage.read_bytes(url) == b"old"
    assert listed(root) == ["x"]


def test_a_file_closed_by_its_writer_still_appears(root: str) -> None:
    with storage.open_write(storage.join(root, "x")) as file:
        file.write(b"all")
        file.close()

    assert storage.read_bytes(storage.join(root, "x")) == b"all"


def test_creating_does_not_replace(root: str) -> None:
    url = storage.join(root, "manifests", "1")

    assert [storage.create_new(url, b"first"), storage.create_new(url, b"second")] == [True, False]
    assert storage.read_bytes(url) == b"first"
    assert listed(root) == ["manifests/1"]


@pytest.mark.parametrize("has_hard_links", [True, False])
def test_of_many_creators_one_wins_and_nobody_sees_a_half_file(
    root: str, has_hard_links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_hard_links:
        monkeypatch.setattr(os, "link", refusal(OSError(errno.ENOTSUP, "Operation not supported")))
    exists = MemoryFileSystem.exists
    monkeypatch.setattr(MemoryFileSystem, "exists", lambda *args: (exists(*args), sleep(0.001))[0])
    writers = 8
    for attempt in range(10):
        url = storage.join(root, str(attempt))
        start = Barrier(writers + 1)

        def create(number: int, url: str = url, start: Barrier = start) -> bool:
            start.wait()
            return storage.create_new(url, b"%d" % number * 100_000)

        def look(url: str = url, start: Barrier = start) -> set[int]:
            start.wait()
            return {len(storage.read_bytes(url)) for _ in range(50) if storage.exists(url)}

        with ThreadPoolExecutor(writers + 1) as pool:
            seen = pool.submit(look)
            won = list(pool.map(create, range(writers)))

        assert won.count(True) == 1
        assert storage.read_bytes(url) == b"%d" % won.index(True) * 100_000
        assert seen.result() <= {100_000}


def test_a_link_whose_answer_was_lost_is_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def linked_twice(source: Path, target: Path, **_: object) -> None:
        link(source, target)
        link(source, target)

    monkeypatch.setattr(os, "link", linked_twice)

    assert storage.create_new(str(tmp_path / "x"), b"mine")


def test_moving_replaces_and_makes_directories(root: str) -> None:
    source, target = storage.join(root, "a"), storage.join(root, "deep", "down", "b")
    storage.write_bytes(source, b"new")
    storage.write_bytes(target, b"old")

    storage.move(source, target)

    assert storage.read_bytes(target) == b"new"
    assert listed(root) == ["deep/down/b"]
    with pytest.raises(NotFoundError, match="cannot move"):
        storage.move(source, target)


def test_moving_goes_over_storages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"content")

    storage.move(str(tmp_path / "a"), "memory://root/b")
    assert storage.read_bytes("memory://root/b") == b"content"
    storage.move("memory://root/b", str(tmp_path / "c"))
    assert not storage.exists("memory://root/b")
    replace = os.replace

    def between_devices(source: Path, target: Path) -> None:
        if source.name == "c":
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        replace(source, target)

    monkeypatch.setattr(os, "replace", between_devices)
    storage.move(str(tmp_path / "c"), str(tmp_path / "d"))

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"d": b"content"}


def test_deleting_what_is_missing_is_fine(root: str) -> None:
    for name in ["a", "tree/b", "tree/c/d"]:
        storage.write_bytes(storage.join(root, name), b"")

    for _ in range(2):
        storage.delete(storage.join(root, "a"))
        storage.delete_tree(storage.join(root, "tree"))

    assert listed(root) == []
    assert not storage.exists(storage.join(root, "tree"))


def test_a_root_is_made_and_probed(root: str) -> None:
    for _ in range(2):
        storage.make_root(storage.join(root, "out"))

    assert listed(root) == []


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"")

    with pytest.raises(StorageError, match=f"cannot create the directory {tmp_path}/out: File exists"):
        storage.make_root(str(tmp_path / "out"))


def test_links_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x").write_bytes(b"x")
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "back").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "dangling").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "in" / "pipe")

    files = storage.list_files(str(tmp_path / "in"))

    assert [info.url for info in files] == [str(tmp_path / "in" / "linked" / "x")]
    with pytest.raises(ConfigError, match="pipe: expected a directory or a regular file, found neither"):
        storage.list_files(str(tmp_path / "in" / "pipe"))


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage.write_bytes("in/x", b"x")

    assert [info.url for info in storage.list_files("in")] == [str(tmp_path / "in" / "x")]


@pytest.mark.parametrize(
    ("url", "parts", "joined"),
    [
        ("/out", ("a", "b"), "/out/a/b"),
        ("/out/", ("/a/", "b/"), "/out/a/b"),
        ("/", ("a",), "/a"),
        ("out", ("a",), "out/a"),
        ("gs://bucket", ("a", "b=%2F"), "gs://bucket/a/b=%2F"),
        ("memory://", ("a",), "memory://a"),
        ("/out", (), "/out"),
    ],
)
def test_parts_are_joined(url: str, parts: tuple[str, ...], joined: str) -> None:
    assert storage.join(url, *parts) == joined


def test_urls_are_local_or_not() -> None:
    assert [storage.is_local(url) for url in ["/a", "a:b", "file:///a", "s3://a/b", "memory://a"]] == [
        True,
        True,
        True,
        False,
        False,
    ]
    with pytest.raises(ConfigError, match="expected a local path, found s3://a/b"):
        storage.local_path("s3://a/b")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "nosuch://x",
            "nosuch://x: expected a path or a URL that fsspec knows; ValueError: Protocol not known: nosuch",
        ),
        ("s3://x/y", "s3://x/y: s3:// needs a package that is missing; install etl-ray[s3]: ImportError: "),
    ],
)
def test_a_storage_that_is_not_installed_is_named(url: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(_registry, "s3", raising=False)  # other tests may have loaded it
    with pytest.raises(ConfigError) as caught:
        storage.list_files(url)

    assert str(caught.value).startswith(message)
