"""The ledger: of two runs one commits, the newest manifest counts, and what is not one says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import fsspec
import pytest

from etl_ray import storage
from etl_ray.errors import ConfigError, LockedError, StorageError
from etl_ray.orchestrators.manifest import Input, Ledger, Manifest
from etl_ray.orchestrators.receipts import BuiltFile, Counts
from tests.orchestrators.jobs import FEW, run
from tests.orchestrators.outputs import OWN, assert_same_rows, strays_of

MANIFEST = Manifest(
    number=1,
    run_id="0123456789abcdef",
    program="0.0",
    semantic="{}",
    start_ns=None,
    end_ns=1_764_201_600_000_000_000,
    sources=("s3://bucket/recording",),
    inputs=(Input("a.ndjson", "s3://bucket/recording/a.ndjson.gz", 99, "etag", 5, None, ("a-1", "a-2"), False),),
    files=(
        BuiltFile(
            table="level2",
            path="level2/product_id=%C3%A9/date=2025-11-26/part-00000-0123456789ab.parquet",
            rows=3,
            bytes=1234,
            sha256="0123456789abcdef",
            ts_min=-1,
            ts_max=None,
        ),
    ),
    counts=Counts(lines=5, accepted=3, rejects=2),
    messages={"l2_data": 3},
    damaged=("a.gz: damaged after 0 unpacked bytes: it is cut",),
    findings=("2 lines were rejected",),
    moved={"level2/part-00001-0123456789ab.parquet": "level2/part-00000-0123456789ab.parquet"},
    receipts=("receipts/000001.parquet",),
    results="results/000001.parquet",
    staged="000001",
)


@pytest.fixture(params=["local", "memory"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return an OUTPUT on disk, and one in a bucket."""
    return str(tmp_path / "out") if request.param == "local" else f"memory://{tmp_path.name}/out"


def test_nothing_is_committed_at_first(output: str) -> None:
    assert Ledger(output).latest() is None


def test_the_newest_manifest_is_read_back_whole(output: str) -> None:
    ledger = Ledger(output)
    for number in (1, 2, 10, 9):
        ledger.commit(replace(MANIFEST, number=number))
    assert Ledger(output).latest() == replace(MANIFEST, number=10)


def test_of_two_runs_one_commits(output: str) -> None:
    Ledger(output).commit(MANIFEST)
    with pytest.raises(
        LockedError, match=r"another run has committed .*/000001\.json meanwhile; start again"
    ) as raised:
        Ledger(output).commit(replace(MANIFEST, run_id="fedcba9876543210"))
    assert raised.value.exit_code == 4
    assert Ledger(output).latest() == MANIFEST


def test_a_commit_whose_answer_was_lost_may_be_repeated(output: str) -> None:
    Ledger(output).commit(MANIFEST)
    Ledger(output).commit(MANIFEST)
    assert Ledger(output).latest() == MANIFEST


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Invalid JSON"),
        ('{"number":1,"ledger_version":2}', "Field required at run_id"),
        ("[1]", "expected a Manifest as JSON"),
    ],
)
def test_a_damaged_manifest_is_named(text: str, said: str, output: str) -> None:
    storage.write_bytes(storage.join(output, OWN, "manifests", "000007.json"), text.encode())
    with pytest.raises(StorageError) as raised:
        Ledger(output).latest()
    assert "/000007.json: expected a Manifest as JSON, found: " in str(raised.value)
    assert said in str(raised.value)


@pytest.mark.parametrize("text", ['{"number": 1}', '{"number":1,"ledger_version":1}', '{"ledger_version":20}'])
def test_a_manifest_of_another_version_is_refused(text: str, output: str) -> None:
    storage.write_bytes(storage.join(output, OWN, "manifests", "000007.json"), text.encode())
    with pytest.raises(
        ConfigError, match=r"/000007\.json is of another version of etl-ray: expected .* version 2; run"
    ):
        Ledger(output).latest()


def test_the_whole_job_in_a_bucket(recording: Path, tmp_path: Path) -> None:
    url = f"memory://{tmp_path.name}/tables"
    first = run(recording, url, **FEW)
    assert run(recording, url, **FEW).unchanged
    (recording / "segment_20251127T00_00004.ndjson").write_bytes(b"")
    second = run(recording, url, **FEW)
    assert second.lines < first.lines
    run(recording, tmp_path / "local", **FEW)
    bucket = fsspec.filesystem("memory")
    root = f"/{tmp_path.name}/tables/"
    bucket.get(root, str(tmp_path / "bucket"), recursive=True)
    assert_same_rows(tmp_path / "bucket", tmp_path / "local")
    strays = strays_of(tmp_path / "bucket")
    assert [name for name in strays if not name.startswith(f"{OWN}/lease/")] == []
