"""What the stages of a run cost: CPU seconds per MB, cell, row group and item, as `orchestrators/rates.py` has them.

Generated recordings of several shapes, and a real one if it is named, go through the whole job in this process, on one
core. Every item of every stage is timed; then the costs of a stage are fitted to what its items were made of, by least
squares of relative errors with no cost below zero. The least of several rounds counts: other work only adds to it.

    python -m tests.benchmarks.stage_rates --input FLOW

Behind the rates stand the bytes per row of each table, and how far the fitted costs are from the measured ones.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from etl_ray.config import CHANNELS, JobConfig
from etl_ray.job import ETLJob
from etl_ray.orchestrators import run as run_module
from etl_ray.orchestrators.book_build import BuiltBook
from etl_ray.orchestrators.book_plans import BookPlan, BookShard, ComposedBook
from etl_ray.orchestrators.candle_build import CandleShard
from etl_ray.orchestrators.candle_witness import CandleTask
from etl_ray.orchestrators.derive_plan import DeriveTask
from etl_ray.orchestrators.finished import Finished
from etl_ray.orchestrators.manifest import OWN, Ledger
from etl_ray.orchestrators.messages import from_json
from etl_ray.orchestrators.receipts import Receipt
from etl_ray.orchestrators.shards import Shard
from etl_ray.orchestrators.staging import staged_columns
from etl_ray.orchestrators.trade_shards import TradeShard
from etl_ray.orchestrators.unit_options import staged_partitions
from etl_ray.orchestrators.witness import WitnessTask
from etl_ray.orchestrators.work import Stage, work
from etl_ray.readers.segments import Unit
from etl_ray.sample.options import SampleOptions
from etl_ray.sample.recording import write_sample
from etl_ray.tables import TABLES
from etl_ray.tables.book import BookColumns, book_table
from tests.benchmarks.measurement import pin_to_one_core

PARTED = staged_partitions(JobConfig())
MANY = tuple(f"P{number:02d}-USD" for number in range(40))
SHAPES: dict[str, SampleOptions] = {
    "three products, plain": SampleOptions(minutes=8, rate=20),
    "three products, zst": SampleOptions(minutes=8, rate=20, compress="zst"),
    "three products, gz": SampleOptions(minutes=8, rate=20, compress="gz"),
    "three products, large zst": SampleOptions(minutes=12, rate=40, compress="zst", segment_mb=128),
    "40 products, zst": SampleOptions(minutes=6, rate=4, products=MANY, compress="zst"),
}
PARSED = {"channels": {name: {"enabled": name == "heartbeats"} for name in CHANNELS}}
DERIVED = {"derived": {"bars": ["1s", "1m"], "trades_with_book": True, "features": "1s"}}
Features = dict[str, float]


@dataclass
class Items:
    """What the items of a stage were made of, and their CPU seconds in each round."""

    features: list[Features] = field(default_factory=list)
    cpu_s: list[list[float]] = field(default_factory=list)


class TimedEngine:
    """Works in this process, and notes what each item took."""

    def __init__(self, columns: BookColumns) -> None:
        self.items: dict[str, Items] = defaultdict(Items)
        self.total_s = 0.0
        self._columns = columns

    def run(self, stage: Stage, options: bytes, items: Sequence[tuple[bytes, int]]) -> Iterator[tuple[int, bytes]]:
        for index, (item, _) in enumerate(items):
            began_s = time.process_time()
            result = work(stage, options, item)
            cpu_s = time.process_time() - began_s
            self.total_s += cpu_s
            found = self.items[stage]
            found.features.append(features_of(stage, item, result, self._columns))
            found.cpu_s.append([cpu_s])
            yield index, result

    def count(self, stage: str, item: Finished) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def features_of(stage: Stage, item: bytes, result: bytes, columns: BookColumns) -> Features:
    """Return what the costs of an item depend on; rows and cells in millions."""
    if stage == "normalize":
        return _of_unit(from_json(Unit, item), from_json(Receipt, result))
    if stage == "build":
        shard = from_json(Shard, item)
        return {"mcells": shard.rows * _width(shard.table) / 1e6, "groups": len(shard.pieces), "files": 1}
    if stage == "trades":
        trades = from_json(TradeShard, item)
        return {"mrows": trades.rows / 1e6, "groups": len(trades.pieces), "shards": 1}
    if stage == "candles":
        return {"groups": len(from_json(CandleShard, item).staged.pieces), "products": 1}
    if stage == "compose":
        shards = from_json(ComposedBook, result).shards
        stretches = sum(len(shard.stretches) for shard in shards)
        operations = sum(shard.operations for shard in shards)
        return {"stretches": stretches, "moperations": operations / 1e6, "products": 1, "_units": len(_units(item))}
    if stage == "replay":
        book = from_json(BookShard, item)
        rows = sum(file.rows for file in from_json(BuiltBook, result).files if file.table == "book")
        return {
            "moperations": book.operations / 1e6,
            "mcells": rows * len(book_table(columns).columns) / 1e6,
            "stretches": len(book.stretches),
            "shards": 1,
        }
    kinds = {"witness": WitnessTask, "candle_witness": CandleTask, "derive": DeriveTask}
    return {"mb": from_json(kinds[stage], item).bytes / 1e6, "tasks": 1}  # type: ignore[attr-defined]


def _units(item: bytes) -> tuple[object, ...]:
    return from_json(BookPlan, item).units


def _width(table: str) -> int:
    return len(TABLES[table].names)


def _of_unit(unit: Unit, receipt: Receipt) -> Features:
    mb = receipt.counts.bytes / 1e6
    staged = {file.table: sum(group.rows for group in file.groups) for file in receipt.files}
    cells = sum(rows * len(staged_columns(table, PARTED[table])) for table, rows in staged.items())
    return {
        "mb": mb,
        "zst_mb": mb if unit.segment.url.endswith(".zst") else 0.0,
        "gz_mb": mb if unit.segment.url.endswith(".gz") else 0.0,
        "mcells": cells / 1e6,
        "groups": sum(len(file.groups) for file in receipt.files),
        "book_mrows": staged.get("level2", 0) / 1e6 if receipt.book else 0.0,
        "book_products": len(receipt.book.products) if receipt.book else 0,
        "units": 1,
    }


@dataclass(frozen=True)
class Measured:
    """A run: CPU seconds of all and of its driver; of each table rows, files and bytes."""

    name: str
    total_s: float
    driver_s: float
    units: int
    files: int
    mb: float
    staged_bytes: int
    tables: Mapping[str, tuple[int, int, int]]


def measure(name: str, source: Path, work_dir: Path, *, rounds: int, **config: object) -> tuple[Measured, TimedEngine]:
    """Run the job `rounds` times over a recording, and once before that is not counted."""
    settings = JobConfig.model_validate({"engine": "local", **config})
    engines, totals = [], []
    for turn in range(rounds + 1):
        output = work_dir / "output"
        engine = TimedEngine(settings.level2.columns)
        with _in_place(engine):
            began_s = time.process_time()
            summary = ETLJob(str(source), str(output), config=settings).process_all()
            cpu_s = time.process_time() - began_s
        manifest = Ledger(str(output)).latest()
        assert manifest is not None
        staged = sum(path.stat().st_size for path in (output / OWN / "staged").rglob("*") if path.is_file())
        shutil.rmtree(output)
        if turn:
            engines.append(engine)
            totals.append((cpu_s, cpu_s - engine.total_s))
    first = engines[0]
    for stage, items in first.items.items():
        for index, cpu in enumerate(items.cpu_s):
            cpu.extend(engine.items[stage].cpu_s[index][0] for engine in engines[1:])
    tables = {
        table: (sum(file.rows for file in files), len(files), sum(file.bytes for file in files))
        for table in TABLES
        if (files := [file for file in manifest.files if file.table == table])
    }
    total_s, driver_s = (min(each) for each in zip(*totals, strict=True))
    mb = summary.bytes / 1e6
    return Measured(name, total_s, driver_s, summary.segments, len(manifest.files), mb, staged, tables), first


@contextmanager
def _in_place(engine: TimedEngine) -> Iterator[None]:
    before = run_module.choose_engine
    run_module.choose_engine = lambda *_: engine  # type: ignore[assignment]
    try:
        yield
    finally:
        run_module.choose_engine = before


def fit(items: Items) -> tuple[dict[str, float], float, float]:
    """Return the cost of each feature, and the sums of fitted and of measured seconds."""
    names = [name for name in dict.fromkeys(key for found in items.features for key in found) if name[0] != "_"]
    seconds = np.array([min(cpu) for cpu in items.cpu_s])
    table = np.array([[found.get(name, 0.0) for name in names] for found in items.features])
    return _fit(names, table, seconds, least=0.01)


def fit_bytes(runs: Sequence[Measured], table: str) -> tuple[dict[str, float], float, float]:
    """Return what a row and a file of a table take, and the sums of fitted and of measured bytes."""
    found = np.array([run.tables[table] for run in runs if table in run.tables], float)
    return _fit(["row", "file"], found[:, :2], found[:, 2], least=1000.0)


def _fit(
    names: list[str], table: npt.NDArray[np.float64], seconds: npt.NDArray[np.float64], *, least: float
) -> tuple[dict[str, float], float, float]:
    """Fit costs that are not below zero by relative errors; what is less than `least` is noise."""
    weight = 1 / (seconds + least)
    used = list(range(len(names)))
    while True:
        costs = np.linalg.lstsq(table[:, used] * weight[:, None], seconds * weight, rcond=None)[0]
        if (costs >= 0).all():
            break
        used.pop(int(costs.argmin()))
    fitted = dict.fromkeys(names, 0.0) | {names[k]: float(cost) for k, cost in zip(used, costs, strict=True)}
    return fitted, float((table[:, used] @ costs).sum()), float(seconds.sum())


def main() -> None:
    """Measure, fit and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, help="a real recording, beside the generated ones")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", default=None)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    pin_to_one_core()
    os.environ["POLARS_MAX_THREADS"] = "1"
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        report = measure_all(Path(folder), arguments.input, arguments.rounds)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1))


def measure_all(folder: Path, recording: Path | None, rounds: int) -> dict[str, object]:
    """Measure all shapes, print what they cost, and return it."""
    stages: dict[str, Items] = defaultdict(Items)
    runs: list[Measured] = []

    def add(name: str, source: Path, **config: object) -> None:
        found, engine = measure(name, source, folder, rounds=rounds, **config)
        runs.append(found)
        for stage, items in engine.items.items():
            stages[stage].features += items.features
            stages[stage].cpu_s += items.cpu_s

    for number, (name, options) in enumerate(SHAPES.items()):
        source = folder / f"shape-{number}"
        write_sample(str(source), options)
        add(name, source)
        if number < 3:
            add(f"{name}, parsed only", source, **PARSED)
        if number in (1, 4):
            no_books = {"channels": {"level2": {"processor_options": {"reconstruct_lob": False}}}}
            add(f"{name}, no books", source, **no_books)
            add(f"{name}, derived", source, **DERIVED)
        shutil.rmtree(source)
    if recording is not None:
        add("real flow", recording)
        add("real flow, derived", recording, **DERIVED)
    costs = {stage: fit(items) for stage, items in sorted(stages.items())}
    print("| stage | CPU s of | fitted / measured | items |\n| --- | --- | ---: | ---: |")
    for stage, (fitted, total_s, measured_s) in costs.items():
        shown = ", ".join(f"{name} {1e3 * cost:.4g} ms" for name, cost in fitted.items())
        print(f"| {stage} | {shown} | {total_s / measured_s:.3f} | {len(stages[stage].features)} |")
    print("\n| run | MB | CPU s | driver | units | files |\n| --- | ---: | ---: | ---: | ---: | ---: |")
    for run in runs:
        print(f"| {run.name} | {run.mb:.1f} | {run.total_s:.2f} | {run.driver_s:.3f} | {run.units} | {run.files} |")
    print("\n| table | bytes a row | bytes a file | fitted / measured | each run |\n| --- | ---: | ---: | ---: | --- |")
    sizes = {table: fit_bytes(runs, table) for table in TABLES if any(table in run.tables for run in runs)}
    for table, (found, fitted, measured) in sizes.items():
        each = ", ".join(f"{run.tables[table][2] / run.tables[table][0]:.1f}" for run in runs if table in run.tables)
        print(f"| {table} | {found['row']:.1f} | {found['file']:.0f} | {fitted / measured:.3f} | {each} |")
    return {
        "costs_s": {stage: found[0] for stage, found in costs.items()},
        "bytes": {table: found[0] for table, found in sizes.items()},
        "runs": [vars(run) for run in runs],
    }


if __name__ == "__main__":
    main()
