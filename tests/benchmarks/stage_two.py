"""Stage 2 of a very large run, simulated: time and memory of stitching, and of composing books.

What a hundred thousand units would have staged is written down directly, with 20 of 500 products active in each; then
stitching and planning are run as the driver does, and the books of a few products are composed as a worker does.

    python -m tests.benchmarks.stage_two --units 100000
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from etl_ray.orchestrators.book_plans import BookPlan
from etl_ray.orchestrators.books import plan_books
from etl_ray.orchestrators.compose import ComposeOptions, compose
from etl_ray.orchestrators.cuts import Cuts
from etl_ray.orchestrators.messages import to_json
from etl_ray.orchestrators.numbered import _SCHEMA, MESSAGES_SECTION, numbered_path
from etl_ray.orchestrators.receipt_store import ReceiptStore
from etl_ray.orchestrators.receipts import (
    BookFiles,
    BookReceipt,
    Counts,
    NumberedFile,
    Receipt,
    StagedFile,
    StagedGroup,
    TradeIds,
)
from etl_ray.orchestrators.staged_books import (
    DELTAS_SECTION,
    OPERATIONS,
    BookIndex,
    StagedBook,
    StagedStretch,
    book_paths,
)
from etl_ray.orchestrators.staged_rows import GroupWriter
from etl_ray.orchestrators.staging import piece_path
from etl_ray.orchestrators.stitch import stitch
from etl_ray.readers.segments import Segment, Unit
from etl_ray.tables import TABLES
from etl_ray.venues import VENUES
from etl_ray.venues.rows import NULL

ALL_PRODUCTS, ACTIVE, MESSAGES, LEVELS = 500, 20, 400, 200
START_NS, UNIT_NS = 1_764_115_200_000_000_000, 4_000_000_000
MOST_LINKS = 30_000
DAY_NS = 86_400_000_000_000
TABLES_STAGED = ("level2", "market_trades", "ticker")
VENUE = VENUES["coinbase"]


def peak_mb() -> float:
    """Return the greatest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def products_of(unit: int) -> list[str]:
    """Return the products that are active in a unit."""
    return [f"P{(unit * 7 + k * 25) % ALL_PRODUCTS:03d}-USD" for k in range(ACTIVE)]


class Staging:
    """Writes what units would have staged; files that are the same for all of them are links to one."""

    def __init__(self, root: Path) -> None:
        self._root = root
        for folder in (
            "numbered",
            "book/operations",
            "book/deltas",
            "book/index",
        ):
            (root / folder).mkdir(parents=True)
        self._deltas = root / "deltas.rows"
        draw = np.random.default_rng(7)
        with self._deltas.open("wb") as file:
            writer = GroupWriter(file)
            for _ in range(ACTIVE):
                price = np.sort(draw.choice(100_000, LEVELS, replace=False))
                side = np.repeat(np.array([0, 1], np.int8), LEVELS // 2)
                columns = [side, price, draw.integers(0, 1000, LEVELS)]
                rows = pa.RecordBatch.from_arrays([pa.array(item) for item in columns], schema=OPERATIONS)
                writer.write(DELTAS_SECTION, rows)
            writer.finish()
        self._numbers = np.arange(MESSAGES)

    def unit(self, index: int) -> tuple[Unit, Receipt]:
        """Stage a unit."""
        identity = f"segment_{index:08d}.ndjson"
        unit = Unit(Segment(f"/none/{identity}", identity, 100_000_000, "1"))
        name = unit.name
        products = products_of(index)
        start_ns = START_NS + index * UNIT_NS
        columns = {
            "sequence_num": self._numbers + index * MESSAGES,
            "product": (self._numbers % ACTIVE).astype(np.int32),
            "heartbeat_counter": np.full(MESSAGES, NULL),
            "line": self._numbers + 1,
            "ts_server": start_ns + self._numbers * (UNIT_NS // MESSAGES),
            "channel": np.zeros(MESSAGES, np.int8),
        }
        with (self._root / numbered_path(name)).open("wb") as file:
            writer = GroupWriter(file)
            writer.write(
                MESSAGES_SECTION,
                pa.RecordBatch.from_arrays([pa.array(columns[key]) for key in _SCHEMA.names], schema=_SCHEMA),
            )
            writer.finish()
        if index and index % MOST_LINKS == 0:  # a file system allows so many
            self._deltas = Path(shutil.copy(self._deltas, f"{self._deltas}.{index}"))
        _, deltas, book_index = book_paths(unit.name)
        os.link(self._deltas, self._root / deltas)
        (self._root / book_index).write_bytes(to_json(self._index(products, start_ns)))
        return unit, self._receipt(unit, products, start_ns)

    def _index(self, products: list[str], start_ns: int) -> BookIndex:
        books = []
        for k, product in enumerate(products):
            stretch = StagedStretch(
                batches=(k,),
                scales=((2, 8),),
                delta=k,
                is_reset=False,
                price_scale=2,
                quantity_scale=8,
                operations=1000,
                messages=MESSAGES // ACTIVE,
                dates=(start_ns // DAY_NS,),
                clock=start_ns,
                first_line=k + 1,
                last_line=MESSAGES - ACTIVE + k + 1,
            )
            books.append(StagedBook(product, (stretch,)))
        return BookIndex(tuple(books))

    def _receipt(self, unit: Unit, products: list[str], start_ns: int) -> Receipt:
        date = str(np.datetime64(start_ns // DAY_NS, "D"))
        first_id = start_ns // 1_000_000
        groups = {
            table: tuple(
                StagedGroup((item,), 1000, TradeIds(first_id, first_id + 999, first_id))
                if table == "market_trades"
                else StagedGroup((item, date), 1000)
                for item in products
            )
            for table in TABLES_STAGED
        }
        files = tuple(StagedFile(table, piece_path(table, unit.name), 1, groups[table]) for table in TABLES_STAGED)
        numbered = NumberedFile(numbered_path(unit.name), 1, tuple(products))
        book = BookFiles(
            dict.fromkeys(book_paths(unit.name), 1),
            tuple(BookReceipt(item, 2, 8, 100_000, 1000, overflow=False) for item in products),
        )
        counts = Counts(lines=MESSAGES, accepted=MESSAGES)
        return Receipt(unit.name, counts, {"l2_data": MESSAGES}, numbered, files, None, book=book)


def main() -> None:
    """Simulate, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=100_000)
    parser.add_argument("--composed", type=int, default=5, help="products of which books are composed")
    parser.add_argument("--work", default=None, help="where what is staged goes meanwhile")
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="stage-two-", dir=arguments.work))
    try:
        measure(root, arguments.units, arguments.composed)
    finally:
        shutil.rmtree(root)


def measure(root: Path, count: int, composed: int) -> None:
    """Print a line of figures for each step."""
    started = time.perf_counter()
    staging, store, units = Staging(root), ReceiptStore(), []
    for index in range(count):
        unit, receipt = staging.unit(index)
        units.append(unit)
        store.add(receipt)
    print(
        f"staged {count:,} units with {ACTIVE} of {ALL_PRODUCTS} products each: {time.perf_counter() - started:.0f} s"
    )
    print(f"receipts in memory: peak {peak_mb():,.0f} MB")
    started, cpu = time.perf_counter(), time.process_time()
    columns = {table: TABLES[table].partition_cols for table in TABLES}
    receipts = store.in_order([unit.name for unit in units])
    stitched = stitch(units, receipts, staging=str(root), partition_cols=columns, rows_per_file=4_000_000, cuts=Cuts())
    shards = len(stitched.shards) + len(stitched.trades)
    print(
        f"stitch: {time.perf_counter() - started:.0f} s ({time.process_time() - cpu:.0f} s of CPU), "
        f"{shards:,} shards, {len(stitched.ids)} connections, peak {peak_mb():,.0f} MB"
    )
    started = time.perf_counter()
    plans = plan_books(receipts, stitched, VENUE.channels.index("l2_data"), Cuts()).plans
    print(f"plan: {time.perf_counter() - started:.0f} s, {len(plans)} products, peak {peak_mb():,.0f} MB")
    started = time.perf_counter()
    for plan in plans[:composed]:
        shards = compose_one(plan, root)
    seconds = (time.perf_counter() - started) / composed
    print(
        f"compose: {seconds:.1f} s a product of {len(plans[0].units):,} units, the last with {shards} shards, "
        f"peak {peak_mb():,.0f} MB; all {len(plans)} products are {seconds * len(plans) / 3600:.2f} CPU hours"
    )


def compose_one(plan: BookPlan, root: Path) -> int:
    """Compose the books of a product; return its number of shards."""
    options = ComposeOptions(str(root), 4_000_000, interval_ns=0, trust_beat=False, keep_days=2)
    return len(compose(plan, options).shards)


if __name__ == "__main__":
    main()
