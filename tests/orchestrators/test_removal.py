"""Segments are removed only when nothing can be lost by it: each condition on its own."""

from __future__ import annotations

import gzip
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from etl_ray import storage
from etl_ray.errors import LockedError, StorageError
from etl_ray.orchestrators import removal
from etl_ray.orchestrators.manifest import Input, Ledger, Manifest
from etl_ray.orchestrators.removal import remove_segments
from etl_ray.readers.segments import find_segments
from etl_ray.storage import FileInfo
from tests.orchestrators.jobs import FEW, config, run
from tests.orchestrators.outputs import part_of

HOUR_NS = 3_600_000_000_000
FIRST, SECOND, THIRD, NEWEST = (
    "segment_20251126T23_00001.ndjson",
    "segment_20251126T23_00002.ndjson",
    "segment_20251127T00_00003.ndjson",
    "segment_20251127T00_00004.ndjson",
)


def age(recording: Path, hours: float) -> None:
    """Let all segments be written some hours ago, the newest by its name before all others."""
    now_ns = time.time_ns()
    for number, path in enumerate(sorted(path for path in recording.rglob("*.ndjson*") if path.is_file())):
        os.utime(path, ns=(0, now_ns - int(hours * HOUR_NS) - number * 1_000_000_000))


@dataclass(frozen=True)
class Place:
    """A recording whose segments are two hours old, and an output that they are committed to."""

    recording: Path
    output: Path

    @property
    def ledger(self) -> Ledger:
        return Ledger(str(self.output))

    @property
    def manifest(self) -> Manifest:
        manifest = self.ledger.latest()
        assert manifest is not None
        return manifest

    def names(self) -> list[str]:
        return sorted(path.name for path in self.recording.rglob("*") if path.is_file())

    def commit(self, change: Callable[[Manifest], Manifest]) -> None:
        """Commit a state that differs from the newest one."""
        self.ledger.commit(replace(change(self.manifest), number=self.manifest.number + 1))

    def commit_input(self, name: str, **changes: object) -> None:
        """Commit a state that says something else of a segment."""

        def change(item: Input) -> Input:
            return replace(item, **changes) if item.identity == name else item  # type: ignore[arg-type]

        self.commit(lambda manifest: replace(manifest, inputs=tuple(map(change, manifest.inputs))))

    def remove(self, check: Callable[[], None] = lambda: None, **overrides: object) -> int:
        """Remove what may be removed."""
        given = config(**{"after": "delete", **overrides})
        segments = find_segments(str(self.recording))
        return remove_segments(segments, [str(self.recording)], self.ledger, given, check)


@pytest.fixture(scope="module")
def origin(sample_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Return a place that no test may change."""
    root = tmp_path_factory.mktemp("origin")
    place = Place(root / "recording", root / "output")
    shutil.copytree(sample_dir, place.recording)
    age(place.recording, 2)
    run(place.recording, place.output, **FEW)
    return place


@pytest.fixture
def place(origin: Place, tmp_path: Path) -> Place:
    """Return a copy of it for a test to change."""
    return Place(
        Path(shutil.copytree(origin.recording, tmp_path / "recording")),
        Path(shutil.copytree(origin.output, tmp_path / "output")),
    )


@pytest.fixture(autouse=True)
def told(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """Return what returns the warnings."""
    with caplog.at_level(logging.WARNING, "etl_ray"):
        yield lambda: [record.getMessage() for record in caplog.records if record.name == removal.__name__]


Told = Callable[[], list[str]]


def test_all_but_the_newest_are_deleted(place: Place, told: Told) -> None:
    assert place.remove() == 3
    assert place.names() == [NEWEST]
    assert place.remove() == 0
    assert told() == []


@pytest.mark.parametrize(("url", "calls"), [(None, 1), ("staging", 1), ("memory://staging", 0)])
def test_pieces_are_on_the_disk_before_a_segment_is_gone(
    url: str | None, calls: int, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(os, "sync", lambda: seen.append(place.names()))
    assert place.remove(staging={"url": url}) == 3
    assert seen == [[FIRST, SECOND, THIRD, NEWEST]] * calls
    assert place.remove(staging={"url": url}) == 0
    assert len(seen) == calls


def test_segments_are_kept_unless_it_is_asked_for(place: Place) -> None:
    assert place.remove(after="keep") == 0
    assert place.names() == [FIRST, SECOND, THIRD, NEWEST]


def test_what_was_written_lately_stays(place: Place, told: Told) -> None:
    assert place.remove(settle="3h") == 0
    assert place.names() == [FIRST, SECOND, THIRD, NEWEST]
    assert place.remove(settle="119m") == 3
    assert told() == []


def test_what_was_written_in_the_future_stays(place: Place, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    past_ns = time.time_ns() - 10 * HOUR_NS
    monkeypatch.setattr(time, "time_ns", lambda: past_ns)
    assert place.remove(settle="1ms") == 0
    assert place.names() == [FIRST, SECOND, THIRD, NEWEST]
    assert told() == []


def test_what_was_written_nobody_knows_when_stays(place: Place, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    look = storage.file_info
    monkeypatch.setattr(storage, "file_info", lambda url: replace(look(url), modified_ns=None))
    assert place.remove(settle="1ms") == 0
    assert place.names() == [FIRST, SECOND, THIRD, NEWEST]
    assert told() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 1},
        {"version": "1"},
        {"version": ""},
        {"units": ()},
        {"units": ("unknown",)},
        {"end_ns": 1_764_201_597_000_000_000},
        {"start_ns": 1_764_201_610_000_000_000},
    ],
    ids=["size", "version", "no version", "no units", "no receipt", "before its messages", "behind its messages"],
)
def test_what_is_not_committed_as_it_is_stays(changes: dict[str, object], place: Place, told: Told) -> None:
    place.commit_input(SECOND, **changes)
    assert place.remove() == 2
    assert place.names() == [SECOND, NEWEST]
    assert told() == []


def test_what_no_storage_tells_the_version_of_stays(place: Place, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    place.commit_input(SECOND, version="")
    segments = [
        replace(segment, version="") if segment.identity == SECOND else segment
        for segment in find_segments(str(place.recording))
    ]
    look = storage.file_info
    monkeypatch.setattr(
        storage, "file_info", lambda url: replace(look(url), version="") if SECOND in url else look(url)
    )
    assert remove_segments(segments, [], place.ledger, config(after="delete"), lambda: None) == 2
    assert place.names() == [SECOND, NEWEST]
    assert told() == []


def test_only_the_newest_manifest_counts(place: Place) -> None:
    place.commit(lambda manifest: replace(manifest, inputs=tuple(i for i in manifest.inputs if i.identity != SECOND)))
    assert place.remove() == 2
    assert place.names() == [SECOND, NEWEST]


def test_what_a_run_in_a_range_has_read_in_full_is_removed(place: Place) -> None:
    for name in (FIRST, SECOND, THIRD):
        place.commit_input(name, start_ns=1_764_115_200_000_000_000, end_ns=1_764_288_000_000_000_000)
    assert place.remove() == 3


def test_what_has_to_be_read_again_for_late_segments_stays(place: Place, told: Told) -> None:
    place.commit_input(SECOND, is_pruned=True)
    assert place.remove() == 2
    assert place.names() == [SECOND, NEWEST]
    assert told() == [
        "segments left in INPUT: 1, of which runs without --after have kept too little to do without them when a late "
        "segment comes; run once with --overwrite to have them removed"
    ]


def test_a_damaged_segment_stays(place: Place, tmp_path: Path) -> None:
    lines = (place.recording / SECOND).read_bytes()
    (place.recording / SECOND).unlink()
    (place.recording / f"{SECOND}.gz").write_bytes(gzip.compress(lines)[:-40])
    age(place.recording, 2)
    summary = run(place.recording, tmp_path / "fresh", after="delete", **FEW)
    assert (len(summary.damaged), summary.removed) == (1, 2)
    assert place.names() == [f"{SECOND}.gz", NEWEST]


def test_nothing_is_removed_while_output_lacks_files(place: Place, told: Told) -> None:
    part_of(place.output / "level2/product_id=ETH-USD/date=2025-11-26").unlink()
    assert place.remove() == 0
    assert place.names() == [FIRST, SECOND, THIRD, NEWEST]
    assert told() == ["no segment is removed: OUTPUT lacks files of its last run"]


def test_nothing_is_removed_while_receipts_cannot_be_read(place: Place, told: Told) -> None:
    (receipts,) = place.manifest.receipts
    (place.output / "_etl_ray" / receipts).write_bytes(b"PAR1PAR1")
    assert place.remove() == 0
    assert place.names() == [FIRST, SECOND, THIRD, NEWEST]
    assert [text.partition("000001-")[0] for text in told()] == [
        f"no segment is removed: {place.output}/_etl_ray/receipts/"
    ]


def test_what_changed_since_it_was_read_stays(place: Place, told: Told) -> None:
    given, segments = config(after="delete"), find_segments(str(place.recording))
    path = place.recording / SECOND
    path.write_bytes(path.read_bytes() + b"\n")
    age(place.recording, 2)
    (place.recording / THIRD).unlink()
    os.utime(place.recording / FIRST, ns=(0, int(segments[0].version)))
    assert remove_segments(segments, [], place.ledger, given, lambda: None) == 1
    assert place.names() == [SECOND, NEWEST]
    assert told() == [f"{path} stays: it has changed since it was read"]


def test_what_changes_at_the_last_moment_stays(place: Place, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    delete = storage.delete_unchanged

    def touch(found: FileInfo) -> bool:
        if SECOND in found.url:
            os.utime(found.url, ns=(0, 0))
        return delete(found)

    monkeypatch.setattr(storage, "delete_unchanged", touch)
    assert place.remove() == 2
    assert place.names() == [SECOND, NEWEST]
    assert told() == [f"{place.recording / SECOND} stays: it has changed since it was read"]


def test_a_failure_costs_one_segment_and_is_tried_again(
    place: Place, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete = storage.delete_unchanged

    def fail(found: FileInfo) -> bool:
        if SECOND in found.url:
            raise StorageError("cannot delete it: it is Sunday")
        return delete(found)

    monkeypatch.setattr(storage, "delete_unchanged", fail)
    assert place.remove() == 2
    assert told() == [f"{place.recording / SECOND} stays: cannot delete it: it is Sunday"]
    monkeypatch.undo()
    assert place.remove() == 1
    assert place.names() == [NEWEST]


def losing(calls: int) -> Callable[[], None]:
    """Return a check of a lock that is lost after some calls."""
    left = [calls]

    def check() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise LockedError("this run no longer holds it")

    return check


@pytest.mark.parametrize(("calls", "removed"), [(0, 0), (1, 0), (2, 1), (3, 2)])
def test_nothing_is_removed_once_the_lock_is_lost(calls: int, removed: int, place: Place) -> None:
    with pytest.raises(LockedError, match="no longer holds"):
        place.remove(losing(calls))
    assert len(place.names()) == 4 - removed


def test_a_copy_is_no_reason_to_delete_what_is_not_ours_any_more(place: Place, tmp_path: Path) -> None:
    for name in (SECOND, THIRD):
        (place.recording / name).unlink()
    with pytest.raises(LockedError):
        place.remove(losing(2), after="archive", archive_to=str(tmp_path / "archive"))
    assert place.names() == [FIRST, NEWEST]
    assert (tmp_path / "archive" / FIRST).read_bytes() == (place.recording / FIRST).read_bytes()
