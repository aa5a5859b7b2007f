"""Formulae: from what a run has to do to CPU time, memory, requests, time on so many cores, money, and what limits it.

The cost of a stage is the sum of quantities times rates. Workers share it; it takes at least as long as its longest
piece. What the driver does between stages is done by nobody else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from etl_ray.config import JobConfig
from etl_ray.config.prices import Prices
from etl_ray.orchestrators.bundles import LONGEST_S
from etl_ray.orchestrators.expected_rows import BUILT
from etl_ray.orchestrators.rates import AT_ONCE, FILE_SIZES, PIECES_PER_UNIT, RATES, WINDOW_BYTES, Cost
from etl_ray.orchestrators.staging import staged_columns
from etl_ray.orchestrators.unit_options import staged_partitions
from etl_ray.orchestrators.workload import Workload
from etl_ray.tables import TABLES
from etl_ray.tables.book import BookColumns, book_table

SCHEDULED = 0.95
"""Share of the time of workers that is work: the rest is handing out tasks, and the end of stages."""
_S_PER_HOUR = 3600
_PRUNED_FILES = 2  # pieces of a unit that go when their days are over
Quantities = Mapping[str, float]


@dataclass(frozen=True)
class StageCost:
    """A stage: CPU seconds of all its items, seconds that they wait for answers, and its longest item, both in one.

    Requests are reads, writes and deletions.
    """

    name: str
    cpu_s: float
    wait_s: float
    longest_s: float
    reads: float
    writes: float
    deletes: float

    @property
    def work_s(self) -> float:
        """Seconds that one worker would take."""
        return self.cpu_s + self.wait_s

    def wall_s(self, cores: float) -> float:
        """Return how long it takes on so many cores."""
        return max(self.work_s / (cores * SCHEDULED), self.longest_s)


@dataclass(frozen=True)
class Limit:
    """What part of the time has to do with something, and in words how."""

    name: str
    share: float
    text: str


def output_bytes(work: Workload, columns: BookColumns) -> dict[str, int]:
    """Return the expected bytes of each table's files."""
    found = {}
    for table, rows in work.rows.items():
        size = FILE_SIZES[table]
        width = len(book_table(columns).columns) / len(book_table(BookColumns()).columns) if table == "book" else 1.0
        found[table] = round((rows * size.row + work.files.get(table, 0) * size.file) * width)
    return found


def quantities(work: Workload, config: JobConfig, sizes: Mapping[str, int]) -> dict[str, Quantities]:
    """Return what the costs of each stage depend on, as RATES names it; `sizes` are those of tables."""
    groups, staged, products = work.groups, work.staged_rows, work.products
    parted = staged_partitions(config)
    days, files = work.days, work.files
    built = {table: staged[table] for table in BUILT if table in staged}
    found: dict[str, Quantities] = {
        "normalize": {
            "mb": work.unpacked_bytes / 1e6,
            "zst_mb": work.unpacked.get("zstd", 0) / 1e6,
            "gz_mb": work.unpacked.get("gzip", 0) / 1e6,
            "mcells": sum(rows * len(staged_columns(table, parted[table])) for table, rows in staged.items()) / 1e6,
            "groups": sum(groups.values()),
            "book_mrows": work.operations / 1e6,
            "book_products": work.stretches,
            "units": work.units,
            "windows": work.stored_bytes / WINDOW_BYTES,
        },
        "build": {
            "mcells": sum(rows * len(TABLES[table].names) for table, rows in built.items()) / 1e6,
            "groups": sum(groups[table] for table in built),
            "files": sum(files.get(table, 0) for table in built),
        },
    }
    if staged.get("market_trades"):
        shards = files.get("market_trades", 1)
        trades = {"mrows": staged["market_trades"] / 1e6, "groups": groups["market_trades"], "shards": shards}
        found["trades"] = trades | {"files": shards}
    if staged.get("candles"):
        found["candles"] = {"groups": groups["candles"], "products": products, "files": files.get("candles", 0)}
    if work.operations:
        width = len(book_table(config.level2.columns).columns)
        found["compose"] = {
            "stretches": work.stretches,
            "moperations": work.operations / 1e6,
            "products": products,
        }
        found["books"] = {
            "moperations": work.operations / 1e6,
            "mcells": work.rows.get("book", 0) * width / 1e6,
            "stretches": work.stretches,
            "shards": work.book_shards,
            "files": 2 * work.book_shards,
        }
    found["witness"] = _witness(work, config, sizes)
    if config.derived.is_asked:
        read = sizes.get("market_trades", 0) + (sizes.get("book", 0) if config.derived.needs_books else 0)
        made = sum(files.get(table, 0) for table in ("bars", "trades_with_book", "features"))
        # A task reads the dates around its own as well.
        around = min(3, days) if config.derived.needs_books else 1
        found["derive"] = {"mb": read * around / 1e6, "tasks": products * days, "files": made}
    old_days = max(0, days - config.staging.keep_days) / days
    found["driver"] = {
        "runs": 1,
        "segments": work.segments,
        "units": work.units,
        "old_pieces": work.units * old_days * _PRUNED_FILES,
        "groups": sum(groups.values()) + work.stretches,
        "messages": work.messages,
        "files": sum(files.values()),
    }
    return found


def _witness(work: Workload, config: JobConfig, sizes: Mapping[str, int]) -> Quantities:
    tickers = work.operations and work.staged_rows.get("ticker") and not config.level2.interval_ns
    candles = work.staged_rows.get("candles") and work.staged_rows.get("market_trades")
    tasks = work.products * work.days
    return {
        "mb": (sizes.get("book", 0) + sizes.get("ticker", 0)) / 1e6 if tickers else 0.0,
        "tasks": tasks if tickers else 0,
        "candle_mb": (sizes.get("candles", 0) + sizes.get("market_trades", 0)) / 1e6 if candles else 0.0,
        "candle_tasks": tasks if candles else 0,
    }


def stage_costs(
    work: Workload, found: Mapping[str, Quantities], *, request_s: float, slowness: float = 1.0
) -> dict[str, StageCost]:
    """Return what each stage costs on a machine that takes `slowness` times as long; an answer takes `request_s`."""
    costs = {}
    for stage, amounts in found.items():
        total = _cost(stage, amounts)
        wait_s = (total.reads + total.writes + total.deletes) * request_s / AT_ONCE.get(stage, 1)
        cpu_s = total.cpu_s * slowness
        longest = (cpu_s + wait_s) * longest_share(stage, work, amounts)
        costs[stage] = StageCost(stage, cpu_s, wait_s, longest, total.reads, total.writes, total.deletes)
    return costs


def _cost(stage: str, amounts: Quantities) -> Cost:
    rates = RATES[stage]
    return Cost(
        *(
            sum(amount * getattr(rates[name], field) for name, amount in amounts.items())
            for field in ("cpu_s", "reads", "writes", "deletes")
        )
    )


def longest_share(stage: str, work: Workload, amounts: Quantities) -> float:
    """Return which share of a stage its longest item is."""
    if stage == "driver":
        return 1.0
    if stage == "normalize":
        return work.largest_unit_bytes / work.unpacked_bytes if work.unpacked_bytes else 0.0
    if stage == "compose":
        return min(1.0, max(1 / max(1, work.products), min(1.0, work.units / max(1, work.stretches))))
    if stage == "candles":
        return 1 / max(1, work.products)
    if stage in ("witness", "derive"):
        return max(work.largest_share, 1 / max(1, work.products)) / work.days
    items = amounts.get("shards") or amounts.get("files") or 1
    return 1 / max(1.0, items)


def wall_s(costs: Mapping[str, StageCost], cores: float) -> float:
    """Return the time from start to commit."""
    return costs["driver"].work_s + sum(cost.wall_s(cores) for stage, cost in costs.items() if stage != "driver")


def useful_cores(costs: Mapping[str, StageCost]) -> int:
    """Return the cores above which more than half of the time goes into what cannot be divided."""
    divisible = sum(cost.work_s for stage, cost in costs.items() if stage != "driver")
    floor = costs["driver"].work_s + sum(cost.longest_s for stage, cost in costs.items() if stage != "driver")
    return max(1, math.floor(divisible / SCHEDULED / floor)) if floor else 1


def lists(work: Workload) -> float:
    """Return the requests that list INPUT once and the pieces of units twice."""
    return work.segments / 1000 + 2 * work.units * PIECES_PER_UNIT / 1000


def driver_mb(work: Workload) -> float:
    """Return the memory of the driver: receipts and shards are packed, a row group takes some 90 bytes."""
    return 250 + work.units * 2e-3 + (sum(work.groups.values()) + work.stretches) * 90e-6


def rework_share(costs: Mapping[str, StageCost], prices: Prices) -> float:
    """Return which share of the work is done twice: a lost node costs what its cores had in hand, half on average.

    That is a bundle of items, or the longest of them.
    """
    workers = [cost for stage, cost in costs.items() if stage != "driver"]
    work_s = sum(cost.work_s for cost in workers)
    in_hand_s = sum(cost.work_s * max(LONGEST_S, cost.longest_s) for cost in workers)
    return prices.losses_per_hour * in_hand_s / work_s / 2 / _S_PER_HOUR if work_s else 0.0


def limits(
    costs: Mapping[str, StageCost], work: Workload, cores: float, *, prices: Prices, request_s: float
) -> tuple[Limit, ...]:
    """Return what takes the time, the greatest first."""
    total_s = wall_s(costs, cores) or 1.0
    driver = costs["driver"]
    workers = [cost for stage, cost in costs.items() if stage != "driver"]
    listing_s = lists(work) * request_s
    straggling = sum(max(0.0, cost.longest_s - cost.work_s / (cores * SCHEDULED)) for cost in workers)
    shared = [min(cost.work_s / (cores * SCHEDULED), cost.wall_s(cores)) for cost in workers]
    waiting = sum(s * cost.wait_s / cost.work_s for s, cost in zip(shared, workers, strict=True) if cost.work_s)
    found = (
        Limit("cores", (sum(shared) - waiting) / total_s, "work that more cores would do faster"),
        Limit("requests", waiting / total_s, "workers that wait for answers of the storage; more cores wait at once"),
        Limit("driver", (driver.work_s - listing_s) / total_s, "stitching, publishing and clearing, on one core"),
        Limit("listing", listing_s / total_s, "listing INPUT and the pieces of units"),
        Limit("stragglers", straggling / total_s, "waiting for the longest piece of a stage"),
        Limit("losses", rework_share(costs, prices), "work done twice, for nodes that are taken away"),
    )
    return tuple(sorted(found, key=lambda limit: -limit.share))
