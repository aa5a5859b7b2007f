"""One timed run of one side, in a process of its own on one core: CPU and wall seconds on the last line, as JSON."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path

import numpy as np


def main() -> None:
    """Run `side path bar made` once uncounted and once timed; keep what it made."""
    side, path, bar, made = sys.argv[1:]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    run = importlib.import_module(f"tests.benchmarks.bar_sides.{side}").prepare(Path(path), bar)
    run()
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    columns = run()
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    np.savez(made, **columns)
    print(json.dumps({"cpu_s": cpu_s, "wall_s": wall_s}))


if __name__ == "__main__":
    main()
