"""How much faster one product's books are built by several workers, which replay its shards at the same time.

    python -m tests.benchmarks.parallel_books [--mb N] [--runs N] [--workers 1,2,4]

One product, one connection, one snapshot at the beginning. Stages 1 and 2 are done once; then stage 3 alone is done by
one worker in the order of the shards, which is the sequential replay, and by pools of workers that take shards as they
come. All give the same bytes, which is checked. Then the whole job, in this process and on as many workers of Ray.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from etl_ray.config import CHANNELS, JobConfig
from etl_ray.job import ETLJob
from etl_ray.orchestrators.book_build import BookBuildOptions
from etl_ray.orchestrators.books import plan_books
from etl_ray.orchestrators.compose import ComposeOptions, compose
from etl_ray.orchestrators.cuts import Cuts
from etl_ray.orchestrators.messages import pack, to_json
from etl_ray.orchestrators.normalize import NormalizeOptions, Normalizer
from etl_ray.orchestrators.selection import Selection
from etl_ray.orchestrators.stitch import stitch
from etl_ray.orchestrators.work import work
from etl_ray.readers.segments import find_segments, plan_units
from etl_ray.sample import SampleOptions, write_sample
from etl_ray.tables import TABLES
from etl_ray.venues import VENUES

VENUE = VENUES["coinbase"]
OPERATIONS_PER_SHARD = 100_000


@dataclass(frozen=True)
class Prepared:
    """Packed shards of the books of an input, and where they are staged."""

    shards: tuple[bytes, ...]
    operations: int
    staging: str
    output: Path

    def options(self) -> bytes:
        """Return the options of stage 3, for an output of its own."""
        columns = JobConfig().level2.columns
        return to_json(
            BookBuildOptions(
                staging=self.staging,
                output=str(self.output),
                numbers="float64",
                rows_per_group=65_536,
                columns=columns,
                interval_ns=0,
                skip_empty=False,
                trust_beat=False,
                start_ns=None,
                end_ns=None,
            )
        )


def prepare(input_dir: Path, place: Path) -> Prepared:
    """Do stages 1 and 2."""
    units = plan_units(find_segments(str(input_dir)), 4_000_000)
    columns = {table: TABLES[table].partition_cols for table in TABLES}
    options = NormalizeOptions(
        venue="coinbase",
        tables=("level2",),
        selection=Selection(("l2_data",)),
        numbers="float64",
        partition_cols=columns,
        block_bytes=2_000_000,
        max_line_bytes=16_000_000,
        staging=str(place / "staging"),
        books=True,
    )
    normalizer = Normalizer(options)
    receipts = [normalizer.run(unit) for unit in units]
    stitched = stitch(
        units, receipts, staging=options.staging, partition_cols=columns, rows_per_file=4_000_000, cuts=Cuts()
    )
    (plan,) = plan_books(receipts, stitched, VENUE.channels.index("l2_data"), Cuts()).plans
    shards = compose(
        plan, ComposeOptions(options.staging, OPERATIONS_PER_SHARD, interval_ns=0, trust_beat=False, keep_days=2)
    ).shards
    return Prepared(
        tuple(pack(shard) for shard in shards),
        sum(shard.operations for shard in shards),
        options.staging,
        place / "tables",
    )


def replay(options: bytes, shard: bytes) -> int:
    """Replay a shard in a worker; return its process."""
    work("replay", options, shard)
    return os.getpid()


def _all_shards(pool: ProcessPoolExecutor, options: bytes, prepared: Prepared) -> None:
    list(pool.map(replay, [options] * len(prepared.shards), prepared.shards))


def digest(output: Path) -> str:
    """Return a hash of all files below a directory."""
    found = hashlib.sha256()
    for path in sorted(output.rglob("*.parquet")):
        found.update(str(path.relative_to(output)).encode() + path.read_bytes())
    return found.hexdigest()


def timed(action: Callable[[], object]) -> float:
    """Return the seconds that something takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def main() -> int:
    """Measure and print; return 1 if outputs differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=float, default=200, help="about how many MB to generate")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--workers", default="1,2,4", help="sizes of the pools")
    parser.add_argument("--work", help="where input and outputs go meanwhile")
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.workers.split(",")]
    with tempfile.TemporaryDirectory(prefix="etl-ray-bench-", dir=arguments.work) as name:
        place = Path(name)
        rate = 400.0
        options = SampleOptions(
            minutes=arguments.mb / 21, products=("BTC-USD",), rate=rate, connections=1, segment_mb=32, levels=20_000
        )
        written = write_sample(str(place / "input"), options)
        prepared = prepare(place / "input", place)
        print(
            f"{written.bytes / 1e6:.0f} MB, {prepared.operations:,} operations in {len(prepared.shards)} shards, "
            f"{os.cpu_count()} CPUs"
        )
        agree = stage_three(prepared, sizes, arguments.runs)
        whole_job(place, sizes, written.bytes)
    return 0 if agree else 1


def stage_three(prepared: Prepared, sizes: list[int], runs: int) -> bool:
    """Print seconds and ratios of stage 3; return whether all gave the same bytes."""
    options = prepared.options()
    digests, medians = set(), {}
    pools = {size: ProcessPoolExecutor(size, mp_context=get_context("spawn")) for size in sizes}
    for pool in pools.values():  # load and compile
        list(pool.map(replay, [options] * 8, prepared.shards[:8]))
    taken: dict[int, list[float]] = {0: [], **{size: [] for size in sizes}}
    for _ in range(runs):
        taken[0].append(timed(lambda: [work("replay", options, shard) for shard in prepared.shards]))
        digests.add(digest(prepared.output))
        for size, pool in pools.items():
            taken[size].append(timed(partial(_all_shards, pool, options, prepared)))
            digests.add(digest(prepared.output))
    for pool in pools.values():
        pool.shutdown()
    medians = {size: statistics.median(seconds) for size, seconds in taken.items()}
    print("\n| stage 3 alone | s | times the sequential replay | M operations/s |\n| --- | ---: | ---: | ---: |")
    for size, seconds in medians.items():
        who = f"{size} worker{'s' if size > 1 else ''}" if size else "sequential"
        ratio, speed = medians[0] / seconds, prepared.operations / seconds / 1e6
        print(f"| {who} | {seconds:.2f} | {ratio:.2f} | {speed:.2f} |")
    print(f"\nBytes of all: {'the same' if len(digests) == 1 else 'DIFFERENT'}")
    return len(digests) == 1


def whole_job(place: Path, sizes: list[int], total: int) -> None:
    """Print seconds of the whole job, in this process and on Ray."""
    import ray

    os.environ["RAY_AUTH_MODE"] = "disabled"
    base: dict[str, object] = {
        "channels": {name: {"enabled": name == "level2"} for name in CHANNELS},
        "staging": {"unit_mb": 4, "block_mb": 2, "rows_per_file": OPERATIONS_PER_SHARD},
    }
    print("\n| the whole job | s | MB/s |\n| --- | ---: | ---: |")
    for size in (0, *sizes):
        config = {**base, "engine": "ray" if size else "local", "resources": {"memory_mb_per_task": 200}}
        if size:
            ray.init(address="local", num_cpus=size, log_to_driver=False, include_dashboard=False)
        output = place / f"out-{size}"
        job = ETLJob(str(place / "input"), str(output), config=JobConfig.model_validate(config))
        seconds = timed(job.process_all)
        if size:
            ray.shutdown()
        who = f"Ray, {size} worker{'s' if size > 1 else ''}" if size else "in this process"
        print(f"| {who} | {seconds:.1f} | {total / seconds / 1e6:.1f} |")


if __name__ == "__main__":
    raise SystemExit(main())
