"""The tables of docs/sizing.md, computed by the formulae of `etl-ray plan`.

    python -m tests.sizing_tables

writes them into the page, between the comments that name them; tests/test_sizing.py holds the page to them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from etl_ray.cli.plan_report import data, duration
from etl_ray.config import JobConfig
from etl_ray.config.prices import Prices
from etl_ray.orchestrators.estimate import StageCost, rework_share
from etl_ray.orchestrators.rates import RATES
from etl_ray.orchestrators.run_estimate import Asked, RunEstimate, estimate
from etl_ray.orchestrators.sampling import Content, Head
from etl_ray.orchestrators.workload import Volume, blocks_of, workload
from etl_ray.readers.codecs import Codec

PAGE = Path(__file__).resolve().parent.parent / "docs" / "sizing.md"
MB, TB = 10**6, 10**12
ZST_RATIO = 23.5
"""Unpacked bytes per stored one of the real recording, as zstd has packed it."""
PRODUCTS = 20
BYTES_PER_S = 10 * MB
PER_MB = {"level2": 6134.0, "market_trades": 367.0, "ticker": 367.0, "heartbeats": 7.0}
LINES_PER_MB, BOOK_MESSAGES_PER_MB = 880.0, 138.0
LEVELS, SNAPSHOT_BYTES = 2000, 210_000  # of one product
"""What the real recording has in a MB; in a snapshot."""
STAGED_PER_MB, KEPT_PER_MB = 147_000, 35_000

_TABLE = re.compile(r"(<!-- table: ([\w-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class Case:
    """A recording and the cores for it."""

    name: str
    stored: int
    codec: Codec | None
    cores: int


CASES = tuple(
    Case(f"{name} {'.zst' if codec else 'plain'}", size, codec, cores)
    for name, size, cores in (("1 TB", TB, 100), ("100 TB", 100 * TB, 1000), ("1 PB", 1000 * TB, 1000))
    for codec in (None, "zstd")
)


def head(codec: Codec | None) -> Head:
    """Return a head like the real recording, as if it were of PRODUCTS products, the first ones with most messages."""
    mb = BYTES_PER_S / MB
    weights = [1 / (k + 1) for k in range(PRODUCTS)]
    shares = {f"P{k:02d}-USD": weight / sum(weights) for k, weight in enumerate(weights)}
    by_product = {
        table: {name: round(PER_MB[table] * mb * 1000 * share) for name, share in shares.items()}
        for table in ("level2", "market_trades", "ticker")
    }
    updates = Content(
        bytes=BYTES_PER_S * 1000,
        lines=round(LINES_PER_MB * mb * 1000),
        messages={"l2_data": round(BOOK_MESSAGES_PER_MB * mb * 1000), "other": round(742 * mb * 1000)},
        rows={table: round(count * mb * 1000) for table, count in PER_MB.items()},
        products=by_product,
        staged_bytes=round(STAGED_PER_MB * mb * 1000),
        kept_bytes=round(KEPT_PER_MB * mb * 1000),
    )
    snapshots = Content(
        bytes=SNAPSHOT_BYTES * PRODUCTS,
        rows={"level2": LEVELS * PRODUCTS},
        products={"level2": dict.fromkeys(shares, LEVELS)},
    )
    stored = round((updates.bytes + snapshots.bytes) / (ZST_RATIO if codec else 1))
    return Head(0, stored, codec, False, snapshots, updates, 0, 1000 * 10**9)


def sized(case: Case, *, segment_mb: float = 1000, is_remote: bool = True, **config: object) -> RunEstimate:
    """Return the estimate of a case in segments of `segment_mb` unpacked."""
    settings = JobConfig.model_validate(config)
    ratio = ZST_RATIO if case.codec else 1.0
    size = round(segment_mb * MB / ratio)
    count = case.stored // size
    cut = round(segment_mb * MB) if case.codec else min(size, settings.staging.unit_bytes)
    parts = 1 if case.codec else math.ceil(size / cut)
    much = Volume(
        segments=count,
        stored_bytes=case.stored,
        unpacked={case.codec or "plain": case.stored * ratio},
        units=count * parts,
        blocks=count * parts * blocks_of(cut, settings),
        largest_unit_bytes=cut,
        span_s=case.stored * ratio / BYTES_PER_S,
    )
    work = workload(much, (head(case.codec),), settings)
    return estimate(work, settings, Asked(cores=case.cores, prices=Prices(), is_remote=is_remote))


def markdown(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table whose first column is text and whose others are figures."""
    names = list(headings)
    lines = [names, ["---", *["---:"] * (len(names) - 1)], *map(list, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def rates() -> str:
    """Return what work costs."""
    rows = [
        (f"{stage}: {name}", f"{cost.cpu_s * 1000:g}", f"{cost.reads:g}", f"{cost.writes:g}", f"{cost.deletes:g}")
        for stage, costs in RATES.items()
        for name, cost in costs.items()
    ]
    return markdown(("one of", "CPU ms", "reads", "writes", "deletions"), rows)


def amounts() -> str:
    """Return what there is to do."""
    found = [(case, sized(case)) for case in CASES]
    rows = [
        (
            case.name,
            data(each.work.unpacked_bytes),
            f"{each.work.segments:,}",
            f"{each.work.units:,}",
            f"{each.work.rows['level2'] / 1e9:,.0f}",
            data(each.work.staged_bytes),
            data(each.output_bytes),
            f"{sum(size.files for size in each.tables.values()):,}",
        )
        for case, each in found
    ]
    headings = ("stored", "unpacked", "segments", "units", "rows of level2, 10^9", "staged", "OUTPUT", "files")
    return markdown(headings, rows)


def times(*, is_remote: bool) -> str:
    """Return how long it takes, and what limits it."""
    rows = []
    for case in CASES:
        each = sized(case, is_remote=is_remote)
        driver = next(stage for stage in each.stages if stage.name == "driver")
        rows.append(
            (
                case.name,
                f"{each.cpu_s / 3600:,.0f}",
                f"{sum(stage.wait_s for stage in each.stages if stage.name != 'driver') / 3600:,.0f}",
                duration(driver.work_s),
                f"{case.cores:,}",
                duration(each.wall_s),
                f"{each.useful_cores:,}",
                f"{each.driver_mb / 1000:,.1f}",
                next(f"{limit.name} {limit.share:.0%}" for limit in each.limits if limit.name != "losses"),
            )
        )
    headings = (
        *("stored", "CPU hours", "hours of waiting", "driver", "cores", "time", "cores of use", "driver GB", "limit"),
    )
    return markdown(headings, rows)


def money() -> str:
    """Return requests, and what they and cores cost by the prices that are examples."""
    rows = []
    for case in CASES:
        each, near = sized(case), sized(case, is_remote=False)
        rows.append(
            (
                case.name,
                f"{each.reads / 1e6:,.0f}",
                f"{each.writes / 1e6:,.0f}",
                f"{each.lists:,}",
                f"{each.request_cost:,.0f}",
                f"{each.core_cost:,.0f}",
                f"{near.core_cost:,.0f}",
            )
        )
    headings = ("stored", "reads, 10^6", "writes, 10^6", "listings", "requests", "cores, buckets", "cores, file system")
    return markdown(headings, rows)


def levers() -> str:
    """Return what segment sizes and blocks change, for 100 TB of plain segments and of zst."""
    rows = []
    for name, segment_mb, staging in (
        ("segments of 50 MB", 50, {}),
        ("segments of 1,000 MB (as above)", 1000, {}),
        ("segments of 1,000 MB, block_mb 128, unit_mb 1000", 1000, {"block_mb": 128, "unit_mb": 1000}),
    ):
        for case in CASES[2:4]:
            each = sized(case, segment_mb=segment_mb, staging=staging)
            near = sized(case, segment_mb=segment_mb, staging=staging, is_remote=False)
            drivers = [next(stage.work_s for stage in found.stages if stage.name == "driver") for found in (each, near)]
            rows.append(
                (
                    f"{case.name}, {name}",
                    f"{each.work.units:,}",
                    f"{each.cpu_s / 3600:,.0f}",
                    f"{each.reads / 1e6:,.0f}",
                    *map(duration, (each.wall_s, drivers[0], near.wall_s, drivers[1])),
                )
            )
    headings = (
        *("stored", "units", "CPU hours", "reads, 10^6", "time, buckets", "of it driver", "time, file system"),
        "of it driver",
    )
    return markdown(headings, rows)


def split() -> str:
    """Return a PB in several runs, each with an OUTPUT or a range of its own and a driver of its own."""
    rows = []
    for parts in (1, 100, 1000):
        for codec in (None, "zstd"):
            case = Case("", 1000 * TB // parts, codec, 100)  # type: ignore[arg-type]
            each, near = sized(case), sized(case, is_remote=False)
            rows.append(
                (
                    f"{'.zst' if codec else 'plain'}, {parts:,} x {data(case.stored)}",
                    f"{near.driver_mb / 1000:,.1f}",
                    *(duration(found.wall_s) for found in (each, near)),
                    *(f"{parts * found.core_hours:,.0f}" for found in (each, near)),
                )
            )
    headings = (
        *("1 PB as", "GB of a driver", "time of each on 100 cores, buckets", "file system"),
        *("core hours of all, buckets", "file system"),
    )
    return markdown(headings, rows)


def losses() -> str:
    """Return what share of the work is done twice when nodes are lost."""
    rows = []
    for longest_s in (10.0, 60.0, 600.0, 3600.0):
        costs = {"normalize": StageCost("normalize", 1.0, 0.0, longest_s, 0.0, 0.0, 0.0)}
        shares = (rework_share(costs, Prices(losses_per_hour=rate)) for rate in (0.01, 0.05, 0.2, 1.0))
        rows.append((duration(longest_s), *(f"{share:.3%}" for share in shares)))
    return markdown(("a task takes", "0.01 losses/h", "0.05", "0.2", "1"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "rates": rates,
    "amounts": amounts,
    "times-buckets": lambda: times(is_remote=True),
    "times-disks": lambda: times(is_remote=False),
    "money": money,
    "levers": levers,
    "split": split,
    "losses": losses,
}


def rendered(text: str) -> str:
    """Return a page with its tables computed anew."""
    return _TABLE.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]()}\n{found[4]}", text)


def main() -> None:
    """Write the page."""
    PAGE.write_text(rendered(PAGE.read_text()))


if __name__ == "__main__":
    main()
