"""Whether a cluster has room for the tasks of a run: it is waited for, but not without end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import ray
from ray.data._internal.execution.execution_callback import ExecutionCallback
from ray.data._internal.execution.streaming_executor import StreamingExecutor
from ray.exceptions import RayError

from etl_ray.errors import ClusterError

_NOTE_AFTER_S = 10.0  # a worker takes some seconds to start
_LOOK_EVERY_S = 2.0
_CAUSE_CHARS = 500
_BYTES_PER_MB = 1_000_000


@dataclass(frozen=True)
class Ask:
    """What a task asks one node for, and how long a run waits until there is one that has it."""

    cpus: float
    memory_bytes: int
    timeout_s: float

    def __str__(self) -> str:
        return f"{_number(self.cpus)} CPU and {self.memory_bytes // _BYTES_PER_MB:,} MB"


@dataclass(frozen=True)
class Node:
    """What a living node has in all; of memory that Ray was not told, as much as one likes."""

    cpus: float
    memory_bytes: float

    def slots(self, ask: Ask) -> int:
        """Return how many tasks the node has room for."""
        return int(min(self.cpus / ask.cpus, self.memory_bytes / ask.memory_bytes))


def living_nodes() -> list[Node]:
    """Ask Ray which nodes there are."""
    found: list[Mapping[str, object]] = ray.nodes()  # type: ignore[no-untyped-call]
    nodes = []
    for node in found:
        resources = node["Resources"]
        if node["Alive"] and isinstance(resources, Mapping):
            nodes.append(Node(float(resources.get("CPU", 0.0)), float(resources.get("memory", math.inf))))
    return nodes


def slots(ask: Ask) -> int:
    """Return how many tasks the cluster has room for now, at least 1."""
    return max(1, sum(node.slots(ask) for node in living_nodes()))


def await_place(ask: Ask, note: Callable[[str], None], *, is_own: bool) -> None:
    """Wait until a task has been placed, which lets the cluster grow where it can; ClusterError if none is.

    In a cluster of one's own (`is_own`), which does not grow, nothing is waited for in vain. `note` is told of waiting.
    """
    if is_own and not any(node.slots(ask) for node in living_nodes()):
        raise _lacking(ask, "")
    probe = ray.remote(_nothing).options(num_cpus=ask.cpus, memory=ask.memory_bytes).remote()
    if not _is_done(probe, min(_NOTE_AFTER_S, ask.timeout_s)):
        note(f"waiting up to {_number(ask.timeout_s)} s for a node with {ask} free; the cluster has {_shown()}")
        if not _is_done(probe, max(0.0, ask.timeout_s - _NOTE_AFTER_S)):
            ray.cancel(probe, force=True)
            raise _lacking(ask, f" for {_number(ask.timeout_s)} s")
    try:
        ray.get(probe)
    except RayError as error:
        text = " ".join(str(error).split())[:_CAUSE_CHARS]
        raise ClusterError(f"the Ray cluster cannot start a worker: {type(error).__name__}: {text}") from None


def _is_done(probe: ray.ObjectRef[None], timeout_s: float) -> bool:
    return bool(ray.wait([probe], timeout=timeout_s)[0])


def _nothing() -> None:
    """Be placed."""


class PlacementWatch(ExecutionCallback):
    """Ends what a Dataset does if for `ask.timeout_s` no node was there that has room for any of its tasks.

    Ray itself would wait without end for nodes that were lost. It makes objects of this class without arguments, so
    that `watch` makes a class for each ask.
    """

    ask: Ask

    def __init__(self) -> None:
        self._looked_s = self._fine_s = time.monotonic()

    def on_execution_step(self, executor: StreamingExecutor) -> None:
        """Look from time to time."""
        now_s = time.monotonic()
        if now_s - self._looked_s < _LOOK_EVERY_S:
            return
        self._looked_s = now_s
        if any(node.slots(self.ask) for node in living_nodes()):
            self._fine_s = now_s
        elif now_s - self._fine_s >= self.ask.timeout_s:
            raise _lacking(self.ask, f" for {_number(self.ask.timeout_s)} s")


def watch(ask: Ask) -> type[PlacementWatch]:
    """Return the class of what watches over the tasks of `ask`."""
    return type("PlacementWatch", (PlacementWatch,), {"ask": ask})


def _lacking(ask: Ask, waited: str) -> ClusterError:
    return ClusterError(
        f"no node of the Ray cluster had room for a task{waited}: each asks for {ask} "
        f"(resources.cpus_per_task, resources.memory_mb_per_task), the cluster has {_shown()}. Start a node that has "
        "it, or ask for less; how long a run waits says resources.placement_timeout"
    )


def _shown() -> str:
    """Say what the nodes have, equal ones together, and what of it is free."""
    nodes = living_nodes()
    kinds = {node: nodes.count(node) for node in sorted(nodes, key=lambda node: (-node.cpus, -node.memory_bytes))}
    parts = [f"{count} of {_resources(node.cpus, node.memory_bytes)}" for node, count in kinds.items()]
    free: Mapping[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    return (
        f"{len(nodes)} {'node' if len(nodes) == 1 else 'nodes'} ({', '.join(parts) or 'none'}), "
        f"of which {_resources(free.get('CPU', 0.0), free.get('memory', 0.0))} are free"
    )


def _resources(cpus: float, memory_bytes: float) -> str:
    memory = "any memory" if math.isinf(memory_bytes) else f"{int(memory_bytes) // _BYTES_PER_MB:,} MB"
    return f"{_number(cpus)} CPU and {memory}"


def _number(value: float) -> str:
    return f"{value:g}"
