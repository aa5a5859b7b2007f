"""Runs that archive or delete what they have committed: whatever happens, rows and lines are all there afterwards."""

from __future__ import annotations

import gzip
import logging
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from etl_ray import storage
from etl_ray.errors import ConfigError, LockedError
from etl_ray.job import compact, reprocess
from etl_ray.orchestrators.lock import exclusive
from etl_ray.orchestrators.manifest import Ledger
from etl_ray.orchestrators.run import run_segments
from etl_ray.progress import SilentProgress
from etl_ray.storage import failpoints
from tests.orchestrators.jobs import FEW, config, run
from tests.orchestrators.outputs import OWN, assert_same_rows, strays_of, table_files_of
from tests.orchestrators.test_removal import FIRST, NEWEST, SECOND, THIRD, age
from tests.storage.test_failpoints import outcome

MESSAGES: dict[str, object] = {"derived": {"bars": ["1s"], "trades_with_book": True, "features": "1s"}}


@pytest.fixture(autouse=True)
def _unarmed() -> Iterator[None]:
    yield
    failpoints.disarm()
    storage.delete_tree("memory://archive")


@pytest.fixture
def old(recording: Path) -> Path:
    """Return the recording, all of whose segments are two hours old."""
    age(recording, 2)
    return recording


def content(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def archived(root: str) -> dict[str, bytes]:
    found = storage.list_files(root)
    return {info.url.removeprefix(f"{storage.canonical(root)}/"): storage.read_bytes(info.url) for info in found}


def presence(output: Path) -> dict[str, bool]:
    manifest = Ledger(str(output)).latest()
    assert manifest is not None
    return {item.identity: item.is_present for item in manifest.inputs}


def test_a_run_deletes_what_it_has_committed(old: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    assert run(old, output, after="delete", **FEW).removed == 3
    tables = table_files_of(output)
    assert list(content(old)) == [NEWEST]

    again = run(old, output, after="delete", **FEW)
    assert (again.unchanged, again.removed, again.segments) == (True, 0, 4)
    assert table_files_of(output) == tables
    assert presence(output) == {FIRST: True, SECOND: True, THIRD: True, NEWEST: True}
    (old / "segment_20251127T00_00005.ndjson").write_bytes(b"")
    last = run(old, output, after="delete", **FEW)
    assert (last.unchanged, last.removed, last.segments) == (False, 1, 5)
    assert table_files_of(output) == tables
    assert presence(output) == {
        FIRST: False, SECOND: False, THIRD: False, NEWEST: True, "segment_20251127T00_00005.ndjson": True,
    }  # fmt: skip


@pytest.mark.parametrize("told", [False, True], ids=["noted", "in the manifest"])
def test_another_file_with_the_name_of_a_removed_segment_is_refused(told: bool, old: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    whole = (old / SECOND).read_bytes()
    run(old, output, after="delete", **FEW)
    tables = table_files_of(output)
    if told:
        (old / "segment_20251127T00_00005.ndjson").write_bytes(b"")
        run(old, output, **FEW)
        assert list((output / OWN / "removed").iterdir()) == []
    assert strays_of(output) == []
    (old / SECOND).write_bytes(b"{}\n")
    expected = f"{old / SECOND} has the name of a segment that an earlier run has removed from INPUT, and whose rows "
    with pytest.raises(ConfigError, match=re.escape(expected)):
        run(old, output, **FEW)
    assert table_files_of(output) == tables
    (old / SECOND).write_bytes(whole)
    run(old, output, **FEW)
    assert table_files_of(output) == tables
    assert strays_of(output) == []


def test_segments_that_settle_later_are_removed_by_a_run_that_has_nothing_to_do(old: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    assert run(old, output, after="delete", settle="3h", **FEW).removed == 0
    later = run(old, output, after="delete", settle="1h", **FEW)
    assert (later.unchanged, later.removed) == (True, 3)
    assert list(content(old)) == [NEWEST]


@pytest.mark.parametrize("late", [[SECOND], [FIRST, THIRD]])
@pytest.mark.parametrize("keep_days", [0, 2])
def test_a_late_segment_between_deleted_ones_gives_the_rows_of_one_run(
    late: list[str], keep_days: int, sample_dir: Path, tmp_path: Path
) -> None:
    recording, output = tmp_path / "recording", tmp_path / "output"
    shutil.copytree(sample_dir, recording)
    for name in late:
        (recording / name).unlink()
    age(recording, 2)
    given = MESSAGES | {"staging": {"keep_days": keep_days}}
    assert run(recording, output, after="delete", **given).removed == 3 - len(late)
    for name in late:
        shutil.copy(sample_dir / name, recording)
    assert run(recording, output, after="delete", **given).removed == 0

    run(sample_dir, tmp_path / "expected", **given)
    assert_same_rows(output, tmp_path / "expected")
    assert sorted(content(recording)) == [*late, NEWEST]
    assert not any(present for name, present in presence(output).items() if name not in (*late, NEWEST))


@pytest.mark.parametrize("kind", ["memory", "directory"])
def test_an_archive_has_the_folders_and_bytes_of_input(kind: str, old: Path, tmp_path: Path) -> None:
    archive = {"memory": "memory://archive/here", "directory": str(tmp_path / "archive" / "here")}[kind]
    (old / "a" / "b").mkdir(parents=True)
    (old / FIRST).rename(old / "a" / "b" / FIRST)
    data = {name: (old / name).read_bytes() for name in (SECOND, THIRD)}
    (old / SECOND).unlink()
    (old / THIRD).unlink()
    (old / "a" / f"{SECOND}.gz").write_bytes(gzip.compress(data[SECOND]))
    (old / f"{THIRD}.zst").write_bytes(zstandard.compress(data[THIRD]))
    age(old, 2)
    before = content(old)

    assert run(old, tmp_path / "output", after="archive", archive_to=archive, **FEW).removed == 3
    assert list(content(old)) == [NEWEST]
    del before[NEWEST]
    assert sorted(before) == [f"a/b/{FIRST}", f"a/{SECOND}.gz", f"{THIRD}.zst"]
    assert archived(archive) == before


def test_segments_leave_a_bucket(recording: Path, tmp_path: Path) -> None:
    before = content(recording)
    for name, data in before.items():
        storage.write_bytes(f"memory://archive/input/day/{name}", data)
    given: dict[str, object] = {"after": "archive", "archive_to": "memory://archive/done", **FEW}
    assert run("memory://archive/input", tmp_path / "output", **given).removed == 0
    later = run("memory://archive/input", tmp_path / "output", settle="1ms", **given)
    assert (later.unchanged, later.removed) == (True, 3)
    assert archived("memory://archive/input") == {f"day/{NEWEST}": before.pop(NEWEST)}
    assert archived("memory://archive/done") == {f"day/{name}": data for name, data in before.items()}


def test_segments_of_a_pattern_are_archived_under_their_base_names(old: Path, tmp_path: Path) -> None:
    (old / "a").mkdir()
    (old / FIRST).rename(old / "a" / FIRST)
    archive = tmp_path / "archive"
    summary = run(f"{old}/**/*_0000[1-3].ndjson", tmp_path / "output", after="archive", archive_to=str(archive), **FEW)
    assert summary.removed == 2
    assert sorted(content(archive)) == [FIRST, SECOND]
    assert sorted(content(old)) == [THIRD, NEWEST]


def test_files_are_archived_under_their_base_names_and_the_only_one_stays(old: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    given = config(after="archive", archive_to=str(archive), **FEW)
    assert run(old / FIRST, tmp_path / "one", after="archive", archive_to=str(archive), **FEW).removed == 0

    inputs = [str(old / FIRST), str(old / SECOND)]
    assert run_segments(inputs, str(tmp_path / "two"), given, SilentProgress()).summary.removed == 1
    assert sorted(content(archive)) == [FIRST]
    assert sorted(content(old)) == [SECOND, THIRD, NEWEST]


def test_what_is_in_the_archive_already_is_not_copied_again(old: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    shutil.copy(old / FIRST, archive)
    failpoints.arm(f"log:{tmp_path}/log")
    assert run(old, tmp_path / "output", after="archive", archive_to=str(archive), **FEW).removed == 3
    written = [line for line in (tmp_path / "log").read_text().splitlines() if line.startswith("write.before")]
    assert [name for name in (FIRST, SECOND, THIRD) if f"write.before {archive / name}" in written] == [SECOND, THIRD]


def test_who_is_faster_to_write_to_the_archive_is_not_replaced(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "archive"
    shutil.copytree(old, archive)
    (archive / SECOND).write_bytes(b"other")
    exists, asked = storage.exists, set[str]()

    def late(url: str) -> bool:
        if url.startswith(str(archive)) and url not in asked:
            asked.add(url)
            return False
        return exists(url)

    monkeypatch.setattr(storage, "exists", late)
    assert run(old, tmp_path / "output", after="archive", archive_to=str(archive), **FEW).removed == 2
    assert len(asked) == 3
    assert sorted(content(old)) == [SECOND, NEWEST]
    assert (archive / SECOND).read_bytes() == b"other"


def test_other_content_in_the_archive_stays_and_so_does_the_segment(
    old: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archive, output = tmp_path / "archive", tmp_path / "output"
    archive.mkdir()
    same_size = bytearray((old / FIRST).read_bytes())
    same_size[-2] ^= 1
    (archive / FIRST).write_bytes(same_size)
    before = content(old)
    with caplog.at_level(logging.WARNING):
        assert run(old, output, after="archive", archive_to=str(archive), **FEW).removed == 2
    assert caplog.messages == [
        f"{old / FIRST} stays: {archive / FIRST} is there already and differs from {old / FIRST}; "
        "look at both, and remove one"
    ]
    assert content(old) == {name: before[name] for name in (FIRST, NEWEST)}
    assert (archive / FIRST).read_bytes() == same_size

    (archive / FIRST).unlink()
    assert run(old, output, after="archive", archive_to=str(archive), **FEW).removed == 1
    assert content(archive) == {name: before[name] for name in (FIRST, SECOND, THIRD)}


def test_an_archive_that_is_input_by_another_name_costs_nothing(
    old: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "link").mkdir(parents=True)
    (old / FIRST).rename(elsewhere / "link" / FIRST)
    (old / "link").symlink_to(elsewhere / "link")
    with caplog.at_level(logging.WARNING):
        summary = run(old, tmp_path / "output", after="archive", archive_to=str(elsewhere), **FEW)
    assert summary.removed == 2
    assert (elsewhere / "link" / FIRST).exists()
    assert caplog.messages == [
        f"{old}/link/{FIRST} stays: {elsewhere}/link/{FIRST} is the segment itself; expected an archive elsewhere"
    ]


@pytest.mark.parametrize(
    ("source", "archive", "said"),
    [
        ("rec", "rec/old", "--archive-to {}/rec/old lies inside INPUT {}/rec"),
        ("rec", "rec", "--archive-to {}/rec lies inside INPUT {}/rec"),
        ("rec", ".", "INPUT {}/rec lies inside --archive-to {}"),
        ("rec/*.ndjson", "rec/old", "--archive-to {}/rec/old lies inside INPUT {}/rec"),
        ("r[e]c/*.ndjson", "out/old", "--archive-to {}/out/old lies inside INPUT {}"),
        (f"rec/{FIRST}", "rec", f"INPUT {{}}/rec/{FIRST} lies inside --archive-to {{}}/rec"),
        ("rec", "out/old", "--archive-to {}/out/old lies inside OUTPUT {}/out"),
        ("rec", "out", "--archive-to {}/out lies inside OUTPUT {}/out"),
        ("rec", "place", "OUTPUT {}/place/out lies inside --archive-to {}/place"),
        ("rec", "link/old", "--archive-to {}/link/old lies inside INPUT {}/rec"),
        ("memory://archive/rec", "memory://archive/rec/old", "--archive-to memory://archive/rec/old lies inside INPUT"),
        ("memory://archive/rec", "memory://archive", "INPUT memory://archive/rec lies inside --archive-to memory://"),
        ("memory://archive/rec/*", "memory://archive/rec/old", "--archive-to memory://archive/rec/old lies inside"),
    ],
)
def test_an_archive_is_apart_from_input_and_output(
    source: str, archive: str, said: str, sample_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(sample_dir, "rec")
    Path("link").symlink_to("rec")
    storage.write_bytes(f"memory://archive/rec/{FIRST}", b"")
    with pytest.raises(ConfigError) as raised:
        run(source, "place/out" if archive == "place" else "out", after="archive", archive_to=archive)
    assert said.replace("{}", str(tmp_path)) in str(raised.value)
    assert not Path("out").exists()


DELETIONS = (
    f"delete.before:/recording/{FIRST}",
    f"delete.aside:/recording/{THIRD}",
    f"delete.after:/recording/{SECOND}",
)
COPIES = ("write.before:/archive/", "write.whole:/archive/", f"write.after:/archive/{SECOND}")


@pytest.mark.parametrize(
    ("after", "point"),
    [("delete", point) for point in DELETIONS] + [("archive", point) for point in COPIES + DELETIONS],
)
def test_a_removal_that_is_killed_is_finished_by_the_next_runs(
    after: str, point: str, old: Path, tmp_path: Path
) -> None:
    output, archive = tmp_path / "output", tmp_path / "archive"
    given = {"after": after, **({"archive_to": str(archive)} if after == "archive" else {}), **FEW}
    before = content(old)
    assert outcome(lambda: run(old, output, **given), f"kill:{point}") == -signal.SIGKILL
    tables = table_files_of(output)

    for _ in range(2):  # what stands aside gets its name back, and is then removed
        assert run(old, output, **given).unchanged
    assert content(old) == {NEWEST: before.pop(NEWEST)}
    assert table_files_of(output) == tables
    if after == "archive":
        assert {name: data for name, data in content(archive).items() if not name.startswith(".")} == before


def test_runs_compactions_and_reprocessing_break_a_lock(old: Path, tmp_path: Path) -> None:
    output, dest = tmp_path / "output", tmp_path / "dest"
    bars = {"derived": {"bars": ["1s"]}}
    run(old, output, **FEW)
    works = [
        lambda **given: run(old, output, **FEW, **given),
        lambda **given: compact(str(output), config=config(**given)),
        lambda **given: reprocess(str(output), str(dest), config=config(**bars, **given)),
    ]
    storage.make_root(str(dest / "_etl_ray"))
    with exclusive(str(output / "_etl_ray")), exclusive(str(dest / "_etl_ray")):
        for work in works:
            with pytest.raises(LockedError):
                work()
    for work in works:
        with exclusive(str(output / "_etl_ray")) as held, exclusive(str(dest / "_etl_ray")) as held_dest:
            work(break_lock=True)
            for hold in {held_dest} if work is works[2] else {held}:
                with pytest.raises(LockedError, match="no longer holds"):
                    hold.check()
