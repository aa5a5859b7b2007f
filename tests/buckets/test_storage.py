"""What is promised of files holds in buckets, on the server programs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd
from isal import igzip

from etl_ray import storage
from etl_ray.errors import NotFoundError, StorageError
from etl_ray.readers.codecs import open_unpacked
from etl_ray.readers.segments import find_segments
from etl_ray.storage import access, windows
from tests.buckets.conftest import Bucket


def names(url: str, root: str) -> list[str]:
    return [info.url.removeprefix(f"{root}/") for info in storage.list_files(url)]


def test_files_are_written_read_listed_moved_and_deleted(bucket: Bucket) -> None:
    root = f"{bucket.url}/root"
    odd = "product_id=A%2FB/a[1] b#c?d.parquet"
    for name in ("a/x", "a/.hidden", ".dir/x", odd, "z"):
        storage.write_bytes(f"{root}/{name}", name.encode())
    storage.write_bytes(f"{root}/z", b"0123456789")

    assert names(root, root) == names(f"{root}/", root) == ["a/x", odd, "z"]
    assert names(f"{root}/?", root) == ["a/x", "z"]
    assert names(f"{root}/*/x", root) == ["a/x"]
    assert storage.list_folders(root) == [".dir", "a", "product_id=A%2FB"]
    assert storage.list_folders(f"{root}/none") == storage.list_folders(f"{root}/z") == []
    assert storage.list_files(root)[2] == storage.file_info(f"{root}/z")
    assert storage.list_files(f"{root}/z") == [storage.file_info(f"{root}/z")]
    assert storage.read_bytes(f"{root}/{odd}") == odd.encode()
    with storage.open_read(f"{root}/z", start=4) as file:
        assert (file.read(3), file.tell(), file.seek(-1, os.SEEK_END), file.read(), file.read(5)) == (
            b"456",
            7,
            9,
            b"9",
            b"",
        )
    storage.move(f"{root}/z", f"{root}/b/{odd}")
    assert not storage.exists(f"{root}/z")
    assert storage.read_bytes(f"{root}/b/{odd}") == b"0123456789"
    storage.delete(f"{root}/b/{odd}")
    storage.delete(f"{root}/b/{odd}")
    assert not storage.exists(f"{root}/b")
    for call in (storage.read_bytes, storage.file_info, storage.open_read):
        with pytest.raises(NotFoundError, match="no such file"):
            call(f"{root}/z")
    storage.delete_tree(f"{root}/a")
    storage.delete_tree(f"{root}/a")
    assert names(root, root) == [odd]


def test_of_two_that_create_a_file_one_wins(bucket: Bucket) -> None:
    together = Barrier(2)

    def create(number: int, writer: bytes) -> bool:
        together.wait()
        return storage.create_new(f"{bucket.url}/{number}", writer)

    for number in range(5):
        with ThreadPoolExecutor(2) as pool:
            won = list(pool.map(create, (number, number), (b"first", b"other")))
        assert sorted(won) == [False, True]
        assert storage.read_bytes(f"{bucket.url}/{number}") == (b"first" if won[0] else b"other")
    with (
        pytest.raises(StorageError, match="a file has this name already"),
        storage.open_write(f"{bucket.url}/1", new=True) as file,
    ):
        file.write(b"late")


def test_a_file_is_deleted_only_if_it_is_what_was_found(bucket: Bucket) -> None:
    url = f"{bucket.url}/x"
    storage.write_bytes(url, b"old")
    found = storage.file_info(url)
    storage.write_bytes(url, b"new")
    changed = storage.file_info(url)

    assert changed.version != found.version
    assert not storage.delete_unchanged(found)
    assert storage.read_bytes(url) == b"new"
    assert storage.delete_unchanged(changed)
    assert not storage.exists(url)
    with pytest.raises(NotFoundError):
        storage.delete_unchanged(changed)


def test_a_file_that_changes_between_look_and_deletion_stays(bucket: Bucket) -> None:
    url = f"{bucket.url}/x"
    storage.write_bytes(url, b"old")
    found = storage.file_info(url)
    seen = []

    def replace_first(_number: int, method: str, _target: str) -> None:
        if method == "DELETE" and not seen:
            seen.append(method)
            storage.write_bytes(url, b"new")

    bucket.proxy.refuse = replace_first
    assert not storage.delete_unchanged(found)
    assert (seen, storage.read_bytes(url)) == (["DELETE"], b"new")


@pytest.mark.slow
def test_a_file_in_several_parts_is_created_once(bucket: Bucket) -> None:
    data = os.urandom(101 << 20)  # gcsfs uploads in parts from 50 MB on, s3fs from 100 MB on
    url = f"{bucket.url}/x"

    with storage.open_write(url, new=True) as file:
        file.write(data)
    with pytest.raises(StorageError, match="a file has this name already"), storage.open_write(url, new=True) as file:
        file.write(bytes(len(data)))
    assert not storage.create_new(url, bytes(len(data)))
    storage.move(url, f"{bucket.url}/y")
    assert storage.read_bytes(f"{bucket.url}/y") == data


def test_markers_of_directories_are_no_files(bucket: Bucket) -> None:
    for name in ("root/", "root/a/", "root/a/x", "root/b/"):
        fs, path = access.filesystem(bucket.url)
        fs.pipe_file(f"{path}/{name}", b"")

    assert names(f"{bucket.url}/root", bucket.url) == ["root/a/x"]
    assert storage.list_folders(f"{bucket.url}/root") == ["a", "b"]


@pytest.mark.slow
def test_a_listing_of_many_pages_is_whole(bucket: Bucket) -> None:
    """1,000 names are a page: below the root are several, in many directories and beside them; in `deep` in few."""
    wanted = [f"date=2025-11-{day:02d}/{number:04d}.ndjson" for day in range(20) for number in range(20)]
    wanted += [f"deep/{folder}/{number:04d}" for folder in ("one", "two/below") for number in range(510)]
    wanted += [f"flat/{number:04d}" for number in range(1001)] + [f"{number:04d}.ndjson" for number in range(50)]
    root = f"{bucket.url}/root"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: storage.write_bytes(f"{root}/{name}", b"1"), [*wanted, "deep/.hidden/x"]))
    storage.write_bytes(f"{bucket.url}/root2/x", b"1")
    bucket.proxy.seen.clear()

    assert names(root, root) == sorted(wanted)
    assert names(f"{root}/deep", root) == [name for name in sorted(wanted) if name.startswith("deep/")]
    assert bucket.proxy.most_at_once <= 2 * 16  # gcsfs asks two questions at once of a name
    assert names(f"{root}/flat/*0", root) == [name for name in sorted(wanted) if name[-1] == "0" and "flat" in name]


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "pack"), [(".gz", igzip.compress), (".zst", zstd.compress), ("", bytes)])
def test_an_unfinished_read_leaves_most_of_a_segment_alone(
    bucket: Bucket, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    data = os.urandom(3 << 20)  # does not get smaller
    url = f"{bucket.url}/segment.ndjson{suffix}"
    storage.write_bytes(url, pack(data))
    (segment,) = find_segments(url)
    bucket.proxy.seen.clear()

    source = open_unpacked(url, size=segment.size, version=segment.version)
    target = bytearray(1000)
    count = source.readinto(memoryview(target))
    source.close()

    assert bytes(target[:count]) == data[:count]
    assert count > 0
    reads = bucket.proxy.reads(f"segment.ndjson{suffix}")
    assert all(read.wanted for read in reads)
    assert 0 < sum(read.n_bytes for read in reads) <= 5 * windows.FIRST_BYTES  # of 12


def test_a_large_file_is_read_by_ranges(bucket: Bucket) -> None:
    data = os.urandom(7 << 20)
    storage.write_bytes(f"{bucket.url}/x", data)
    bucket.proxy.seen.clear()

    with storage.open_read(f"{bucket.url}/x", start=1 << 20) as file:
        found = bytearray()
        while piece := file.read(100_000):
            found += piece

    assert found == data[1 << 20 :]
    reads = bucket.proxy.reads("x")
    assert sum(read.n_bytes for read in reads) == 6 << 20  # each byte once
    assert all(read.wanted for read in reads)
    assert 3 <= len(reads) <= 8


@pytest.mark.slow
def test_a_column_of_parquet_is_read_without_the_others(bucket: Bucket) -> None:
    columns = {name: os.urandom(1 << 20) for name in "abcd"}
    table = pa.table({name: [data] for name, data in columns.items()})
    with storage.open_write(f"{bucket.url}/x.parquet") as file:
        pq.write_table(table, file, compression="none")
    bucket.proxy.seen.clear()

    with storage.open_read(f"{bucket.url}/x.parquet") as raw, pq.ParquetFile(raw) as parquet:
        found = parquet.read(columns=["b"])

    assert found.column("b").to_pylist() == [columns["b"]]
    assert sum(read.n_bytes for read in bucket.proxy.reads("x.parquet")) < 2 << 20


def test_times_and_versions_are_those_of_the_storage(bucket: Bucket) -> None:
    url = f"{bucket.url}/x"
    storage.write_bytes(url, b"1")
    found = storage.file_info(url)

    assert found.modified_ns is not None
    assert abs(found.modified_ns - time.time_ns()) < 60 * 10**9  # no hour off by a time zone
    assert '"' not in found.version
