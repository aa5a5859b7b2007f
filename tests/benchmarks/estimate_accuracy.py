"""How near estimates are: `etl_ray.plan` beside the job itself, over generated recordings and a real one.

CPU seconds, rows and bytes of OUTPUT that were predicted, as a percentage of what came; the job is run in this process
on one core, three times behind a first time that is not counted, and what counts is the median. The recordings are
others than those on which the rates were measured, but for the real one.

    python -m tests.benchmarks.estimate_accuracy --input FLOW
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path

import etl_ray
from etl_ray.config import JobConfig
from etl_ray.sample.options import SampleOptions
from etl_ray.sample.recording import write_sample
from tests.benchmarks.measurement import pin_to_one_core
from tests.benchmarks.stage_rates import DERIVED, measure

TEN = tuple(f"Q{number}-USD" for number in range(10))
SHAPES: dict[str, SampleOptions] = {
    "10 products, zst, 30 min": SampleOptions(seed=11, minutes=30, rate=8, products=TEN, compress="zst", segment_mb=32),
    "one product, gz, 20 min": SampleOptions(
        seed=12, minutes=20, rate=60, products=("BTC-USD",), compress="gz", segment_mb=64
    ),
    "10 products, plain, 10 min": SampleOptions(seed=13, minutes=10, rate=15, products=TEN, segment_mb=64),
}
NO_BOOKS = {"channels": {"level2": {"processor_options": {"reconstruct_lob": False}}}}
BY_SECOND = {"channels": {"level2": {"processor_options": {"emit": "1s", "depth": 5}}}}


def compare(name: str, source: Path, folder: Path, *, rounds: int, **config: object) -> None:
    """Print a line: what was predicted, as a percentage of what came."""
    settings = JobConfig.model_validate({"engine": "local", **config})
    told = etl_ray.plan(str(source), cores=1, config=settings)
    here = etl_ray.plan(str(source), cores=1, config=settings, calibrate=True)
    done, _ = measure(name, source, folder, rounds=rounds, **config)
    rows = {table: found[0] for table, found in done.tables.items() if table in told.tables}
    shares = (
        told.cpu_s / done.total_s,
        here.cpu_s / done.total_s,
        told.work.unpacked_bytes / (done.mb * 1e6),
        sum(told.tables[table].rows for table in rows) / sum(rows.values()),
        told.output_bytes / sum(found[2] for found in done.tables.values()),
        told.work.staged_bytes / done.staged_bytes,
    )
    read = told.sampled_bytes / told.work.stored_bytes
    print(
        f"| {name} | {done.mb:.0f} | {read:.0%} | " + " | ".join(f"{share:.0%}" for share in shares) + " |", flush=True
    )


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, help="a real recording, beside the generated ones")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", default=None)
    arguments = parser.parse_args()
    pin_to_one_core()
    os.environ["POLARS_MAX_THREADS"] = "1"
    print("| recording | MB | read | CPU | CPU, calibrated | unpacked | rows | OUTPUT | staged |")
    print("| --- |" + " ---: |" * 8)
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        for number, (name, options) in enumerate(SHAPES.items()):
            source = Path(folder) / f"shape-{number}"
            write_sample(str(source), options)
            compare(name, source, Path(folder), rounds=arguments.rounds)
            if number == 0:
                compare(f"{name}, no books", source, Path(folder), rounds=arguments.rounds, **NO_BOOKS)
                compare(f"{name}, books by second", source, Path(folder), rounds=arguments.rounds, **BY_SECOND)
                compare(f"{name}, derived", source, Path(folder), rounds=arguments.rounds, **DERIVED)
            shutil.rmtree(source)
        if arguments.input is not None:
            compare("real flow", arguments.input, Path(folder), rounds=arguments.rounds)
            compare("real flow, derived", arguments.input, Path(folder), rounds=arguments.rounds, **DERIVED)


if __name__ == "__main__":
    main()
