"""How much faster two workers of Ray are than one, stage by stage, on this machine.

    python -m tests.benchmarks.scaling [--mb N] [--input DIR] [--runs N] [--json FILE] [--markdown FILE]

The whole job, books on, in clusters of one and of two workers. Each worker does a small job first, so that its process
has started; actors for books start with their stage. A stage counts from its first item to the end of its last; what
the job takes from end to end stands below. `work` is the time that items took, together: where two workers take more of
it, they are in each other's way. `idle` is the share of a stage in which two workers had nothing to do. All outputs are
compared, byte by byte.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from etl_ray.config import JobConfig
from etl_ray.orchestrators import run as run_module
from etl_ray.orchestrators.run import run_segments
from etl_ray.progress import SilentProgress
from etl_ray.sample import SampleOptions, write_sample
from tests.benchmarks.inputs import unpack
from tests.benchmarks.report import spread, table
from tests.benchmarks.scheduling import Stage, Watched, digest
from tests.benchmarks.section import Ratio, Section, add_output_options, finish

GOAL = 1.8
MB_PER_MINUTE = 25
CONFIG = {"engine": "ray", "staging": {"unit_mb": 32, "block_mb": 16, "rows_per_file": 1_000_000}}
MEMORY_MB = 500
LEAST_SHARE = 0.02
"""Stages of less than this share of the work are not listed: they are a task or two."""


@dataclass(frozen=True)
class Job:
    """A run of the job: seconds of each stage from its first item to its last, those of work in it, and of all."""

    stage_s: Mapping[str, float]
    work_s: Mapping[str, float]
    whole_s: float


def main() -> int:
    """Generate the input, run the job with one worker and with two, print a report; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, help="folder of recorded segments; without it they are generated")
    parser.add_argument("--mb", type=float, default=1000.0, help="size of the generated input in MB (1000)")
    parser.add_argument("--runs", type=int, default=2, help="runs with each number of workers (2)")
    parser.add_argument("--work", type=Path, help="folder for input and outputs (the system's temporary one)")
    add_output_options(parser)
    arguments = parser.parse_args()
    os.environ["RAY_AUTH_MODE"] = "disabled"
    jobs: dict[int, list[Job]] = {1: [], 2: []}
    digests = set()
    with tempfile.TemporaryDirectory(prefix="etl-ray-bench-", dir=arguments.work) as work:
        source = Path(work, "input")
        if arguments.input is None:
            options = SampleOptions(minutes=arguments.mb / MB_PER_MINUTE, rate=40, segment_mb=32)
            segments = list(write_sample(str(source), options).paths)
        else:
            segments = unpack(arguments.input, source)
        warm_up = Path(work, "warm-up")
        write_sample(str(warm_up), SampleOptions(minutes=2, segment_mb=4))
        mb = sum(Path(segment).stat().st_size for segment in segments) / 1e6
        for number in range(arguments.runs):
            for workers, found in jobs.items():
                output = Path(work, f"{workers}-{number}")
                found.append(run_job(str(source), output, workers, warm_up=str(warm_up)))
                digests.add(digest(output))
                print(f"{workers} workers: {found[-1].whole_s:.1f} s", file=sys.stderr, flush=True)
    return finish(_section(jobs, mb, same=len(digests) == 1), arguments)


def run_job(source: str, output: Path, workers: int, *, warm_up: str) -> Job:
    """Run the job on a Ray of so many workers, after that on `warm_up`."""
    import ray

    watched, config = Watched(), JobConfig.model_validate(CONFIG)
    before, run_module.choose_engine = run_module.choose_engine, watched.engine
    ray.init(address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False)
    try:
        # All at the same time, so that each is in a process of its own, which the job then finds.
        start = ray.remote(num_cpus=1)(_start_worker)
        ray.get([start.remote(warm_up, f"{output}-warm-up-{number}") for number in range(workers)])
        began_s = time.perf_counter()
        run_segments([source], str(output), config, SilentProgress())
        whole_s = time.perf_counter() - began_s
    finally:
        run_module.choose_engine = before
        ray.shutdown()
    stages: dict[str, list[Stage]] = {}
    for stage in watched.stages:
        stages.setdefault(stage.name, []).append(stage)
    return Job(
        stage_s={name: sum(map(_from_first_to_last, found)) for name, found in stages.items()},
        work_s={name: sum(map(_work, found)) for name, found in stages.items()},
        whole_s=whole_s,
    )


def _start_worker(source: str, output: str) -> None:
    """Load and compile all that a worker needs, by a job of its own."""
    run_segments([source], output, JobConfig(engine="local"), SilentProgress())


def _from_first_to_last(stage: Stage) -> float:
    return max(bundle.ended_s for bundle in stage.bundles) - min(bundle.began_s for bundle in stage.bundles)


def _work(stage: Stage) -> float:
    return sum(bundle.ended_s - bundle.began_s for bundle in stage.bundles)


def _section(jobs: Mapping[int, Sequence[Job]], mb: float, *, same: bool) -> Section:
    one, two = jobs[1], jobs[2]
    total_s = median(sum(job.work_s.values()) for job in one)
    listed = [name for name in one[0].work_s if median(job.work_s[name] for job in one) >= LEAST_SHARE * total_s]
    rows, ratios = [], []
    for name in listed:
        alone, together = ([job.stage_s[name] for job in jobs] for jobs in (one, two))
        ratios.append(Ratio(f"two workers, stage {name}", "one worker", median(alone) / median(together), GOAL))
        rows.append(_row(name, alone, together, *([job.work_s[name] for job in jobs] for jobs in (one, two))))
    alone, together = ([sum(job.stage_s.values()) for job in jobs] for jobs in (one, two))
    ratios.append(Ratio("two workers, all stages", "one worker", median(alone) / median(together), GOAL))
    work = ([sum(job.work_s.values()) for job in jobs] for jobs in (one, two))
    rows.append(_row("all stages", alone, together, *work))
    alone, together = ([job.whole_s for job in jobs] for jobs in (one, two))
    ratios.append(Ratio("two workers, the whole job", "one worker", median(alone) / median(together)))
    rows.append(("the whole job", f"{ratios[-1].value:.2f}", spread(alone, 1), spread(together, 1), "", "", ""))
    header = ("stage", "times as fast", "one worker, s", "two workers, s", "work of one, s", "work of two, s", "idle")
    return Section(
        title=f"Two workers against one: {mb:.0f} MB, the whole job on Ray, {os.cpu_count()} CPUs",
        ratios=ratios,
        text=table(header, rows),
        figures={"mb": mb, "jobs": {str(workers): [asdict(job) for job in found] for workers, found in jobs.items()}},
        differences=[] if same else ["the outputs of one and of two workers are not the same bytes"],
    )


def _row(
    name: str, alone: Sequence[float], together: Sequence[float], work_alone: Sequence[float], work: Sequence[float]
) -> tuple[str, ...]:
    idle = median(1 - busy_s / (2 * seconds) for busy_s, seconds in zip(work, together, strict=True))
    ratio, works = f"{median(alone) / median(together):.2f}", (f"{median(work_alone):.1f}", f"{median(work):.1f}")
    return (name, ratio, spread(alone, 1), spread(together, 1), *works, f"{idle:.0%}")


if __name__ == "__main__":
    sys.exit(main())
