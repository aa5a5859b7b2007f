"""Every process of a run obeys ETL_RAY_FAILPOINT."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from etl_ray import storage
from etl_ray.orchestrators import ray_engine
from etl_ray.storage import failpoints


@pytest.fixture(autouse=True)
def _unarmed() -> Iterator[None]:
    yield
    failpoints.disarm()


def sample_with(setting: str, directory: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from etl_ray.cli import main; main()", "sample", str(directory), "--minutes=0.01"]
    environment = {**os.environ, "ETL_RAY_FAILPOINT": setting}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_command_line_obeys(tmp_path: Path) -> None:
    refused = sample_with("die", tmp_path / "refused")
    assert (refused.returncode, refused.stderr.startswith("etl-ray: error: failpoint 'die': expected log:")) == (
        2,
        True,
    )
    assert not (tmp_path / "refused").exists()


def test_a_worker_of_ray_obeys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(_stage: str, _options: bytes, item: bytes) -> bytes:
        storage.write_bytes(str(tmp_path / item.decode()), b"")
        return b""

    monkeypatch.setattr(ray_engine, "work", work)
    monkeypatch.setenv("ETL_RAY_FAILPOINT", f"log:{tmp_path}/log")
    batch = pa.table({"index": [0], "items": [[b"a", b"b"]]})

    assert sum(done.num_rows for done in ray_engine.do_bundle(batch, stage="build", options=b"")) == 2
    assert (tmp_path / "log").read_text().splitlines() == [
        f"write.{step} {tmp_path}/{name}" for name in "ab" for step in ("before", "whole", "after")
    ]
