"""What an engine does where the cluster has no room for its tasks, and with nodes that come and go."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from etl_ray.errors import ClusterError
from etl_ray.orchestrators.ray_engine import RayEngine
from etl_ray.orchestrators.work import Stage
from tests.ray.sleepers import LOG, sleep_instead_of_work

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

QUICK = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 300, "health_check_failure_threshold": 3}
NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80_000_000, "memory": 500_000_000}
WEIGHT = 100_000_000
"""Of an item that is worth a task of its own in both stages."""
STAGES: list[Stage] = ["build", "replay"]
"""One of tasks, one of actors."""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file to which workers write what they do."""
    path = tmp_path / "log"
    path.touch()
    monkeypatch.setenv(LOG, str(path))
    return path


@pytest.fixture
def cluster(log: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Start a head that does no work, and join it; what its workers do is to sleep."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))  # where workers find what they do
    head = {"num_cpus": 0, "object_store_memory": 80_000_000, "include_dashboard": False, "_system_config": QUICK}
    found = Cluster(initialize_head=True, connect=False, head_node_args=head)
    environment = {"worker_process_setup_hook": sleep_instead_of_work}
    ray.init(address=found.address, log_to_driver=False, runtime_env=environment)
    yield found
    ray.shutdown()
    found.shutdown()  # type: ignore[no-untyped-call]


def engine(notes: list[str], *, memory_mb: int = 300, timeout_s: float = 12.0, address: str | None = None) -> RayEngine:
    return RayEngine(
        address=address,
        cpus_per_task=1,
        memory_mb_per_task=memory_mb,
        max_tasks=None,
        placement_timeout_s=timeout_s,
        note=notes.append,
    )


def items(count: int) -> list[tuple[bytes, int]]:
    return [(b"%d" % index, WEIGHT) for index in range(count)]


def test_no_node_at_all_and_then_one_that_comes(cluster: Cluster) -> None:
    notes: list[str] = []
    found = engine(notes)
    with pytest.raises(ClusterError) as raised:
        list(found.run("build", b"", items(2)))
    text = str(raised.value)
    assert text.startswith(
        "no node of the Ray cluster had room for a task for 12 s: each asks for 1 CPU and 300 MB "
        "(resources.cpus_per_task, resources.memory_mb_per_task), the cluster has 1 node (1 of 0 CPU and "
    )
    assert text.endswith(
        "Start a node that has it, or ask for less; how long a run waits says resources.placement_timeout"
    )
    assert [note.partition(";")[0] for note in notes] == ["waiting up to 12 s for a node with 1 CPU and 300 MB free"]
    found.close()
    waiting: list[str] = []
    patient = engine(waiting, timeout_s=120)
    with ThreadPoolExecutor() as threads:  # only the main one may add nodes
        results = threads.submit(lambda: sorted(index for index, _ in patient.run("build", b"", items(2))))
        while not waiting:
            assert not wait([results], timeout=0.1).done
        cluster.add_node(**NODE)
        assert results.result() == [0, 1]
    assert len(waiting) == 1


def test_nodes_that_are_too_small(cluster: Cluster) -> None:
    cluster.add_node(**NODE)
    cluster.add_node(**NODE)
    with pytest.raises(ClusterError, match=r"1 CPU and 501 MB .* 3 nodes \(2 of 1 CPU and 500 MB, 1 of 0 CPU and "):
        list(engine([], memory_mb=501).run("build", b"", items(2)))


def test_a_machine_that_is_too_small_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    small = engine([], memory_mb=100_000_000, timeout_s=3_600)
    with pytest.raises(ClusterError, match=r"had room for a task: each asks for 1 CPU and 100,000,000 MB .* 1 node"):
        list(small.run("build", b"", items(2)))
    small.close()
    assert not ray.is_initialized()


@pytest.mark.parametrize("stage", STAGES)
def test_the_last_node_is_lost_and_none_comes(stage: Stage, cluster: Cluster) -> None:
    node = cluster.add_node(**NODE)
    results = engine([]).run(stage, b"", items(20))
    next(results)
    cluster.remove_node(node, allow_graceful=False)
    with pytest.raises(ClusterError, match=r"no node of the Ray cluster had room for a task for 12 s: .* has 1 node "):
        list(results)
    # What waited for the node is given up: another stage finds its successor free.
    cluster.add_node(**NODE)
    assert sorted(index for index, _ in engine([]).run(stage, b"", items(3))) == [0, 1, 2]


@pytest.mark.parametrize("stage", STAGES)
def test_a_node_that_joins_gets_work(stage: Stage, cluster: Cluster) -> None:
    cluster.add_node(**NODE)
    results = engine([]).run(stage, b"", items(100))  # Ray Data looks for new nodes every 20 s
    found = [next(results)]
    cluster.add_node(**NODE)
    found += results
    assert sorted(index for index, _ in found) == list(range(100))
    by_node = [where for _, where in found]
    assert sorted(by_node.count(node) >= 5 for node in set(by_node)) == [True, True]


@pytest.mark.parametrize("stage", STAGES)
def test_a_node_that_leaves_costs_its_tasks_only(stage: Stage, cluster: Cluster, log: Path) -> None:
    nodes = [cluster.add_node(**NODE) for _ in range(2)]
    results = engine([]).run(stage, b"", items(30))
    found = [next(results) for _ in range(6)]
    cluster.remove_node(nodes[0], allow_graceful=False)
    found += results
    assert sorted(index for index, _ in found) == list(range(30))
    # Done again is what ran there, and what had ended there and was not fetched yet.
    assert 30 <= len(log.read_bytes().split()) <= 34
