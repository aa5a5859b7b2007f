"""One timed run of one side, in a process of its own on one core."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BYTES_OF_MAXRSS = 1 if sys.platform == "darwin" else 1024
_ONE_THREAD = dict.fromkeys(
    ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS"), "1"
)


@dataclass(frozen=True)
class Run:
    """What one run took; `peak_mb` is the resident memory of the process, its imports and warm-up included."""

    cpu_s: float
    wall_s: float
    peak_mb: float


def measure(side: str, segments: Sequence[str], output: str) -> Run:
    """Convert `segments` with `side` (a module of `sides`) in a new process and return what it took.

    The process first does the same into a folder that is thrown away. That run loads and compiles what there is to load
    and compile, fills caches and pools of memory, and is not counted.
    """
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, "-m", "tests.benchmarks.measurement", side, output, *segments]
    child = subprocess.run(
        command, cwd=ROOT, env=os.environ | _ONE_THREAD, stdout=subprocess.PIPE, text=True, check=False
    )
    if child.returncode != 0:
        raise SystemExit(f"{side} ended with exit code {child.returncode}")
    return Run(**json.loads(child.stdout.splitlines()[-1]))


def pin_to_one_core() -> None:
    """Keep this process and its children on one core, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def _cpu_s() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _peak_mb() -> float:
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(who).ru_maxrss for who in whose) * BYTES_OF_MAXRSS / 1e6


def main() -> None:
    """Run one side, timed, and print its `Run` as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("side")
    parser.add_argument("output")
    parser.add_argument("segments", nargs="+")
    arguments = parser.parse_args()
    pin_to_one_core()

    import pyarrow as pa

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    convert = importlib.import_module(f"tests.benchmarks.sides.{arguments.side}").convert
    warm_up = f"{arguments.output}-warm-up"
    for folder in (warm_up, arguments.output):
        Path(folder).mkdir(parents=True)
        cpu_s, wall_s = _cpu_s(), time.perf_counter()
        convert(arguments.segments, folder)
        cpu_s, wall_s = _cpu_s() - cpu_s, time.perf_counter() - wall_s
        shutil.rmtree(warm_up, ignore_errors=True)
    print(json.dumps({"cpu_s": cpu_s, "wall_s": wall_s, "peak_mb": _peak_mb()}))


if __name__ == "__main__":
    main()
