"""One timed replay of one side, as a process of its own on one core: python -m ... SIDE ROWS.npz TOP.npz RUNS."""

from __future__ import annotations

import importlib
import json
import sys
import time

import numpy as np

from tests.benchmarks.measurement import pin_to_one_core

_WARM_UP_MESSAGES = 100


def main() -> None:
    """Replay RUNS times after a warm-up; print the CPU seconds of each as JSON and keep the top levels."""
    side, rows_path, top_path, runs = sys.argv[1:]
    pin_to_one_core()
    with np.load(rows_path) as stored:
        rows = dict(stored)
    run = importlib.import_module(f"tests.benchmarks.book_sides.{side}").prepare(rows)
    before = getattr(run, "before", lambda: None)
    n = len(rows["offsets"]) - 1
    before()
    run(min(n, _WARM_UP_MESSAGES))
    seconds = []
    for _ in range(int(runs)):
        before()
        start = time.process_time()
        top = run(n)
        seconds.append(time.process_time() - start)
    np.savez(top_path, *top)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
