"""All sides in turn on the same segments: what each run took, which sides failed, whether their rows are the same."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.benchmarks.agreement import Fingerprint, differences, fingerprint
from tests.benchmarks.columns import COLUMNS
from tests.benchmarks.measurement import Cores, Run, SideError, SideProcess
from tests.benchmarks.report import spread, table


@dataclass(frozen=True)
class Side:
    """A side of a race: its name in reports, and how it runs.

    `warm_ups` are conversions that are not counted, in each new process. `stays`: its process lives on, from one codec
    to the next. `all_cores_only`: it is what the job does on several cores.
    """

    name: str
    warm_ups: int = 2
    stays: bool = False
    all_cores_only: bool = False

    @property
    def short_name(self) -> str:
        """Return what stands in front of the colon."""
        return self.name.partition(":")[0]


@dataclass(frozen=True)
class Conditions:
    """What a race is run on: segments of one codec, with `mb` megabytes unpacked, on one core or all."""

    source: str
    codec: str
    cores: Cores
    mb: float

    @property
    def title(self) -> str:
        """Say it in words."""
        return f"{self.source}, {self.codec}, {'one core' if self.cores == 'one' else 'all cores'}"


@dataclass(frozen=True)
class Raced:
    """The result of a race by side. `reference` is the side whose rows are taken for right."""

    conditions: Conditions
    reference: str
    runs: Mapping[str, Sequence[Run]]
    failures: Mapping[str, str]
    differences: Mapping[str, Sequence[str]]
    rows: Mapping[str, int]

    def seconds(self, side: str) -> list[float]:
        """Return what a run took: CPU time on one core, wall time on all."""
        return [run.cpu_s if self.conditions.cores == "one" else run.wall_s for run in self.runs[side]]

    def times(self, side: str, against: str) -> float:
        """Return how many times as fast `side` is as `against`, by medians."""
        return median(self.seconds(against)) / median(self.seconds(side))

    def told(self, names: Mapping[str, Side]) -> tuple[list[str], list[str]]:
        """Return differences and failures in words."""
        where = self.conditions.title
        wrong = [f"{names[side].name} ({where}): {text}" for side, texts in self.differences.items() for text in texts]
        failed = [f"{names[side].name} ({where}): {text}" for side, text in self.failures.items()]
        return wrong, failed

    def table(self, names: Mapping[str, Side]) -> str:
        """Return the figures as Markdown: times the reference first."""
        first = self.reference if self.reference in self.runs else next(iter(self.runs))
        cpu_s, wall_s = (median(getattr(run, key) for run in self.runs[first]) for key in ("cpu_s", "wall_s"))
        rows = [
            (
                names[side].name,
                f"{cpu_s / median(run.cpu_s for run in runs):.2f}",
                f"{wall_s / median(run.wall_s for run in runs):.2f}",
                spread([self.conditions.mb / seconds for seconds in self.seconds(side)], 0),
                spread([run.cpu_s for run in runs], 2),
                spread([run.wall_s for run in runs], 2),
                f"{max(run.peak_mb for run in runs):.0f}",
            )
            for side, runs in self.runs.items()
        ]
        name = names[first].short_name
        clock = "CPU" if self.conditions.cores == "one" else "wall"
        header = ("", f"× {name}, CPU", f"× {name}, wall", f"MB/s of {clock}", "CPU s", "wall s", "peak MB")
        return table(header, rows)


@dataclass
class Track:
    """Where races are run: modules of `package`, `pythons` for those that have an environment of their own."""

    package: str
    sides: Mapping[str, Side]
    work: Path
    runs: int
    pythons: Mapping[str, Path]
    observe: Callable[[str, str], None] = lambda side, output: None
    _staying: dict[tuple[str, Cores], SideProcess] = field(default_factory=dict)

    def race(self, segments: Sequence[str], conditions: Conditions, sides: Sequence[str], *, reference: str) -> Raced:
        """Run `sides` in turn; compare what the first round has left. `reference` has to be one of them."""
        processes = {side: self._process(side, conditions.cores) for side in sides}
        runs: dict[str, list[Run]] = {side: [] for side in sides}
        failures: dict[str, str] = {}
        prints: dict[str, dict[str, Fingerprint]] = {}
        for number in range(self.runs):
            for side in (side for side in sides if side not in failures):
                output = str(self.work / side)
                try:
                    for _ in range(0 if number else self._warm_ups(side, processes[side])):
                        processes[side].run(segments, output, keep=False)
                    runs[side].append(processes[side].run(segments, output, keep=number == 0))
                except SideError as error:
                    failures[side] = str(error)
                    self._staying.pop((side, conditions.cores), None)
                    continue
                if number == 0:
                    prints[side] = self._prints(output)
                    self.observe(side, output)
                _tell(f"{conditions.title}, round {number + 1}/{self.runs}, {side}", runs[side][-1])
        for process in processes.values():
            if process not in self._staying.values():
                process.close()
        return _raced(conditions, reference, runs=runs, failures=failures, prints=prints)

    def close(self) -> None:
        """End the processes that have stayed."""
        for process in self._staying.values():
            process.close()
        self._staying.clear()

    def _process(self, side: str, cores: Cores) -> SideProcess:
        if (side, cores) in self._staying:
            return self._staying[side, cores]
        process = SideProcess(f"{self.package}.{side}", cores=cores, python=self.pythons.get(side))
        if self.sides[side].stays:
            self._staying[side, cores] = process
        return process

    def _warm_ups(self, side: str, process: SideProcess) -> int:
        return 1 if process.used else self.sides[side].warm_ups

    def _prints(self, output: str) -> dict[str, Fingerprint]:
        dated = self.package == "sides"
        return {name: fingerprint(output, name, dated=dated) for name in COLUMNS}


def _raced(
    conditions: Conditions,
    reference: str,
    *,
    runs: Mapping[str, Sequence[Run]],
    failures: Mapping[str, str],
    prints: Mapping[str, Mapping[str, Fingerprint]],
) -> Raced:
    if not prints:
        raise SystemExit(f"{conditions.title}: no side came to an end: {dict(failures)}")
    expected = prints.get(reference) or next(iter(prints.values()))
    return Raced(
        conditions,
        reference,
        runs={side: measured for side, measured in runs.items() if side not in failures},
        failures=failures,
        differences={
            side: [f"{name}: {text}" for name in COLUMNS for text in differences(expected[name], found[name])]
            for side, found in prints.items()
        },
        rows={name: expected[name].rows for name in COLUMNS},
    )


def _tell(what: str, run: Run) -> None:
    print(f"{what}: {run.cpu_s:.2f} s of CPU, {run.wall_s:.2f} s", file=sys.stderr, flush=True)
