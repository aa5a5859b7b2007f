"""The metadata of a very large run on a fake file system: time and memory of planning, resuming and committing.

A hundred thousand segments, 20 of 500 products active in each, and what their units would have staged exist by name and
size only; receipts are made up when they are read. Measured is what the driver of a run does with them:

    python -m tests.benchmarks.many_segments --segments 100000

plan: find the segments and cut them into units. resume: take up a run that died behind its last unit, that is list a
million staged pieces and read all receipts. commit: write receipts, results and the manifest. again: read what is
committed, and find that there is nothing to do. append: plan and check a run with one more segment.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

from etl_ray.config import JobConfig
from etl_ray.orchestrators.committed import read_committed
from etl_ray.orchestrators.manifest import Ledger, Manifest
from etl_ray.orchestrators.messages import to_json
from etl_ray.orchestrators.numbered import numbered_path
from etl_ray.orchestrators.receipt_files import write_receipts
from etl_ray.orchestrators.receipt_store import ReceiptStore
from etl_ray.orchestrators.receipts import (
    BookFiles,
    BookReceipt,
    Built,
    BuiltFile,
    Counts,
    NumberedFile,
    Receipt,
    StagedFile,
    StagedGroup,
    TradeIds,
    sum_counts,
)
from etl_ray.orchestrators.results import Cut, Result, key_of, write_results
from etl_ray.orchestrators.resume import finished_units
from etl_ray.orchestrators.run_plan import RunPlan, plan_run
from etl_ray.orchestrators.staged_books import book_paths
from etl_ray.orchestrators.staging import piece_path
from etl_ray.readers.segments import find_segments

ALL_PRODUCTS, ACTIVE, SIZE = 500, 20, 1000
TABLES_STAGED = ("level2", "market_trades", "ticker")
START_NS, UNIT_NS, DAY_NS = 1_764_115_200_000_000_000, 60_000_000_000, 86_400_000_000_000
INPUT, STAGED = "faked://recording", "faked://staged/000001"

UNIT = b"the-unit"

Done = TypeVar("Done")


def name_of(index: int) -> str:
    """Return the name of a segment."""
    return f"segment_{index:08d}.ndjson.zst"


class FakedFileSystem(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Segments, staged pieces and receipts by name and size; what is written is kept in memory."""

    protocol = "faked"
    store: dict[str, object] = {}  # noqa: RUF012  # as in the base class
    pseudo_dirs = [""]  # noqa: RUF012
    segments = 0
    units: tuple[str, ...] = ()

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("faked://").strip("/")

    def _faked(self, path: str) -> list[str] | None:
        """Return the names below a directory that exist only here."""
        folder = path.strip("/")
        if folder == "recording":
            return [name_of(index) for index in range(self.segments)]
        staged = STAGED.partition("://")[2]
        if not folder.startswith(staged) or not self.units:
            return None
        suffix = pieces().get(folder.removeprefix(staged).strip("/"))
        return None if suffix is None else [f"{unit}{suffix}" for unit in self.units]

    def find(self, path: str, **options: object) -> object:
        found = self._faked(path)
        if found is None:
            return super().find(path, **options)
        folder = path.strip("/")
        return {f"/{folder}/{name}": self._entry(f"/{folder}/{name}") for name in found}

    def info(self, path: str, **options: object) -> object:
        if self._faked(path) is not None:
            return {"name": path, "size": 0, "type": "directory"}
        return super().info(path, **options)

    def cat_file(self, path: str, **options: object) -> object:
        if "/receipts/segment" in path:
            unit = path.rpartition("/")[2].removesuffix(".json")
            return template(int(unit[len("segment_") :][:8]) % ALL_PRODUCTS).replace(UNIT, unit.encode())
        return super().cat_file(path, **options)

    def _entry(self, name: str) -> dict[str, object]:
        return {"name": name, "size": SIZE, "type": "file", "ETag": "1"}


@cache
def pieces() -> dict[str, str]:
    """Return the folders of staged pieces with the suffixes of their files."""
    of_tables = (piece_path(table, "x") for table in TABLES_STAGED)
    paths = (*of_tables, numbered_path("x"), *book_paths("x"), "receipts/x.json")
    return {path.rpartition("/")[0]: f".{path.rpartition('.')[2]}" for path in paths}


@cache
def template(index: int) -> bytes:
    """Return the receipt of a unit, which is called UNIT in it."""
    return to_json(receipt_of(UNIT.decode(), index))


def receipt_of(unit: str, index: int) -> Receipt:
    """Return what a unit would have left behind."""
    start_ns = START_NS + index * UNIT_NS
    date = f"day-{start_ns // DAY_NS}"
    products = [f"P{(index * 7 + k * 25) % ALL_PRODUCTS:03d}-USD" for k in range(ACTIVE)]
    ids = TradeIds(index * SIZE, index * SIZE + 999, index * SIZE)
    return Receipt(
        unit=unit,
        counts=Counts(lines=SIZE, accepted=SIZE),
        messages={"l2_data": SIZE},
        numbered=NumberedFile(numbered_path(unit), SIZE, tuple(products)),
        files=tuple(
            StagedFile(
                table,
                piece_path(table, unit),
                SIZE,
                tuple(
                    StagedGroup((item,), SIZE, ids) if table == "market_trades" else StagedGroup((item, date), SIZE)
                    for item in products
                ),
            )
            for table in TABLES_STAGED
        ),
        damage=None,
        book=BookFiles(
            dict.fromkeys(book_paths(unit), SIZE),
            tuple(BookReceipt(item, 2, 8, 100_000, 1000, overflow=False) for item in products),
        ),
        ts_min=start_ns,
        ts_max=start_ns + UNIT_NS - 1,
    )


def timed(name: str, work: Callable[[], Done]) -> Done:
    """Do some work and print how long it took, and the greatest memory so far."""
    started, cpu = time.perf_counter(), time.process_time()
    done = work()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    print(f"| {name} | {seconds:.1f} s | {cpu_s:.1f} s | {peak_mb:,.0f} MB |")
    return done


def commit(ledger: Ledger, plan: RunPlan, store: ReceiptStore) -> Manifest:
    """Commit a run of which every product has a file of each table on each day."""
    days = max(1, FakedFileSystem.segments * UNIT_NS // DAY_NS)
    results, files = [], []
    for table in (*TABLES_STAGED, "book", "book_checkpoints"):
        for product in range(ALL_PRODUCTS):
            for day in range(days):
                key = key_of(table, str(product), str(day))
                path = f"{table}/product_id=P{product:03d}-USD/date=day-{day}/part-00000-{key[:12]}.parquet"
                files.append(BuiltFile(table, path, SIZE, SIZE, key * 2, START_NS, START_NS))
                results.append(Result("build", key, Cut(begin=key, end=key), to_json(Built((files[-1],)))))
    write_receipts(f"{ledger.own}/receipts/000001.parquet", plan.units, store)
    write_results(f"{ledger.own}/results/000001.parquet", results)
    manifest = Manifest(
        number=1,
        run_id=plan.run_id,
        program="",
        semantic="{}",
        start_ns=None,
        end_ns=None,
        sources=(INPUT,),
        inputs=plan.inputs,
        files=tuple(files),
        counts=sum_counts(item.counts for item in store.facts.values()),
        messages={},
        damaged=(),
        findings=(),
        receipts=("receipts/000001.parquet",),
        results="results/000001.parquet",
        staged="000001",
    )
    ledger.commit(manifest)
    return manifest


def first(ledger: Ledger, segments: int) -> str:
    """Take up a run that died before its commit, and commit it; return its id."""
    plan = timed("plan", lambda: plan_run(find_segments(INPUT), JobConfig(), None, output="OUTPUT"))
    FakedFileSystem.units = tuple(unit.name for unit in plan.units)
    store = timed("resume", lambda: finished_units(plan.units, STAGED, ReceiptStore(), (), (), print))
    if len(store) != segments:
        raise AssertionError(f"{len(store):,} units were found finished, expected {segments:,}")
    timed("commit", lambda: commit(ledger, plan, store))
    return plan.run_id


def later(ledger: Ledger, run_id: str) -> None:
    """Find that there is nothing to do."""
    committed = read_committed(ledger, ledger.manifest(1), print)
    found = plan_run(find_segments(INPUT), JobConfig(), committed, output="OUTPUT")
    if found.run_id != run_id:
        raise AssertionError("another run, expected the same")


def append(ledger: Ledger) -> None:
    """Find that there is one segment more."""
    FakedFileSystem.segments += 1
    committed = read_committed(ledger, ledger.manifest(1), print)
    found = plan_run(find_segments(INPUT), JobConfig(), committed, output="OUTPUT")
    finished = finished_units(found.units, STAGED, committed.receipts, (), (), print)
    if (len(found.units), len(finished)) != (FakedFileSystem.segments, FakedFileSystem.segments - 1):
        raise AssertionError(f"{len(found.units)} units, {len(finished)} of them finished")


def measure(segments: int, output: str) -> None:
    """Print a line of figures for each step."""
    fsspec.register_implementation("faked", FakedFileSystem, clobber=True)
    FakedFileSystem.segments = segments
    ledger = Ledger(output)
    print(f"{segments:,} segments, {ACTIVE} of {ALL_PRODUCTS} products active in each\n")
    print("| step | time | CPU | peak memory |\n| --- | --- | --- | --- |")
    run_id = first(ledger, segments)
    timed("again", lambda: later(ledger, run_id))
    timed("append", lambda: append(ledger))


def main() -> None:
    """Simulate, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segments", type=int, default=100_000)
    with tempfile.TemporaryDirectory() as output:
        measure(parser.parse_args().segments, output)


if __name__ == "__main__":
    main()
