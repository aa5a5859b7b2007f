"""From no worker at all Ray's scheduler starts as many as the tasks of a run need, of what each file describes."""

from __future__ import annotations

from functools import partial

import pytest
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _generate_available_node_types_from_ray_cr_spec
from ray.autoscaler._private.node_provider_availability_tracker import NodeAvailabilitySummary
from ray.autoscaler._private.resource_demand_scheduler import _default_utilization_scorer, get_nodes_for
from ray.autoscaler._private.util import prepare_config

from tests.cluster.repository import CLUSTER, LAUNCHER, MANIFESTS, memory_bytes_per_task

NodeTypes = dict  # type: ignore[type-arg]


def node_types(name: str) -> tuple[NodeTypes, str]:
    """Return what a file describes, as Ray's autoscaler sees it, and which type is the head's."""
    documents = list(yaml.safe_load_all((CLUSTER / f"{name}.yaml").read_text()))
    if name in LAUNCHER:
        return prepare_config(documents[0])["available_node_types"], documents[0]["head_node_type"]
    spec = documents[1]["spec"]
    return _generate_available_node_types_from_ray_cr_spec(spec.get("rayClusterSpec", spec)), "headgroup"


def started(types: NodeTypes, head: str, n_tasks: int) -> tuple[dict[str, int], int]:
    """Return the workers that are started for so many tasks, and how many tasks still wait."""
    tasks = [{"CPU": 1, "memory": memory_bytes_per_task()}] * n_tasks
    scorer = partial(_default_utilization_scorer, node_availability_summary=NodeAvailabilitySummary({}))
    found, waiting = get_nodes_for(types, {head: 1}, head, 100, tasks, utilization_scorer=scorer)
    return dict(found), len(waiting)


@pytest.mark.parametrize(
    ("name", "worker", "cpus"),
    [*((name, "worker", 16) for name in LAUNCHER), *((name, "spot", 7) for name in MANIFESTS)],
)
def test_workers_come_with_the_tasks(name: str, worker: str, cpus: int) -> None:
    types, head = node_types(name)

    assert started(types, head, 1) == ({worker: 1}, 0)
    assert started(types, head, cpus) == ({worker: 1}, 0)
    assert started(types, head, cpus + 1) == ({worker: 2}, 0)
    assert started(types, head, 20 * cpus + 3) == ({worker: 20}, 3)


def test_none_comes_where_the_memory_is_not_known() -> None:
    types, head = node_types("gcp")
    types["worker"]["resources"].pop("memory")

    assert started(types, head, 1) == ({}, 1)
