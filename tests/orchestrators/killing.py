"""Kills runs of the job at chosen moments, in a process of its own that forks: numba stays warm, pytest unharmed.

A moment is in front of one call of the system that writes, moves, links or deletes below OUTPUT, counted from 0.

    python -m tests.orchestrators.killing SCENARIOS INPUT WORK_DIR MOMENTS
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from etl_ray.orchestrators.manifest import Ledger
from tests.orchestrators.jobs import FEW, run
from tests.orchestrators.outputs import KEYS, places_of, strays_of, table_files_of

NEVER = 1_000_000
SECOND = "segment_20251126T23_00002.ndjson"
CUT: dict[str, object] = {**FEW, "staging": {"block_mb": 0.02, "rows_per_file": 150}}
RECUT: dict[str, object] = {**FEW, "staging": {"block_mb": 0.02, "rows_per_file": 350}}

Row = tuple[object, ...]


@dataclass(frozen=True)
class Scenario:
    """What is there before the run that is killed (None: nothing), and that run."""

    before: Callable[[Path, Path], object] | None
    config: dict[str, object]
    overwrite: bool = False

    def start(self, source: Path, output: Path, *, overwrite: bool) -> bool:
        """Run; return whether nothing was left to do."""
        return run(source, output, **self.config, overwrite=overwrite).unchanged


def without_second(source: Path, output: Path) -> None:
    """Run over a recording that lacks a segment."""
    (source / SECOND).rename(source.parent / SECOND)
    run(source, output, **CUT)
    (source.parent / SECOND).rename(source / SECOND)


def with_loss(source: Path, output: Path) -> None:
    """Run, then lose a file."""
    run(source, output, **CUT)
    next(output.glob("level2/*/*/*.parquet")).unlink()


SCENARIOS = {
    "first": Scenario(None, RECUT),
    "recut": Scenario(lambda source, output: run(source, output, **CUT), RECUT, overwrite=True),
    "grown": Scenario(without_second, CUT),
    "restored": Scenario(with_loss, CUT),
}


class Killer:
    """An audit hook that kills this process before the call number `moment`."""

    def __init__(self, output: Path, moment: int, seen: Path) -> None:
        self._output = str(output)
        self._moment = moment
        self._seen = seen
        self.count = 0

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self._writes(event, arguments):
            return
        if self.count == self._moment:
            with open(os.open(self._seen, os.O_WRONLY | os.O_CREAT), "w") as file:  # noqa: PTH123 (not audited again)
                file.write(event)
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1

    def _writes(self, event: str, arguments: tuple[object, ...]) -> bool:
        path = str(arguments[0]) if arguments else ""
        if event == "open":
            flags = arguments[2]
            assert isinstance(flags, int)
            return path.startswith(self._output) and bool(flags & (os.O_WRONLY | os.O_RDWR))
        if event in ("os.remove", "os.rmdir"):  # shutil.rmtree names them relative to their directory
            return path.startswith(self._output) or "/" not in path
        return event in ("os.rename", "os.link", "os.mkdir") and path.startswith(self._output)


def kill(work: Callable[[], object], output: Path, moment: int, seen: Path) -> int:
    """Do `work` in a fork that dies before its call number `moment`; return the number of calls, -1 if it died."""
    seen.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        killer = Killer(output, moment, seen)
        try:
            sys.addaudithook(killer)
            work()
            killer._moment = NEVER
            seen.write_text(str(killer.count))
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 (the fork may not live on in the caller's code)
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == -signal.SIGKILL:
        return -1
    if status:
        raise RuntimeError(f"the run that should be killed at {moment} ended with {status}")
    return int(seen.read_text())


def rows_of(output: Path) -> set[Row]:
    """Return all rows of the tables that a glob finds."""
    found: set[Row] = set()
    for table in KEYS:
        for path in output.glob(f"{table}/**/*.parquet"):
            rows = pq.read_table(path, partitioning=None, use_threads=False)
            columns = [
                (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
                for column in rows.columns
            ]
            found.update((table, *map(str, row)) for row in zip(*columns, strict=True))
    return found


class Trial:
    """One scenario: what was before, what must be after, and any number of killed runs in between."""

    def __init__(self, name: str, source: Path, work_dir: Path) -> None:
        self._scenario = SCENARIOS[name]
        self._source = source
        self._before = work_dir / "before"
        self._output = work_dir / "output"
        self._seen = work_dir / "seen"
        work_dir.mkdir(parents=True)
        if self._scenario.before is not None:
            self._scenario.before(source, self._before)
        self._reset()
        start = self._start(overwrite=self._scenario.overwrite)
        self.moments = kill(start, self._output, NEVER, self._seen)
        self._wanted = table_files_of(self._output)
        self._rows = rows_of(self._output) | rows_of(self._before)

    def run(self, *moments: int) -> tuple[str, list[str]]:
        """Kill a run, and the reruns after it, each at its moment; return the last call and all that is wrong."""
        self._reset()
        wrong = []
        for moment in moments:
            kill(self._start(overwrite=self._overwrites()), self._output, moment, self._seen)
            wrong += self._check_visible()
        seen = self._seen.read_text()
        self._start(overwrite=self._overwrites())()
        if table_files_of(self._output) != self._wanted:
            wrong.append("the tables differ from those of an undisturbed run")
        wrong += [f"{name} is left" for name in strays_of(self._output)]
        if not self._scenario.start(self._source, self._output, overwrite=False):
            wrong.append("a further run does something")
        return seen, [f"killed at {moments} before {seen}: {problem}" for problem in wrong]

    def _reset(self) -> None:
        shutil.rmtree(self._output, ignore_errors=True)
        if self._before.exists():
            shutil.copytree(self._before, self._output)

    def _start(self, *, overwrite: bool) -> Callable[[], bool]:
        return lambda: self._scenario.start(self._source, self._output, overwrite=overwrite)

    def _overwrites(self) -> bool:
        """Return whether the next run has to overwrite: not if the one that was killed has committed."""
        latest = Ledger(str(self._output)).latest()
        return self._scenario.overwrite and (latest is None or latest.number == 1)

    def _check_visible(self) -> list[str]:
        wrong = []
        for table in KEYS:
            places = places_of(self._output, table)
            if len(set(places)) != len(places):
                wrong.append(f"{len(places) - len(set(places))} rows of {table} are seen twice")
        strangers = rows_of(self._output) - self._rows
        if strangers:
            wrong.append(f"{len(strangers)} rows are neither those of before nor those of after")
        return wrong


def moments_of(text: str, count: int) -> Iterable[tuple[int, ...]]:
    """Read "all", "N" (that many, evenly spread, the first and the last among them) or "pairs:N"."""
    if text == "all":
        return [(moment,) for moment in range(count)]
    if text.startswith("pairs:"):
        draw = random.Random(count)
        return [(draw.randrange(count), draw.randrange(count)) for _ in range(int(text.removeprefix("pairs:")))]
    wanted = int(text)
    return [(round(index * (count - 1) / (wanted - 1)),) for index in range(wanted)]


def main(names: str, source: str, work_dir: str, moments: str) -> None:
    """Kill runs of scenarios and print what was seen of each as JSON."""
    os.fsync = lambda _descriptor: None  # killed processes lose nothing that the system has
    reports = {}
    for name in names.split(","):
        trial = Trial(name, Path(source).resolve(), Path(work_dir).resolve() / name)
        killed, wrong = [], []
        for chosen in moments_of(moments, trial.moments):
            seen, problems = trial.run(*chosen)
            killed.append(seen)
            wrong += problems
        reports[name] = {"moments": trial.moments, "killed": killed, "wrong": wrong}
    print(json.dumps(reports))


if __name__ == "__main__":
    main(*sys.argv[1:])
