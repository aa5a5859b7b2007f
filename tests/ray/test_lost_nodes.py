"""Workers, actors and nodes that are lost in each stage, in the middle of a unit: the bytes of a run without that."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import ray
from ray._private.node import Node
from ray.cluster_utils import Cluster

from etl_ray.orchestrators.run import run_segments
from etl_ray.progress import SilentProgress
from tests.faults.recordings import EVERYTHING, write_tiny
from tests.orchestrators.jobs import config, run
from tests.orchestrators.outputs import strays_of, table_files_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

PROCESSES = Path("/proc")
STAGES = ["normalize", "build", "trades", "candles", "compose", "books", "witness", "witness", "derive"]
READERS = {"witness"}
"""Stages that write nothing, so that no failpoint is reached."""
QUICK = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 300, "health_check_failure_threshold": 3}
NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80_000_000}
NODES = 2
WAIT_S = 60

Loss = Literal["process", "node"]


class Nodes:
    """A cluster of two nodes of one CPU each beside a head that does no work."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker
        self.marker.touch()
        head = {"num_cpus": 0, "object_store_memory": 80_000_000, "include_dashboard": False, "_system_config": QUICK}
        self.cluster = Cluster(initialize_head=True, connect=False, head_node_args=head)
        self.replace()

    def workers(self) -> dict[int, tuple[Node, str]]:
        """Return the worker processes with their nodes and states, by process id."""
        raylets = {node.all_processes["raylet"][0].process.pid: node for node in self.cluster.worker_nodes}
        found = {}
        for directory in PROCESSES.iterdir():
            if directory.name.isdigit():
                try:
                    state, parent = (directory / "stat").read_text().rpartition(")")[2].split()[:2]
                    title = (directory / "cmdline").read_bytes()
                except OSError:  # it has ended
                    continue
                # Without its agents a node dies.
                if int(parent) in raylets and title.startswith(b"ray::") and b"Agent" not in title:
                    found[int(directory.name)] = (raylets[int(parent)], state)
        return found

    def lose(self, loss: Loss, pid: int, node: Node) -> None:
        """Kill a worker that stands still, or its whole node."""
        if loss == "node":
            self.cluster.remove_node(node, allow_graceful=False)
        os.kill(pid, signal.SIGKILL)

    def replace(self) -> None:
        """Bring nodes for those that are lost; only the main thread may."""
        while len(self.cluster.worker_nodes) < NODES:
            self.cluster.add_node(**NODE)


class Saboteur(SilentProgress):
    """Loses something in each stage of a run; `lost` tells of the stages where that was done."""

    def __init__(self, nodes: Nodes, loss: Loss) -> None:
        self._nodes = nodes
        self._loss = loss
        self._thread: threading.Thread | None = None
        self.lost: list[str] = []

    def stage(self, name: str, total_bytes: int, total_units: int) -> None:
        """Let the next worker that writes stand still; where none does, all."""
        self._thread = threading.Thread(target=self._lose, args=(name,), daemon=True)
        if name not in READERS:
            self._nodes.marker.unlink()
        self._thread.start()

    def done(self) -> None:
        """Wait for the loss, and make up for it."""
        if self._thread is not None:
            self._thread.join(WAIT_S)
            self._nodes.replace()

    def _lose(self, name: str) -> None:
        if name in READERS:
            stopped = list(self._nodes.workers())
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(1.5)  # until they have something to do
        else:
            stopped = self._stopped_one()
        found = self._nodes.workers()
        for pid in [pid for pid in stopped if pid in found][:1]:
            self._nodes.lose(self._loss, pid, found[pid][0])
            self.lost.append(name)
        for other in self._nodes.workers():
            os.kill(other, signal.SIGCONT)

    def _stopped_one(self) -> list[int]:
        end_s = time.monotonic() + WAIT_S
        while time.monotonic() < end_s:
            if self._nodes.marker.exists():
                stopped = [pid for pid, (_, state) in self._nodes.workers().items() if state == "T"]
                if stopped:
                    return stopped
            time.sleep(0.05)
        return []


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    if not PROCESSES.exists():
        pytest.skip(f"this system does not show processes in {PROCESSES}")
    marker = tmp_path_factory.mktemp("marker") / "marker"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("ETL_RAY_FAILPOINT", f"once:{marker}:stop:write.before:")
        found = Nodes(marker)
        ray.init(address=found.cluster.address, log_to_driver=False)
        yield found
        ray.shutdown()
        found.cluster.shutdown()  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("recording") / "input"
    write_tiny(directory)
    return directory


@pytest.fixture(scope="module")
def expected(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    output = tmp_path_factory.mktemp("local") / "output"
    run(recording, output, **EVERYTHING)
    return table_files_of(output)


@pytest.mark.parametrize("loss", ["process", "node"])
def test_what_is_lost_in_each_stage_is_done_again(
    loss: Loss, nodes: Nodes, recording: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    saboteur = Saboteur(nodes, loss)
    output = tmp_path / "output"
    on_ray = config(**EVERYTHING, engine="ray", resources={"memory_mb_per_task": 200})
    outcome = run_segments([str(recording)], str(output), on_ray, saboteur)
    # Stages that only read may be over before anything of theirs can be lost.
    assert [name for name in saboteur.lost if name not in READERS] == [name for name in STAGES if name not in READERS]
    assert outcome.summary.damaged == ()
    assert table_files_of(output) == expected
    assert strays_of(output) == []
