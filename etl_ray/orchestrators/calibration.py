"""How this machine compares with the one on which the rates were measured: the job, on a sample, in this process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from etl_ray.config import JobConfig
from etl_ray.orchestrators.compiled import compile_all
from etl_ray.orchestrators.estimate import output_bytes, quantities, stage_costs
from etl_ray.orchestrators.run import run_job
from etl_ray.orchestrators.sampling import Head
from etl_ray.orchestrators.workload import Stored, volume, workload
from etl_ray.progress import SilentProgress

_HERE = {
    **{"engine": "local", "address": None, "start": None, "end": None, "strict": False, "overwrite": False},
    **{"after": "keep", "archive_to": None, "staging": {"url": None}},
}


def measured_slowness(lines: Path, heads: Sequence[Head], config: JobConfig) -> float:
    """Return the CPU time of the job over the lines of heads, as a multiple of what the rates say.

    It is run twice, since modules and memory are loaded by the first time, and OUTPUT goes beside the lines.
    """
    local = config.merge(_HERE)
    compile_all(books=config.has_books, progress=SilentProgress())
    cpu_s = 0.0
    for name in ("warm-up", "output"):
        began_s = time.process_time()
        run_job(str(lines), str(lines.with_name(name)), local, SilentProgress())
        cpu_s = time.process_time() - began_s
    return cpu_s / _expected_s(heads, local)


def _expected_s(heads: Sequence[Head], config: JobConfig) -> float:
    """Return the CPU seconds that the rates say of the lines of heads, taken for whole plain segments."""
    plain = tuple(
        replace(head, index=index, stored=head.bytes, codec=None, is_whole=True) for index, head in enumerate(heads)
    )
    sizes = tuple(head.bytes for head in plain)
    stored = Stored(sizes, (None,) * len(sizes), tuple(enumerate(sizes)))
    work = workload(volume(stored, plain, config), plain, config)
    found = quantities(work, config, output_bytes(work, config.level2.columns))
    return sum(cost.cpu_s for cost in stage_costs(work, found, request_s=0.0).values())
