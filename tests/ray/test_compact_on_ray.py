"""Files merged by workers of Ray have the bytes of those that this process merges."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

import etl_ray
from etl_ray.errors import StorageError
from etl_ray.sample import SampleOptions, write_sample
from tests.orchestrators.jobs import config, run
from tests.orchestrators.outputs import table_files_of

pytestmark = pytest.mark.slow

SAMPLE = SampleOptions(
    minutes=0.1, products=("BTC-USD", "ETH-USD"), rate=8, levels=30, segment_mb=0.02, start="2025-11-26T23:59:56.500Z"
)
ON_RAY = config(engine="ray", resources={"memory_mb_per_task": 200})


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        ray.init(address="local", num_cpus=2, log_to_driver=False, include_dashboard=False)
        yield
        ray.shutdown()


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Return an output of many small files."""
    write_sample(str(tmp_path / "all"), SAMPLE)
    recording = tmp_path / "recording"
    recording.mkdir()
    for path in sorted((tmp_path / "all").iterdir()):
        shutil.copy2(path, recording)
        if path.name.startswith("segment_20251126") or path.name.endswith("1.ndjson"):
            run(recording, tmp_path / "output")
    run(recording, tmp_path / "output")
    return tmp_path / "output"


def test_the_bytes_are_those_of_this_process(output: Path, tmp_path: Path) -> None:
    here = Path(shutil.copytree(output, tmp_path / "here"))

    done = etl_ray.compact(str(output), config=ON_RAY)

    assert etl_ray.compact(str(here), config=config()).written == done.written > 10
    assert table_files_of(output) == table_files_of(here)
    assert etl_ray.verify(str(output)).is_whole


def test_a_file_that_is_not_what_was_committed_is_told_as_such(output: Path) -> None:
    path = next(output.glob("level2/*/date=2025-11-26/part-00001-*"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(StorageError, match=rf"{path.name}: expected the bytes that were committed"):
        etl_ray.compact(str(output), config=ON_RAY)
