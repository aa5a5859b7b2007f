"""Books that are replayed in an actor pool: the bytes of a run in this process, also if an actor is killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from etl_ray.sample import SampleOptions, write_sample
from tests.orchestrators.jobs import run
from tests.orchestrators.outputs import strays_of, table_files_of

pytestmark = pytest.mark.slow

SAMPLE = SampleOptions(minutes=1.5, products=("BTC-USD", "ETH-USD", "SOL-USD"), rate=20, levels=200, segment_mb=1)
SMALL_SHARDS = {"unit_mb": 0.2, "block_mb": 0.1, "rows_per_file": 1000}
PROCESSES = Path("/proc")
DEPTH = {"level2": {"processor_options": {"depth": 50, "depth_bps": [1, 2, 5, 10, 20, 50, 100]}}}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("recording")
    write_sample(str(directory), SAMPLE)
    return directory


@pytest.fixture(scope="module")
def expected(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    output = tmp_path_factory.mktemp("local") / "out"
    run(recording, output, staging=SMALL_SHARDS, channels=DEPTH)
    return table_files_of(output)


@pytest.fixture
def workers(request: pytest.FixtureRequest) -> Iterator[int]:
    """Start a cluster of as many CPUs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        ray.init(address="local", num_cpus=request.param, log_to_driver=False, include_dashboard=False)
        yield int(request.param)
        ray.shutdown()


class Killer(threading.Thread):
    """Kills the first actor that replays books, a moment after it has appeared."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.killed: int | None = None
        self.done = threading.Event()

    def run(self) -> None:
        """Look for an actor until there is one or the test is over."""
        while not self.done.is_set():
            for pid in _book_actors():
                time.sleep(0.3)
                os.kill(pid, signal.SIGKILL)
                self.killed = pid
                return
            self.done.wait(0.05)


def _book_actors() -> list[int]:
    """Return processes below this one that are called after the actors that replay books."""
    parents, found = {}, []
    for directory in PROCESSES.iterdir():
        if directory.name.isdigit():
            try:
                parents[int(directory.name)] = int((directory / "stat").read_text().rpartition(")")[2].split()[1])
                if b"BookActor" in (directory / "cmdline").read_bytes():
                    found.append(int(directory.name))
            except OSError:  # it has ended
                continue
    return [pid for pid in found if _is_below(pid, parents)]


def _is_below(pid: int, parents: dict[int, int]) -> bool:
    while pid in parents:
        pid = parents[pid]
        if pid == os.getpid():
            return True
    return False


@pytest.mark.parametrize(
    ("workers", "kill"),
    [(1, False), (2, True), (4, False)],
    indirect=["workers"],
    ids=["one", "two, one of them killed", "four"],
)
def test_the_bytes_are_those_of_a_run_in_this_process(
    recording: Path, expected: dict[str, bytes], workers: int, kill: bool, tmp_path: Path
) -> None:
    killer = Killer()
    if kill and not PROCESSES.exists():
        pytest.skip(f"this system does not show processes in {PROCESSES}")
    if kill:
        killer.start()
    on_ray = {"engine": "ray", "resources": {"memory_mb_per_task": 200}}
    run(recording, tmp_path / "out", staging=SMALL_SHARDS, channels=DEPTH, **on_ray)
    killer.done.set()
    assert (killer.killed is not None) == kill
    assert table_files_of(tmp_path / "out") == expected
    assert strays_of(tmp_path / "out") == []
    assert workers == ray.cluster_resources()["CPU"]
