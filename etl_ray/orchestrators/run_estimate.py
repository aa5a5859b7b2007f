"""`plan`: what a run over a real input would take, without running it."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from etl_ray import storage
from etl_ray.config import JobConfig
from etl_ray.config.prices import Prices
from etl_ray.errors import ConfigError
from etl_ray.orchestrators.calibration import measured_slowness
from etl_ray.orchestrators.committed import Committed, read_committed
from etl_ray.orchestrators.estimate import (
    Limit,
    StageCost,
    driver_mb,
    limits,
    lists,
    output_bytes,
    quantities,
    rework_share,
    stage_costs,
    useful_cores,
    wall_s,
)
from etl_ray.orchestrators.manifest import Ledger
from etl_ray.orchestrators.rates import WORKER_MB
from etl_ray.orchestrators.refusals import check_output, check_same_config, check_segments
from etl_ray.orchestrators.run_plan import plan_run
from etl_ray.orchestrators.sampling import Head, sample
from etl_ray.orchestrators.workload import Stored, Workload, volume, workload
from etl_ray.progress import Progress, SilentProgress
from etl_ray.readers.segments import Segment, Unit, find_segments
from etl_ray.tables import TABLES

_S_PER_HOUR = 3600
_MEASURED_BLOCK_MB = 32.0


@dataclass(frozen=True)
class Asked:
    """For which an estimate is: places without credentials, cores, prices.

    `is_remote`: they are buckets, whose answers are waited for. Of the segments `known_segments` need not be read.
    `slowness` is the time that this machine takes as a multiple of what the rates say (None: not measured, so 1).
    """

    cores: float
    prices: Prices
    input: str = ""
    output: str | None = None
    is_remote: bool = False
    known_segments: int = 0
    slowness: float | None = None


@dataclass(frozen=True)
class Table:
    """What a table is expected to get."""

    rows: int
    files: int
    bytes: int


@dataclass(frozen=True)
class RunEstimate:
    """What a run would take.

    `asked` is for which it is told, `work` what it would do, `tables` what it would write, `stages` what they cost.
    `wall_s` is the time to the commit, `useful_cores` is where half of it goes into what cannot be divided. `worker_mb`
    is the memory of each worker. `reads`, `writes` and `lists` are the requests that there are if INPUT and OUTPUT are
    buckets. `rework_share` of the work is expected to be done twice. `sampled_bytes` have been read, of
    `sampled_segments` segments. `notes` say what is uncertain.
    """

    asked: Asked
    work: Workload
    tables: Mapping[str, Table]
    stages: tuple[StageCost, ...]
    wall_s: float
    useful_cores: int
    worker_mb: int
    driver_mb: int
    reads: int
    writes: int
    lists: int
    rework_share: float
    limits: tuple[Limit, ...]
    sampled_bytes: int
    sampled_segments: int
    notes: tuple[str, ...]

    @property
    def stage_walls(self) -> tuple[tuple[StageCost, float], ...]:
        """The stages, each with the seconds that it takes on the cores; the driver's are those between the others."""
        cores = self.asked.cores
        return tuple((stage, stage.work_s if stage.name == "driver" else stage.wall_s(cores)) for stage in self.stages)

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all stages, the driver's among them."""
        return sum(stage.cpu_s for stage in self.stages)

    @property
    def core_hours(self) -> float:
        """What has to be paid of cores: all of them from start to commit, and what is done twice."""
        return self.asked.cores * self.wall_s * (1 + self.rework_share) / _S_PER_HOUR

    @property
    def core_cost(self) -> float:
        """What the cores cost, in the currency of the prices."""
        return self.core_hours * self.asked.prices.core_hour

    @property
    def request_cost(self) -> float:
        """What requests of buckets cost, in the currency of the prices."""
        prices = self.asked.prices
        counted = ((self.reads, prices.reads_per_1000), (self.writes, prices.writes_per_1000))
        return sum(count * price for count, price in (*counted, (self.lists, prices.lists_per_1000))) / 1000

    @property
    def output_bytes(self) -> int:
        """Bytes of all tables."""
        return sum(table.bytes for table in self.tables.values())

    def as_dict(self) -> dict[str, object]:
        """Return all figures by name, ready for JSON."""
        own = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "asked"}
        derived = ("cpu_s", "core_hours", "core_cost", "request_cost", "output_bytes")
        return (
            asdict(self.asked)
            | own
            | {
                "work": asdict(self.work) | {"unpacked_bytes": self.work.unpacked_bytes},
                "tables": {name: asdict(table) for name, table in self.tables.items()},
                "stages": [asdict(stage) | {"wall_s": on_cores_s} for stage, on_cores_s in self.stage_walls],
                "prices": self.asked.prices.model_dump(),
                "limits": [asdict(limit) for limit in self.limits],
                "notes": list(self.notes),
                **{name: getattr(self, name) for name in derived},
            }
        )


def plan(
    input_dir: str,
    output_dir: str | None = None,
    *,
    cores: float,
    config: JobConfig | None = None,
    prices: Prices | None = None,
    calibrate: bool = False,
    progress: Progress | None = None,
) -> RunEstimate:
    """Estimate a run over `input_dir` on `cores` cores, without running it; nothing is changed and no lock is taken.

    INPUT is listed, and heads of up to eight segments are read, at most 4 MB of each. If `output_dir` holds something
    already, only what is new counts. With `calibrate` the sample goes through the job twice, in a temporary directory,
    to measure this machine. ConfigError says what is wrong with INPUT, OUTPUT, the config or `cores`.
    """
    config = config if config is not None else JobConfig()
    progress = progress if progress is not None else SilentProgress()
    if not (math.isfinite(cores) and cores > 0):
        raise ConfigError(f"cores: expected a number above 0, found {cores}")
    found = find_segments(input_dir)
    units = _new_units(found, input_dir, output_dir, config, progress)
    new = tuple({unit.segment.identity: unit.segment for unit in units}.values())
    slowness: float | None = None
    with tempfile.TemporaryDirectory(prefix="etl-ray-plan-") as folder:
        lines = Path(folder) / "heads"
        heads = sample(new, config, progress, lines_to=lines if calibrate else None) if new else ()
        if calibrate and heads:
            slowness = measured_slowness(lines, heads, config)
    asked = Asked(
        input=storage.redact(input_dir),
        output=None if output_dir is None else storage.redact(output_dir),
        cores=cores,
        prices=prices if prices is not None else Prices(),
        is_remote=not all(map(storage.is_local, (input_dir, output_dir or input_dir))),
        known_segments=len(found) - len(new),
        slowness=slowness,
    )
    much = volume(Stored.of(units), heads, config)
    return estimate(workload(much, heads, config), config, asked, heads)


def _new_units(
    found: Sequence[Segment], input_url: str, output_url: str | None, config: JobConfig, progress: Progress
) -> tuple[Unit, ...]:
    """Return the units that a run would read, in arrival order."""
    committed: Committed | None = None
    if output_url is not None:
        check_output(input_url, output_url)
        ledger = Ledger(storage.canonical(output_url))
        check_segments(found, ledger.output)
        ledger.check_owner()
        latest = ledger.latest() if storage.exists(ledger.own) else None
        if latest is not None and not config.overwrite:
            check_same_config(latest, config, output=storage.redact(output_url))
            committed = read_committed(ledger, latest, progress.note)
    run = plan_run(found, config, committed, output=storage.redact(output_url or "OUTPUT"))
    known = () if committed is None else committed.receipts
    return tuple(unit for unit in run.units if unit.name not in known)


def estimate(work: Workload, config: JobConfig, asked: Asked, heads: Sequence[Head] = ()) -> RunEstimate:
    """Return what some work takes; `heads` are what is known of it."""
    prices, cores = asked.prices, asked.cores
    request_s = prices.request_ms / 1000 if asked.is_remote else 0.0
    sizes = output_bytes(work, config.level2.columns)
    costs = (
        stage_costs(work, quantities(work, config, sizes), request_s=request_s, slowness=asked.slowness or 1.0)
        if work.units
        else {}
    )
    return RunEstimate(
        asked=asked,
        work=work,
        tables={name: Table(work.rows[name], work.files.get(name, 0), sizes[name]) for name in TABLES if name in sizes},
        stages=tuple(costs.values()),
        wall_s=wall_s(costs, cores) if costs else 0.0,
        useful_cores=useful_cores(costs) if costs else 1,
        worker_mb=WORKER_MB,
        driver_mb=round(driver_mb(work)),
        reads=round(sum(cost.reads for cost in costs.values())),
        writes=round(sum(cost.writes for cost in costs.values())),
        lists=math.ceil(lists(work)),
        rework_share=rework_share(costs, prices),
        limits=limits(costs, work, cores, prices=prices, request_s=request_s) if costs else (),
        sampled_bytes=sum(head.stored for head in heads),
        sampled_segments=len(heads),
        notes=_notes(work, heads, config) if costs else (),
    )


def _notes(work: Workload, heads: Sequence[Head], config: JobConfig) -> tuple[str, ...]:
    """Return what makes an estimate uncertain."""
    found = []
    if not sum(head.updates.bytes for head in heads) and heads:
        found.append("the sample holds nothing but snapshots: all else is told by them")
    if config.has_books and not work.rows.get("book_checkpoints") and work.operations:
        found.append("no snapshot of a book is in the sample: book_checkpoints are not counted")
    if any(":" in text and not text.startswith("tick:") for text in config.derived.bars):
        found.append("bars by quantity or notional are not counted")
    if config.staging.block_mb > _MEASURED_BLOCK_MB:
        found.append(f"memory of workers was measured with block_mb {_MEASURED_BLOCK_MB:g}, and grows with it")
    return tuple(found)
