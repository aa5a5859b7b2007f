"""The whole job from and into buckets: the rows of the run on disk, whatever happens in between."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from etl_ray import storage
from tests.buckets.conftest import Bucket
from tests.buckets.jobs import Answer, Job, command, download, upload
from tests.faults.recordings import EVERYTHING
from tests.orchestrators.jobs import run
from tests.orchestrators.outputs import OWN, assert_same_rows, rows_of, table_files_of

pytestmark = pytest.mark.slow


@pytest.fixture
def job(bucket: Bucket, tiny_segments: list[Path], tmp_path: Path) -> Job:
    """Return a job over all segments, from and into a bucket."""
    upload(tiny_segments, f"{bucket.url}/input")
    return Job(f"{bucket.url}/input", f"{bucket.url}/output", tmp_path)


def assert_undisturbed(job: Job, undisturbed: Path, tmp_path: Path) -> Path:
    """Compare OUTPUT with that of a run on disk: the same files, but for the names of what is beside."""
    found = download(job.output, tmp_path / "found")
    assert table_files_of(found) == table_files_of(undisturbed)
    verified = command("verify", job.output, "--json")
    assert (verified.code, verified.json["differences"]) == (0, [])
    again = job.run()
    assert (again.code, again.json["unchanged"], again.json["segments_read"]) == (0, True, 0)
    return found


def test_a_bucket_gets_the_files_that_a_disk_gets(job: Job, bucket: Bucket, undisturbed: Path, tmp_path: Path) -> None:
    first = job.run()

    assert (first.code, first.err) == (0, "")
    before = storage.list_files(job.output)
    assert_undisturbed(job, undisturbed, tmp_path)
    bucket.proxy.seen.clear()
    assert job.run().json["unchanged"] is True
    assert [
        seen for seen in bucket.proxy.seen if ".ndjson" in seen.target and seen.method == "GET" and seen.wanted
    ] == []
    assert [info for info in storage.list_files(job.output) if "/lease/" not in info.url] == [
        info for info in before if "/lease/" not in info.url
    ]
    status = command("status", job.output, "--json")
    assert (status.code, status.json["n_runs"], status.json["leftovers"]) == (0, 1, [])
    at = ("BTC-USD", "2025-11-27T00:00:00Z", "--depth", "3", "--json")
    assert command("book-at", job.output, *at).out == command("book-at", str(undisturbed), *at).out


def test_runs_over_more_segments_are_one_run_over_all(
    bucket: Bucket, tiny_segments: list[Path], undisturbed: Path, tmp_path: Path
) -> None:
    job = Job(f"{bucket.url}/input", f"{bucket.url}/output", tmp_path)
    upload(tiny_segments[:2], job.source)
    assert job.run().code == 0
    upload(tiny_segments[2:], job.source)
    bucket.proxy.seen.clear()

    second = job.run()

    assert (second.code, second.json["segments_read"]) == (0, len(tiny_segments) - 2)
    assert bucket.proxy.reads(tiny_segments[0].name) == []
    assert_same_rows(download(job.output, tmp_path / "grown"), undisturbed)
    merged = command("compact", job.output, "--engine", "local", "--quiet", "--json")
    assert (merged.code, merged.json["unchanged"]) == (0, False)
    assert_same_rows(download(job.output, tmp_path / "merged"), undisturbed)
    assert command("verify", job.output).code == 0
    own = ("--bars", "2s", "--engine", "local", "--quiet", "--json")
    assert command("reprocess", job.output, f"{bucket.url}/again", *own).code == 0
    assert command("reprocess", str(undisturbed), str(tmp_path / "again"), *own).code == 0
    wanted = rows_of(tmp_path / "again", "bars")
    assert rows_of(download(f"{bucket.url}/again", tmp_path / "remade"), "bars") == wanted != []


@pytest.mark.parametrize(
    "failpoint",
    [
        "kill:write.whole:/staged/",
        "kill:write.after:/runs/",
        "kill:create.after:/manifests/",
        "kill:move.copied:/tables-",
        "kill:delete.before:/runs/",
    ],
)
def test_a_killed_run_is_taken_up(job: Job, undisturbed: Path, tmp_path: Path, failpoint: str) -> None:
    assert job.run(failpoint=failpoint).code == -9

    assert job.run("--break-lock").code == 0
    found = assert_undisturbed(job, undisturbed, tmp_path)
    assert not (found / OWN / "runs").exists()


@pytest.mark.parametrize("after", ["delete", "archive"])
def test_segments_leave_a_bucket(
    job: Job, bucket: Bucket, undisturbed: Path, tmp_path: Path, tiny_segments: list[Path], after: str
) -> None:
    archive = f"{bucket.url}/archive"
    where = ("--archive-to", archive) if after == "archive" else ()
    assert job.run("--after", after, *where, "--settle", "1s").code == 0

    left = [info.url.rpartition("/")[2] for info in storage.list_files(job.source)]
    assert left == [tiny_segments[-1].name]
    if after == "archive":
        gone = tiny_segments[:-1]
        assert [storage.read_bytes(f"{archive}/{path.name}") for path in gone] == [path.read_bytes() for path in gone]
    assert_undisturbed(job, undisturbed, tmp_path)


def test_a_lease_refuses_a_second_run(job: Job, undisturbed: Path, tmp_path: Path) -> None:
    assert job.run().code == 0
    lease = max(info.url for info in storage.list_files(f"{job.output}/{OWN}/lease"))
    held = json.loads(storage.read_bytes(lease)) | {"released": False}
    storage.write_bytes(lease, json.dumps(held).encode())

    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(1):
            held["counter"] += 1
            storage.write_bytes(lease, json.dumps(held).encode())

    holder = threading.Thread(target=renew)
    holder.start()
    try:
        refused = job.run("--overwrite")
    finally:
        stop.set()
        holder.join()

    assert (refused.code, refused.out) == (4, "")
    assert refused.err.startswith("etl-ray: error: ")
    assert "--break-lock" in refused.err
    assert job.run("--break-lock").code == 0
    assert_undisturbed(job, undisturbed, tmp_path)


@pytest.mark.parametrize("place", ["input", "output", "staging"])
def test_each_place_may_be_in_a_bucket_and_the_others_on_disk(
    bucket: Bucket, tiny_segments: list[Path], undisturbed: Path, tmp_path: Path, place: str
) -> None:
    source, output = tiny_segments[0].parent, tmp_path / "output"
    if place == "input":
        upload(tiny_segments, f"{bucket.url}/input")
        run(f"{bucket.url}/input", output, **EVERYTHING)
    elif place == "output":
        run(source, f"{bucket.url}/output", **EVERYTHING)
        output = download(f"{bucket.url}/output", tmp_path / "found")
    else:
        staging = {"url": f"{bucket.url}/staging"}
        given = EVERYTHING["staging"]
        assert isinstance(given, dict)
        run(source, output, **(EVERYTHING | {"staging": given | staging}))
        assert storage.list_files(f"{bucket.url}/staging") != []
        assert not (output / OWN / "staged").exists()

    assert table_files_of(output) == table_files_of(undisturbed)


def test_workers_of_ray_use_the_bucket(job: Job, undisturbed: Path, tmp_path: Path) -> None:
    done: Answer = job.run(engine="ray")

    assert (done.code, json.loads(done.out.splitlines()[-1])["unchanged"]) == (0, False)
    assert_undisturbed(job, undisturbed, tmp_path)


def test_a_server_that_refuses_now_and_then_changes_nothing(
    job: Job, bucket: Bucket, undisturbed: Path, tmp_path: Path
) -> None:
    bucket.proxy.refuse = lambda number, _method, _target: {0: 503, 50: 429}.get(number % 100)

    assert job.run().code == 0

    statuses = {seen.status for seen in bucket.proxy.seen}
    assert {429, 503} <= statuses
    bucket.proxy.refuse = lambda _number, _method, _target: None
    assert_undisturbed(job, undisturbed, tmp_path)
