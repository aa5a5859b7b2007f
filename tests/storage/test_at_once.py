"""Many small files at the same time: nothing left out, checked in between, failures told."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from etl_ray import storage
from etl_ray.errors import LockedError, NotFoundError, StorageError
from etl_ray.storage.at_once import REQUESTS_AT_ONCE


@pytest.fixture(params=["disk", "bucket"])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """Give a hundred files, each with its number in it."""
    root = str(tmp_path) if request.param == "disk" else f"memory://{tmp_path.name}"
    found = [storage.join(root, f"{number:03d}") for number in range(100)]
    for number, url in enumerate(found):
        storage.write_bytes(url, b"%d" % number)
    return found


def nothing() -> None:
    pass


def test_each_is_done_once(urls: list[str]) -> None:
    done: list[str] = []
    storage.each(urls, done.append, nothing)
    assert sorted(done) == urls
    storage.each([], done.append, pytest.fail)
    assert len(done) == 100


def test_disks_are_done_in_order_one_by_one_and_checked_each_time(tmp_path: Path) -> None:
    told: list[str] = []
    storage.each([str(tmp_path / name) for name in "ab"], told.append, lambda: told.append("check"))
    assert told == ["check", str(tmp_path / "a"), "check", str(tmp_path / "b")]


def test_buckets_are_asked_several_things_at_once() -> None:
    meeting = threading.Barrier(REQUESTS_AT_ONCE, timeout=20)
    storage.each(
        [f"memory://at-once/{number}" for number in range(REQUESTS_AT_ONCE)], lambda _: meeting.wait(), nothing
    )


def test_a_lost_lock_ends_it(urls: list[str]) -> None:
    done: list[str] = []

    def check() -> None:
        if done:
            raise LockedError("lost")

    with pytest.raises(LockedError):
        storage.each(urls, done.append, check)
    assert 1 <= len(done) < 100


def test_a_failure_is_told(urls: list[str]) -> None:
    def act(url: str) -> None:
        if url == urls[7]:
            raise StorageError("no")

    with pytest.raises(StorageError, match="no"):
        storage.each(urls, act, nothing)


def test_results_come_in_order(urls: list[str]) -> None:
    assert list(storage.map_ahead(urls[0], storage.read_bytes, urls)) == [b"%d" % number for number in range(100)]


def test_a_failure_is_told_when_it_is_its_turn(urls: list[str]) -> None:
    storage.delete(urls[3])
    found = storage.map_ahead(urls[0], storage.read_bytes, urls)
    assert [next(found) for _ in range(3)] == [b"0", b"1", b"2"]
    with pytest.raises(NotFoundError, match="003"):
        next(found)


def test_no_more_is_begun_than_is_needed_soon() -> None:
    begun: list[int] = []
    found = storage.map_ahead("memory://far", begun.append, range(1_000), at_once=5)
    next(found)
    found.close()  # type: ignore[attr-defined]
    assert 1 <= len(begun) <= 5


def test_on_disks_nothing_is_done_ahead() -> None:
    begun: list[int] = []
    next(storage.map_ahead("/disk", begun.append, range(1_000)))
    assert begun == [0]
