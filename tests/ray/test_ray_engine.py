"""The Ray engine in a cluster of this machine: results, errors, and a Ray that belongs to somebody else."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray.data import DataContext

from etl_ray import reprocess
from etl_ray.config import CHANNELS
from etl_ray.errors import SegmentError, StorageError
from etl_ray.sample import SampleOptions, write_sample
from tests.orchestrators.jobs import config, run
from tests.orchestrators.outputs import files_of, rows_of, strays_of, table_files_of

pytestmark = pytest.mark.slow

SAMPLE = SampleOptions(minutes=0.1, products=("BTC-USD", "ETH-USD"), rate=8, levels=40, segment_mb=0.05)
ON_RAY: dict[str, object] = {"engine": "ray", "resources": {"memory_mb_per_task": 200}}
SMALL_UNITS: dict[str, object] = {"staging": {"unit_mb": 0.01, "block_mb": 0.005, "rows_per_file": 100}}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("recording")
    write_sample(str(directory), SAMPLE)
    return directory


@pytest.fixture(scope="module", autouse=True)
def _mode() -> Iterator[None]:
    """Keep Ray from asking for a token, which would be of the machine's user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        yield


@pytest.fixture(scope="class")
def _cluster(_mode: None) -> Iterator[None]:
    """Start a Ray that is the test's own, as a user's would be."""
    ray.init(address="local", num_cpus=2, log_to_driver=False, include_dashboard=False)
    yield
    ray.shutdown()


def with_processor(name: str) -> dict[str, object]:
    """Return the part of a config that runs a processor of these tests over level2, and nothing else."""
    channels: dict[str, dict[str, object]] = {channel: {"enabled": channel == "level2"} for channel in CHANNELS}
    channels["level2"]["processors"] = [f"tests.ray.processors:{name}"]
    return {"channels": channels}


@pytest.mark.usefixtures("_cluster")
class TestInAClusterOfSomebodyElse:
    def test_derived_tables_and_books_computed_again(self, recording: Path, tmp_path: Path) -> None:
        derived = {"derived": {"bars": ["1s", "tick:3"], "trades_with_book": True, "features": "1s"}}
        for engine, place in ((ON_RAY, "ray"), ({}, "local")):
            run(recording, tmp_path / place, **engine, **SMALL_UNITS, **derived)
            again = config(**engine, **derived).merge({"channels": {"level2": {"processor_options": {"depth": 2}}}})
            reprocess(str(tmp_path / place), str(tmp_path / f"{place}-again"), config=again, books=True)
        assert {name.split("/")[0] for name in table_files_of(tmp_path / "ray")} >= {"bars", "features"}
        for place in ("", "-again"):
            assert table_files_of(tmp_path / f"ray{place}") == table_files_of(tmp_path / f"local{place}")

    def test_the_bytes_are_those_of_a_run_in_this_process(self, recording: Path, tmp_path: Path) -> None:
        on_ray = run(recording, tmp_path / "ray", **ON_RAY, **SMALL_UNITS)
        local = run(recording, tmp_path / "local", **SMALL_UNITS)
        assert files_of(tmp_path / "ray").keys() == files_of(tmp_path / "local").keys()
        assert files_of(tmp_path / "ray") == files_of(tmp_path / "local")
        same = {"seconds": 0, "output": ""}
        assert {**on_ray.as_dict(), **same} == {**local.as_dict(), **same}
        assert strays_of(tmp_path / "ray") == []
        # The engine is no part of what a run is: the other one finds it done.
        assert run(recording, tmp_path / "ray", **SMALL_UNITS).unchanged

    def test_the_work_is_done_by_workers(self, recording: Path, output_dir: Path) -> None:
        run(recording, output_dir, **ON_RAY, **with_processor("Where"))
        pids = {row["pid"] for row in rows_of(output_dir, "level2")}
        assert pids
        assert os.getpid() not in pids

    def test_workers_compute_with_as_many_threads_as_their_task_has_cpus(
        self, recording: Path, output_dir: Path
    ) -> None:
        run(recording, output_dir, **ON_RAY, **with_processor("Threads"))
        assert {tuple(row["threads"]) for row in rows_of(output_dir, "level2")} == {(1, 1, 1)}

    def test_it_is_left_running_with_its_settings(self, recording: Path, output_dir: Path) -> None:
        context = DataContext.get_current()
        context.enable_progress_bars = True
        context.print_on_execution_start = True
        context.execution_options.preserve_order = True
        loggers = [logging.getLogger("ray"), logging.getLogger("ray.data"), *logging.getLogger("ray.data").handlers]
        levels = [logger.level for logger in loggers]
        before = context.copy()
        run(recording, output_dir, **ON_RAY)
        assert ray.is_initialized()
        assert DataContext.get_current() is context
        assert context == before
        assert [logger.level for logger in loggers] == levels

    def test_known_errors_of_workers_come_back_as_themselves(self, recording: Path, output_dir: Path) -> None:
        with pytest.raises(StorageError) as raised:
            run(recording, output_dir, **ON_RAY, **with_processor("Refuse"))
        assert type(raised.value) is StorageError
        assert raised.value.args == ("cannot write memory://bucket: no room in the bucket",)
        # Nothing of the failed run is in the way of the next.
        assert run(recording, output_dir, **ON_RAY).rows["level2"] > 0

    def test_a_defect_says_which_unit_it_is_in(self, recording: Path, output_dir: Path) -> None:
        with pytest.raises(ZeroDivisionError) as raised:
            run(recording, output_dir, **ON_RAY, **with_processor("Divide"))
        assert "while working on level2/product_id=" in str(raised.value)
        assert "batch.slice(0, len(batch) // 0)" in str(raised.value)
        assert not list(output_dir.glob("_etl_ray/manifests/*"))

    def test_a_damaged_segment_is_no_failure(self, recording: Path, tmp_path: Path) -> None:
        (tmp_path / "input").mkdir()
        for path in recording.iterdir():
            (tmp_path / "input" / path.name).write_bytes(path.read_bytes())
        cut = tmp_path / "input" / "segment_20251130T00_00009.ndjson.gz"
        cut.write_bytes(b"\x1f\x8b\x08\x00")
        on_ray = run(tmp_path / "input", tmp_path / "ray", **ON_RAY)
        local = run(tmp_path / "input", tmp_path / "local")
        assert on_ray.damaged == local.damaged
        assert on_ray.exit_code(strict=False) == 3
        assert str(SegmentError(str(cut), 0, "x"))[:-1] in on_ray.damaged[0]
        assert table_files_of(tmp_path / "ray") == table_files_of(tmp_path / "local")

    def test_a_task_at_a_time(self, recording: Path, tmp_path: Path) -> None:
        one = {**ON_RAY, "resources": {"memory_mb_per_task": 200, "max_tasks": 1, "cpus_per_task": 2}}
        run(recording, tmp_path / "ray", **one, **SMALL_UNITS)
        run(recording, tmp_path / "local", **SMALL_UNITS)
        assert table_files_of(tmp_path / "ray") == table_files_of(tmp_path / "local")


def test_a_cluster_of_its_own_is_stopped_and_a_second_run_starts_another(recording: Path, tmp_path: Path) -> None:
    assert not ray.is_initialized()
    run(recording, tmp_path / "local", **SMALL_UNITS)
    for name in ("one", "two"):
        run(recording, tmp_path / name, **ON_RAY, **SMALL_UNITS)
        assert not ray.is_initialized()
        assert table_files_of(tmp_path / name) == table_files_of(tmp_path / "local")
