"""Where the CPU time of the whole chain goes, stage by stage, and how far each is from what the machine can do.

    python -m tests.benchmarks.chain_profile [--input DIR] [--mb N] [--books] [--json FILE] [--markdown FILE]

The job runs in this process, on one core, several times without a profiler and several times with one. The time inside
a library is that of the module of this project that called it. What the profiler adds is taken out by scaling: shares
are those with it, seconds those without.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

from tests.benchmarks.inputs import make_input
from tests.benchmarks.limits import Limit, limit_table, measure_limits
from tests.benchmarks.measurement import pin_to_one_core
from tests.benchmarks.report import table
from tests.benchmarks.section import Section, add_output_options, finish
from tests.benchmarks.sides.etl_job import run_job

Function = tuple[str, int, str]
Times = tuple[int, int, float, float, Mapping[Function, tuple[int, int, float, float]]]
"""Of a function: calls, own seconds, seconds with callees, and the same by caller, as `pstats` has them."""

_WARM_UPS, _PLAIN_RUNS, _PROFILED_RUNS = 3, 5, 3

READ, SCAN, COLUMNS, MESSAGES = "read and unpack", "scan", "columns", "messages, connections, selection"
STAGE, LOAD, WRITE, BOOKS = "staging files", "read staged rows, complete them", "final files", "books"
HASH, SYNC, FILES, DRIVER = "hashing", "fsync", "files: open, write, rename, remove", "plan, receipts, commit"

_LIBRARY_CALLS = (
    ("_hashlib", HASH),
    ("sha256", HASH),
    ("fsync", SYNC),
)
"""Parts of the names of functions outside this project that count wherever they are called from."""

_MODULES = (
    ("etl_ray/readers/", READ),
    ("etl_ray/storage/reading", READ),
    ("etl_ray/storage/windows", READ),
    ("etl_ray/scan/kernel", SCAN),
    ("etl_ray/scan/connections", MESSAGES),
    ("etl_ray/scan/", COLUMNS),
    ("etl_ray/venues/", COLUMNS),
    ("etl_ray/tables/", COLUMNS),
    ("etl_ray/book", BOOKS),
    ("etl_ray/orchestrators/book", BOOKS),
    ("etl_ray/orchestrators/staged_books", BOOKS),
    ("etl_ray/orchestrators/compos", BOOKS),
    ("etl_ray/orchestrators/replay", BOOKS),
    ("etl_ray/orchestrators/normalize", MESSAGES),
    ("etl_ray/orchestrators/selection", MESSAGES),
    ("etl_ray/orchestrators/numbered", MESSAGES),
    ("etl_ray/orchestrators/staging", STAGE),
    ("etl_ray/orchestrators/staged_rows", STAGE),
    ("etl_ray/orchestrators/partition_files", WRITE),
    ("etl_ray/orchestrators/final_files", WRITE),
    ("etl_ray/orchestrators/row_groups", WRITE),
    ("etl_ray/writers/", WRITE),
    ("etl_ray/orchestrators/build", LOAD),
    ("etl_ray/orchestrators/trade_build", LOAD),
    ("etl_ray/orchestrators/trade_shards", LOAD),
    ("etl_ray/storage/", FILES),
    ("etl_ray/", DRIVER),
)
"""What a function is counted as, by the beginning of its module's path; the first that fits."""

_BOUNDS: dict[str, tuple[str | None, str]] = {
    READ: ("read files that the system has in memory", "the copy out of the system's cache"),
    SCAN: ("copy in memory", "a branch or two for each byte"),
    COLUMNS: ("copy in memory", "passes over values, calls per column and block"),
    MESSAGES: (None, "passes over messages, calls per block"),
    STAGE: ("Arrow stream with LZ4, write", "LZ4, sorting rows by product, calls per group of rows"),
    LOAD: ("Arrow stream with LZ4, read", "LZ4, columns added to each row, calls per group of rows"),
    WRITE: ("Parquet, settings of the job", "the Parquet writer"),
    HASH: ("SHA-256", "SHA-256"),
    SYNC: (None, "the disk"),
    FILES: (None, "system calls per file, bytes into the system's cache"),
    DRIVER: (None, "Python, per unit and file"),
    BOOKS: (None, "the ladder, features, columns"),
}
"""The limit that a stage is held to, and what keeps it from more."""


@dataclass(frozen=True)
class StageTime:
    """CPU seconds of a stage of the job."""

    name: str
    cpu_s: float
    share: float


def main() -> int:
    """Profile, measure limits, print a report; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, help="folder of recorded segments; without it they are generated")
    parser.add_argument("--mb", type=float, default=100.0, help="size of the generated input in MB (100)")
    parser.add_argument("--books", action="store_true", help="with books")
    add_output_options(parser)
    arguments = parser.parse_args()
    pin_to_one_core()

    import pyarrow as pa

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    with tempfile.TemporaryDirectory(prefix="etl-ray-bench-") as work:
        source = make_input(arguments.input, arguments.mb, Path(work))
        output = Path(work, "output")
        run = partial(run_job, source.segments, str(output), {}, books=arguments.books)
        total_s, stages = profile_stages(run, before=partial(shutil.rmtree, output, ignore_errors=True))
        limits = measure_limits(source.segments, output)
    title = (
        f"Where the time goes: {source.source}, {source.mb:.1f} MB, one core{', with books' if arguments.books else ''}"
    )
    text = f"{total_s:.3f} s of CPU, {source.mb / total_s:.0f} MB/s.\n\n{stage_table(stages, limits, source.mb)}"
    return finish(
        Section(
            title=title,
            ratios=[],
            text=f"{text}\n\n{limit_table(limits)}",
            figures={
                "cpu_s": total_s,
                "stages": [asdict(stage) for stage in stages],
                "limits": [asdict(limit) for limit in limits],
            },
        ),
        arguments,
    )


def profile_stages(run: Callable[[], None], *, before: Callable[[], None]) -> tuple[float, list[StageTime]]:
    """Return the CPU seconds of a run without a profiler, and those of its stages, the longest first.

    `before` each run something is done that does not count.
    """
    profile = cProfile.Profile(time.process_time)
    plain_s = []
    for number in range(_WARM_UPS + _PLAIN_RUNS):
        before()
        began_s = time.process_time()
        run()
        if number >= _WARM_UPS:
            plain_s.append(time.process_time() - began_s)
    for _ in range(_PROFILED_RUNS):
        before()
        profile.runcall(run)
    total_s = median(plain_s)
    profiled_s = by_stage(pstats.Stats(profile).stats)  # type: ignore[attr-defined]
    whole_s = sum(profiled_s.values())
    stages = [StageTime(name, total_s * seconds / whole_s, seconds / whole_s) for name, seconds in profiled_s.items()]
    return total_s, sorted(stages, key=lambda stage: -stage.cpu_s)


def by_stage(stats: Mapping[Function, Times]) -> dict[str, float]:
    """Return seconds by stage: those of a function outside this project go to its callers, as they took them."""
    shares: dict[Function, dict[str, float]] = {}

    def shares_of(function: Function, above: frozenset[Function]) -> dict[str, float]:
        """Return which part of a function's own time belongs to each stage."""
        known = _stage_of(function)
        if known is not None:
            return {known: 1.0}
        if function in shares:
            return shares[function]
        callers = {caller: times for caller, times in stats[function][4].items() if caller not in above}
        whole_s = sum(times[2] for times in callers.values())
        found: dict[str, float] = defaultdict(float)
        for caller, times in callers.items():
            part = times[2] / whole_s if whole_s else 1 / len(callers)
            for stage, share in shares_of(caller, above | {function}).items():
                found[stage] += part * share
        if not above:  # inside a cycle it is not the whole truth
            shares[function] = found
        return found or {DRIVER: 1.0}

    seconds: dict[str, float] = defaultdict(float)
    for function, (_, _, own_s, _, _) in stats.items():
        for stage, share in shares_of(function, frozenset()).items():
            seconds[stage] += own_s * share
    return dict(seconds)


def _stage_of(function: Function) -> str | None:
    """Return the stage of a function of this project, or of one of the calls that count by themselves."""
    path, _, name = function
    for part, stage in _LIBRARY_CALLS:
        if part in name:
            return stage
    if "/etl_ray/orchestrators/staged_rows" in path and "read" in name:
        return LOAD
    return next((stage for begin, stage in _MODULES if f"/{begin}" in path), None)


def stage_table(stages: Sequence[StageTime], limits: Sequence[Limit], mb: float) -> str:
    """Return stages as Markdown, each beside what does the least that it has to do."""
    by_name = {limit.name: limit for limit in limits}
    rows = []
    for stage in stages:
        alone, why = _BOUNDS[stage.name]
        limit_s = None if alone is None else by_name[alone].seconds
        held = ("", "", "") if limit_s is None else (str(alone), f"{limit_s:.4f}", f"{stage.cpu_s / limit_s:.1f}")
        rows.append((stage.name, f"{stage.cpu_s:.4f}", f"{stage.share:.0%}", f"{mb / stage.cpu_s:,.0f}", *held, why))
    header = ("stage", "CPU s", "share", "raw MB/s", "held to", "its s", "times as long", "what bounds it")
    return table(header, rows)


if __name__ == "__main__":
    sys.exit(main())
