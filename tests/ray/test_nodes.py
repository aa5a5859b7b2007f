"""The whole job on clusters of one, two and four nodes, from bucket to bucket: the bytes of a run in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import ray
from ray._private.internal_api import get_memory_info_reply, get_state_from_address
from ray.cluster_utils import Cluster

from etl_ray.orchestrators import bundles
from etl_ray.orchestrators import run as run_module
from etl_ray.orchestrators.engines import Engine
from etl_ray.orchestrators.ray_engine import RayEngine, Span
from etl_ray.orchestrators.run import run_segments
from etl_ray.progress import SilentProgress
from etl_ray.sample import SampleOptions, write_sample
from tests.buckets.conftest import use
from tests.buckets.servers import serve
from tests.faults.recordings import EVERYTHING
from tests.orchestrators.jobs import config, run
from tests.orchestrators.outputs import table_files_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

RECORDING = SampleOptions(
    minutes=0.4, products=("BTC-USD", "ETH-USD", "SOL-USD"), rate=10, levels=60, segment_mb=0.05, compress="zst"
)
STORE_BYTES = 80_000_000
NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "memory": 500_000_000}
INPUT, BUCKET = "s3://nodes/input", "s3://nodes"


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, bytes]]:
    """Give the tables that a run in this process makes; the same input is in a bucket."""
    directory = tmp_path_factory.mktemp("nodes")
    write_sample(str(directory / "input"), RECORDING)
    run(directory / "input", directory / "output", **EVERYTHING)
    with serve("s3", directory) as server, pytest.MonkeyPatch.context() as patch:
        server.make_bucket("nodes")
        use(server.environment(), patch)
        patch.setenv("RAY_AUTH_MODE", "disabled")
        fsspec.filesystem("s3").put(f"{directory}/input/", f"{INPUT}/", recursive=True)
        yield table_files_of(directory / "output")


@pytest.mark.parametrize("n_nodes", [1, 2, 4])
def test_the_number_of_nodes_changes_no_byte(
    n_nodes: int, expected: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans: list[Span] = []

    def engine(*_arguments: object) -> Engine:
        return RayEngine(
            address=None,
            cpus_per_task=1,
            memory_mb_per_task=300,
            max_tasks=None,
            placement_timeout_s=60,
            note=print,
            observe=spans.append,
        )

    monkeypatch.setattr(run_module, "choose_engine", engine)
    monkeypatch.setattr(bundles, "SHORTEST_S", 0.02)  # so that there is something for everybody
    head = {"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, connect=False, head_node_args=head)
    try:
        for _ in range(n_nodes):
            cluster.add_node(**NODE)
        ray.init(address=cluster.address, log_to_driver=False)
        output = f"{BUCKET}/output-{n_nodes}"
        run_segments([INPUT], output, config(**EVERYTHING), SilentProgress())
        store = get_memory_info_reply(get_state_from_address(cluster.address)).store_stats
    finally:
        ray.shutdown()
        cluster.shutdown()  # type: ignore[no-untyped-call]
    fsspec.filesystem("s3").get(f"{output}/", f"{tmp_path}/output/", recursive=True)
    assert table_files_of(tmp_path / "output") == expected
    # All nodes had work, and nothing but descriptions of work went through Ray.
    assert len({span.worker for span in spans if span.stage == "normalize"}) >= n_nodes
    assert {span.stage for span in spans} >= {"normalize", "build", "trades", "compose", "replay", "derive"}
    assert (store.spilled_bytes_total, store.object_store_bytes_used < 8_000_000) == (0, True)
