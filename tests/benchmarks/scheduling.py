"""How much of the workers' time is lost to scheduling: the whole job on clusters of several nodes on this machine.

    python -m tests.benchmarks.scheduling [--mb N] [--nodes 1,2,4] [--input DIR]

Nodes of one CPU each beside a head that does no work, as in a large cluster, only that they share this machine: with
more nodes than it has cores, walls say nothing, shares of worker time still do. Every item of every stage is timed
where it is done. Of the time that nodes have in a stage (nodes x wall) the report says how much went where:

  work       items were worked on
  start      from the beginning of the stage until a node's first item: a Dataset, worker processes, actors
  between    a node had nothing to do although bundles waited: what scheduling costs
  end        a node had nothing to do since no bundle was left: stragglers, and the last results on their way

All outputs are compared with that of a run in this process, byte by byte.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from etl_ray.config import JobConfig
from etl_ray.job import ETLJob
from etl_ray.orchestrators import run as run_module
from etl_ray.orchestrators.engines import Engine
from etl_ray.orchestrators.ray_engine import RayEngine, Span
from etl_ray.orchestrators.run import run_segments
from etl_ray.progress import SilentProgress
from etl_ray.sample import SampleOptions, write_sample
from tests.benchmarks.report import table

MEMORY_MB = 500
STORE_BYTES = 80_000_000
MB_PER_MINUTE = 25
CONFIG = {"derived": {"bars": ["1s", "1m"]}, "staging": {"unit_mb": 32, "block_mb": 16, "rows_per_file": 500_000}}


@dataclass(frozen=True)
class Busy:
    """When a worker was at a bundle."""

    worker: str
    began_s: float
    ended_s: float


@dataclass(frozen=True)
class Stage:
    """A stage of a run: its span, and when it had bundles at work, all in seconds of one clock."""

    name: str
    began_s: float
    ended_s: float
    bundles: tuple[Busy, ...]


@dataclass(frozen=True)
class Shares:
    """Where the time of all nodes went during a stage, in seconds."""

    name: str
    n_bundles: int
    wall_s: float
    work_s: float
    start_s: float
    between_s: float
    end_s: float


def shares(stage: Stage, n_nodes: int) -> Shares:
    """Divide `n_nodes` times the stage's wall up: a node is there from the first bundle of a worker of its own on."""
    last = max(bundle.began_s for bundle in stage.bundles)
    firsts: dict[str, float] = {}
    for bundle in sorted(stage.bundles, key=lambda bundle: bundle.began_s):
        firsts.setdefault(bundle.worker, bundle.began_s)
    there = sorted(firsts.values())[:n_nodes]
    steps = [(begin, 1, 0) for begin in there]
    steps += [(bundle.began_s, 0, 1) for bundle in stage.bundles] + [
        (bundle.ended_s, 0, -1) for bundle in stage.bundles
    ]
    steps.sort()
    nodes, busy, between_s = 0, 0, 0.0
    for (at_s, joined, change), (next_s, _, _) in pairwise(steps):
        nodes, busy = nodes + joined, busy + change
        between_s += max(0, nodes - busy) * max(0.0, min(next_s, last) - at_s)
    wall_s = stage.ended_s - stage.began_s
    work_s = sum(bundle.ended_s - bundle.began_s for bundle in stage.bundles)
    start_s = sum(begin - stage.began_s for begin in there)
    end_s = n_nodes * wall_s - work_s - start_s - between_s
    return Shares(stage.name, len(stage.bundles), wall_s, work_s, start_s, between_s, end_s)


@dataclass
class Watched:
    """Makes engines that keep an account of their stages."""

    stages: list[Stage] = field(default_factory=list)

    def engine(self, *_arguments: object) -> Engine:
        """Return an engine on the cluster that this process has joined."""
        kept = self.stages

        class Timed(RayEngine):
            def run(
                self, stage: str, options: bytes, items: Sequence[tuple[bytes, int]]
            ) -> Iterator[tuple[int, bytes]]:
                spans.clear()
                began_s = time.time()
                yield from super().run(stage, options, items)  # type: ignore[arg-type]
                if items:
                    kept.append(Stage(stage, began_s, time.time(), joined(spans)))

        spans: list[Span] = []
        return Timed(
            address=None,
            cpus_per_task=1,
            memory_mb_per_task=MEMORY_MB,
            max_tasks=None,
            placement_timeout_s=120,
            note=print,
            observe=spans.append,
        )


def joined(spans: Sequence[Span]) -> tuple[Busy, ...]:
    """Return when workers were busy: items that follow each other within a millisecond are of one bundle."""
    found: list[Busy] = []
    for span in sorted(spans, key=lambda span: (span.worker, span.began_s)):
        if found and found[-1].worker == span.worker and span.began_s - found[-1].ended_s < 0.001:
            found[-1] = replace(found[-1], ended_s=span.ended_s)
        else:
            found.append(Busy(span.worker, span.began_s, span.ended_s))
    return tuple(found)


def on_cluster(n_nodes: int, job: Callable[[], None]) -> tuple[list[Stage], int]:
    """Do a job on a cluster of so many nodes; return its stages, and the bytes that went through the object store."""
    import ray
    from ray._private.internal_api import get_memory_info_reply, get_state_from_address
    from ray.cluster_utils import Cluster

    watched = Watched()
    before, run_module.choose_engine = run_module.choose_engine, watched.engine
    head = {"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, connect=False, head_node_args=head)
    try:
        for _ in range(n_nodes):
            cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES, memory=4 * MEMORY_MB * 1_000_000)
        ray.init(address=cluster.address, log_to_driver=False)
        job()
        store = get_memory_info_reply(get_state_from_address(cluster.address)).store_stats
        return watched.stages, store.cumulative_created_bytes
    finally:
        run_module.choose_engine = before
        ray.shutdown()
        cluster.shutdown()  # type: ignore[no-untyped-call]


def digest(output: Path) -> str:
    """Return the digest of the names and contents of all tables."""
    found = hashlib.sha256()
    for path in sorted(output.rglob("*.parquet")):
        if "_etl_ray" not in path.parts:
            found.update(str(path.relative_to(output)).encode() + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def report(n_nodes: int, found: Sequence[Shares], store_bytes: int) -> str:
    """Return the account of a run as Markdown."""
    rows = []
    whole = Shares("all", *(sum(getattr(item, name) for item in found) for name in list(Shares.__annotations__)[1:]))
    for item in (*found, whole):
        had_s = n_nodes * item.wall_s
        parts = (item.work_s, item.start_s, item.between_s, item.end_s)
        rows.append((item.name, f"{item.n_bundles}", f"{item.wall_s:.1f}", *(f"{part / had_s:.1%}" for part in parts)))
    # Set-up and stragglers do not grow with the input: what scheduling takes of the rest is what matters at scale.
    steady_s = whole.work_s + whole.between_s
    header = ("stage", "tasks", "wall s", "work", "start", "between", "end")
    return (
        f"{n_nodes} nodes: scheduling takes {whole.between_s / steady_s:.1%} of the time that nodes work or wait for "
        f"a task; {store_bytes / 1e6:.1f} MB went through the object store\n\n{table(header, rows)}\n"
    )


def main() -> None:
    """Generate the input, run the job on each cluster, print the accounts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--mb", type=float, default=1500)
    parser.add_argument("--nodes", default="1,2,4")
    parser.add_argument("--input", help="a recording instead of a generated one")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    os.environ["RAY_AUTH_MODE"] = "disabled"
    results = {}
    with tempfile.TemporaryDirectory() as place:
        source = arguments.input or f"{place}/input"
        if arguments.input is None:
            minutes = arguments.mb / MB_PER_MINUTE
            write_sample(source, SampleOptions(minutes=minutes, rate=40, segment_mb=32, start="2025-11-26T12:00:00Z"))
        config = JobConfig.model_validate(CONFIG)
        ETLJob(source, f"{place}/local", config=config.merge({"engine": "local"})).process_all()
        expected = digest(Path(place, "local"))
        for n_nodes in (int(part) for part in arguments.nodes.split(",")):
            output = f"{place}/{n_nodes}"
            stages, store_bytes = on_cluster(
                n_nodes,
                lambda output=output: run_segments([source], output, config, SilentProgress()),  # type: ignore[misc]
            )
            if digest(Path(output)) != expected:
                raise SystemExit(f"{n_nodes} nodes: expected the bytes of a run in this process, found others")
            found = [shares(stage, n_nodes) for stage in stages]
            results[n_nodes] = {"store_bytes": store_bytes, "stages": [asdict(item) for item in found]}
            print(report(n_nodes, found, store_bytes), flush=True)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
