"""Work for tests of clusters: every item takes its time, and says where it was done."""

from __future__ import annotations

import os
import time
from pathlib import Path

import ray

from etl_ray.orchestrators import ray_engine

LOG = "ETL_RAY_TEST_LOG"
ITEM_S = 0.5


def sleep_instead_of_work() -> None:
    """Let this worker process sleep over each item, and log it; the result is the node's id."""
    log = Path(os.environ[LOG])

    def work(_stage: str, _options: bytes, item: bytes) -> bytes:
        time.sleep(ITEM_S)
        with log.open("ab") as file:
            file.write(item + b"\n")
        return ray.get_runtime_context().get_node_id().encode()

    ray_engine.work = work
