"""Kills runs of the command line at chosen points, in a process of its own that forks: modules stay loaded.

python -m tests.faults.killing SCENARIO PART PARTS WORK_DIR
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import etl_ray
from etl_ray.cli import main as etl_ray_main
from etl_ray.storage import failpoints
from tests.faults.kill_points import Point, choose, read_points
from tests.faults.recordings import CONFIG, copy_segments, half_of, write_tiny
from tests.orchestrators.jobs import FEW, run
from tests.orchestrators.outputs import OWN, strays_of, table_files_of
from tests.storage.shared import register

Files = dict[str, bytes]


@dataclass(frozen=True)
class Place:
    """The directories of a trial; commands are given relative to them."""

    root: Path
    segments: list[Path]

    def bring(self, *numbers: int) -> None:
        """Let segments appear in INPUT."""
        copy_segments(self.segments, self.root / "input", *numbers)

    def run(self, *options: str) -> None:
        """Run over what INPUT holds."""
        command(self.root, "run", "input", "output", *options)

    def reset(self, before: Path) -> None:
        """Make everything as it was."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(before, self.root)

    def files(self) -> dict[str, Files]:
        """Return all that must not depend on a fault."""
        found = {"output": table_files_of(self.root / "output")}
        for name in ("input", "archive"):
            paths = sorted((self.root / name).rglob("*"))
            # In an archive, that others may be writing to, nobody clears up behind copies that were killed.
            seen = [path for path in paths if path.is_file() and not path.name.endswith(".tmp")]
            found[name] = {str(path.relative_to(self.root)): path.read_bytes() for path in seen}
        return found


@dataclass(frozen=True)
class Scenario:
    """What is done before the command that is killed, and that command.

    `again` and `then` are the options that it is repeated with, once to finish and once to see that nothing is left;
    `by_table`: the files of each table are a kind of their own.
    """

    before: Callable[[Place], None]
    command: tuple[str, ...]
    again: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    by_table: bool = False


def everything(place: Place) -> None:
    """Bring all segments."""
    place.bring(*range(len(place.segments)))


def grown(place: Place) -> None:
    """Commit two segments, one of them in part; then it grows, a late one comes, and one behind all."""
    place.bring(0, 2)
    path = place.root / "input" / place.segments[2].name
    path.write_bytes(half_of(path.read_bytes()))
    place.run()
    place.bring(*range(len(place.segments)))


def committed(place: Place) -> None:
    """Commit all segments."""
    everything(place)
    place.run()


def part_of_the_range(place: Place) -> None:
    """Commit what was sent before some moment of the second day."""
    everything(place)
    place.run("--end", "2025-11-27T00:00:00.500Z")


def several_runs(place: Place) -> None:
    """Commit one segment after the other."""
    for number in range(len(place.segments)):
        place.bring(number)
        place.run()


RUN = ("run", "input", "output")
BUCKET = ("run", "input", "shared:/{root}/output")
LEASES = f"{OWN}/lease/"
SETTLED = ("--settle", "1s")
SCENARIOS = {
    "first": Scenario(everything, RUN, by_table=True),
    "grown": Scenario(grown, RUN),
    "range": Scenario(part_of_the_range, RUN),
    "other config": Scenario(committed, (*RUN, "--numbers", "decimal", "--overwrite"), without=("--overwrite",)),
    "delete": Scenario(grown, (*RUN, "--after", "delete", *SETTLED)),
    "archive": Scenario(committed, (*RUN, "--after", "archive", "--archive-to", "{root}/archive", *SETTLED)),
    "compact": Scenario(several_runs, ("compact", "output")),
    "bucket": Scenario(everything, BUCKET, again=("--break-lock",)),
}


def command(root: Path, *arguments: str) -> bool:
    """Run the command line in this process; return whether nothing was left to do. RuntimeError if it fails."""
    os.chdir(root)
    given = [argument.format(root=root) for argument in arguments]
    config = ["--config", "../config.yaml"] if given[0] == "run" else []
    sys.argv = ["etl-ray", *given, *config, "--engine", "local", "--json", "--quiet"]
    told = root.parent / "told"
    stdout = os.dup(1)
    with told.open("w") as file:
        os.dup2(file.fileno(), 1)
        try:
            etl_ray_main()
        except SystemExit as exited:
            sys.stdout.flush()
            if exited.code:
                raise RuntimeError(f"{sys.argv}: expected exit code 0, found {exited.code}") from None
        finally:
            os.dup2(stdout, 1)
            os.close(stdout)
    return bool(json.loads(told.read_text().splitlines()[-1])["unchanged"])


def forked(work: Callable[[], object]) -> int:
    """Do `work` in a fork; return its exit code, or the negative number of its signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 (the fork may not live on in the caller's code)
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Trial:
    """One scenario: what is there before, what must be there after, and any number of killed runs in between."""

    def __init__(self, scenario: Scenario, work_dir: Path) -> None:
        self._scenario = scenario
        self._before = work_dir / "before"
        self._place = Place(work_dir / "place", write_tiny(work_dir / "segments"))
        self._report = work_dir / "report"
        (work_dir / "config.yaml").write_text(CONFIG)
        self._place.root.mkdir()
        self._do(self._prepare)
        shutil.move(self._place.root, self._before)
        self._place.reset(self._before)
        self._old = table_files_of(self._place.root / "output")
        log = work_dir / "log"
        self._do(lambda: self._command(f"log:{log}"))
        self.points = choose(read_points(log, self._place.root), by_table=scenario.by_table)
        self._wanted = self._place.files()

    def run(self, point: Point) -> list[str]:
        """Kill a run, then repeat it; return all that is wrong."""
        self._place.reset(self._before)
        setting = point.setting.replace("kill:", "kill:", 1)
        if forked(lambda: self._command(setting)) != -signal.SIGKILL:
            return ["the run was not killed"]
        self._do(self._repeat)
        found: list[str] = json.loads(self._report.read_text())
        return found

    def _prepare(self) -> None:
        self._scenario.before(self._place)

    def _command(self, setting: str) -> None:
        failpoints.arm(setting)
        command(self._place.root, *self._scenario.command)

    def _repeat(self) -> None:
        """Look at what the killed run has left, run again twice, and report."""
        scenario, place = self._scenario, self._place
        output = place.root / "output"
        wrong = []
        known = self._old.items() | self._wanted["output"].items()
        wrong += [f"{name} was seen" for name, data in table_files_of(output).items() if (name, data) not in known]
        command(place.root, *scenario.command, *scenario.again)
        if table_files_of(output) != self._wanted["output"]:
            wrong.append("the tables differ from those of an undisturbed run")
        left = [name for name in strays_of(output) if not name.startswith(LEASES)]
        wrong += [f"{len(left)} files are left, such as {left[0]}"] if left else []
        wrong += [f"verify: {difference}" for difference in etl_ray.verify(str(output)).differences]
        last = [item for item in scenario.command if item not in scenario.without]
        if not command(place.root, *last):
            wrong.append("a further run does something")
        # A segment that stood aside is back in INPUT after one run, and removed by the next.
        wrong += [f"{name} differs" for name, found in place.files().items() if found != self._wanted[name]]
        self._report.write_text(json.dumps(wrong))

    def _do(self, work: Callable[[], object]) -> None:
        code = forked(work)
        if code:
            raise RuntimeError(f"expected that the fork ends with 0, found {code}")


def load(work_dir: Path) -> None:
    """Load what runs need, but start no threads that forks would lack: Polars would, so no candles and no bars."""
    place = Place(work_dir / "load", write_tiny(work_dir / "segments"))
    everything(place)
    run(place.root / "input", place.root / "output", **FEW)
    from etl_ray.orchestrators import candle_witness, compact_merge, derive  # noqa: F401


def know_buckets(directory: Path) -> None:
    """Let this process know `shared://`, and all that it starts, as if a package of that storage were installed."""
    package = directory / "shared-1.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: shared\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[fsspec.specs]\nshared = tests.storage.shared:SharedFileSystem\n")
    sys.path.append(str(directory))
    register()


def main(name: str, part: int, parts: int, work_dir: Path) -> None:
    """Kill runs of a scenario at every `parts`-th of its points; print what was seen of each as JSON."""
    os.fsync = lambda _fd: None  # type: ignore[assignment]  # killed processes lose nothing that the system has
    know_buckets(work_dir / "packages")
    load(work_dir / "loaded")
    trial = Trial(SCENARIOS[name], work_dir)
    print(json.dumps({str(point): trial.run(point) for point in trial.points[part::parts]}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]).resolve())
