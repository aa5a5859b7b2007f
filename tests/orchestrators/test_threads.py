"""The libraries compute with no more threads than there are CPUs for; in processes that did nothing before."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
import numba, pyarrow as pa
from etl_ray.orchestrators.engines import LocalEngine
from etl_ray.orchestrators.threads import use_cpus_of_task
pa.set_cpu_count(64)
{call}
import polars as pl
print(json.dumps([pa.cpu_count(), pl.thread_pool_size(), numba.get_num_threads()]))
"""


def threads(call: str, **environment: str) -> list[int]:
    """Return the threads of Arrow, Polars and Numba after a call; Numba might use four, and Arrow 64."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(call=call)],
        env={**os.environ, "NUMBA_NUM_THREADS": "4", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[int] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(("cpus", "expected"), [(3.5, 3), (0.25, 1)])
def test_a_task_has_as_many_as_it_has_cpus(cpus: float, expected: int) -> None:
    assert threads(f"use_cpus_of_task({cpus})") == [expected] * 3


def test_who_says_otherwise_of_polars_is_obeyed() -> None:
    assert threads("use_cpus_of_task(1)", POLARS_MAX_THREADS="5") == [1, 5, 1]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system pins no processes")
def test_a_run_in_this_process_has_the_cpus_of_the_process() -> None:
    cpu = max(os.sched_getaffinity(0))
    assert threads(f"import os; os.sched_setaffinity(0, {{{cpu}}}); LocalEngine()") == [1, 1, 4]
