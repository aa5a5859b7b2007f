"""Threads of the libraries that compute: no more than there are CPUs for."""

from __future__ import annotations

import os

import numba
import pyarrow as pa


def use_cpus_of_process() -> None:
    """Let Arrow compute with no more threads than this process may use CPUs; others see to that themselves."""
    if hasattr(os, "sched_getaffinity"):
        pa.set_cpu_count(min(pa.cpu_count(), len(os.sched_getaffinity(0))))


def use_cpus_of_task(cpus: float) -> None:
    """Let Arrow, Polars and Numba compute with as many threads as a task has CPUs, and with one at least.

    Polars keeps the threads with which it first computes as long as the process lives, Numba's count is that of the
    calling thread. Compiled loops of this package have no threads of their own; those of a user's processor may.
    """
    threads = max(1, int(cpus))
    pa.set_cpu_count(threads)
    os.environ.setdefault("POLARS_MAX_THREADS", str(threads))
    if threads < numba.config.NUMBA_NUM_THREADS:
        numba.set_num_threads(threads)
