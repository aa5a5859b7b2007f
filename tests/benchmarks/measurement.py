"""Timed runs of a side in a process of its own, on one core or on all."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Cores = Literal["one", "all"]
ROOT = Path(__file__).resolve().parents[2]
BYTES_OF_MAXRSS = 1 if sys.platform == "darwin" else 1024
TIMEOUT_S = 600.0
_CORES = "ETL_RAY_BENCH_CORES"
_ONE_THREAD = dict.fromkeys(
    ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS"), "1"
)


@dataclass(frozen=True)
class Run:
    """What one run took; `peak_mb` is the resident memory of its largest process, imports and warm-up included."""

    cpu_s: float
    wall_s: float
    peak_mb: float


class SideError(Exception):
    """A side did not do what it was asked for."""


class SideProcess:
    """A side in a process of its own that does its work again each time it is asked: what is loaded stays loaded.

    `side` is a module of this package, as `sides.duckdb_sql`, with `convert(segments, output)` or `parse(segments)`.
    `used` says whether it has done its work already.
    """

    def __init__(self, side: str, *, cores: Cores, python: Path | None = None) -> None:
        self.side = side
        self.used = False
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  it is open as long as the process
        threads = _ONE_THREAD if cores == "one" else {}
        self._child = subprocess.Popen(
            [str(python or sys.executable), "-m", "tests.benchmarks.measurement", side],
            cwd=ROOT,
            env=os.environ | threads | {_CORES: "1" if cores == "one" else str(_cores_of_machine())},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def run(self, segments: Sequence[str], output: str, *, keep: bool = True) -> Run:
        """Return what it takes to work on `segments`; what comes of it is below `output` if `keep`, and else removed.

        Raises SideError with the last line that the side wrote if it ends, or has no answer after TIMEOUT_S.
        """
        shutil.rmtree(output, ignore_errors=True)
        request = json.dumps({"segments": list(segments), "output": output, "keep": keep})
        stop = threading.Timer(TIMEOUT_S, self._child.kill)
        stop.start()
        try:
            _write_line(self._child, request)
            answer = self._child.stdout.readline() if self._child.stdout else ""
        finally:
            stop.cancel()
            if not keep:
                shutil.rmtree(output, ignore_errors=True)
        if not answer:
            raise SideError(self._last_line())
        self.used = True
        return Run(**json.loads(answer))

    def close(self) -> None:
        """End the process, and what it has started."""
        if self._child.stdin is not None:
            self._child.stdin.close()
        try:
            self._child.wait(30)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._log.close()

    def _last_line(self) -> str:
        code = self._child.wait()
        self._log.seek(0)
        return _ending(code, self._log.read().decode(errors="replace"))


def run_once(python: Path, module: str, *options: str) -> str:
    """Run a module of this package that times itself, in a process of its own; return the last line that it prints.

    Raises SideError like SideProcess.
    """
    command = [str(python), "-m", f"tests.benchmarks.{module}", *options]
    try:
        child = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | _ONE_THREAD,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SideError(f"had no result after {TIMEOUT_S:.0f} s") from None
    if child.returncode != 0:
        raise SideError(_ending(child.returncode, child.stderr))
    return child.stdout.splitlines()[-1]


def _ending(code: int, log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    said = [line for line in lines if "Error" in line or "Exception" in line] or lines
    return f"ended with exit code {code}: {said[-1][:300] if said else 'it said nothing'}"


def cores() -> int:
    """Return how many cores a side is to use."""
    return int(os.environ.get(_CORES, "1"))


def pin_to_one_core() -> None:
    """Keep this process and its children on one core, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def cpu_s() -> float:
    """Return the CPU seconds of this process, of children that have ended, and, on Linux, of those still there."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used) + sum(map(_cpu_of, _descendants(os.getpid())))


def peak_mb() -> float:
    """Return the peak of resident memory of the largest of those processes."""
    used = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return max([peak * BYTES_OF_MAXRSS / 1e6 for peak in used] + [_peak_of(pid) for pid in _descendants(os.getpid())])


def _cores_of_machine() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _write_line(child: subprocess.Popen[str], line: str) -> None:
    try:
        if child.stdin is not None:
            print(line, file=child.stdin, flush=True)
    except BrokenPipeError:  # it has ended, and the missing answer says so
        pass


def _descendants(pid: int) -> Iterator[int]:
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found = children.read_text().split()
        except OSError:  # the thread has ended
            continue
        for child in found:
            yield int(child)
            yield from _descendants(int(child))


def _cpu_of(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def _peak_of(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM")), 0.0)


def _answer(module: object, request: dict[str, str]) -> Run:
    """Do the work of a side, timed; what it parsed is stored afterwards, if it is to be kept."""
    output = request["output"]
    Path(output).mkdir(parents=True)
    convert, parse = getattr(module, "convert", None), getattr(module, "parse", None)
    began_cpu_s, began_s = cpu_s(), time.perf_counter()
    parsed = convert(request["segments"], output) if convert is not None else parse(request["segments"])  # type: ignore[misc]
    run = Run(cpu_s=cpu_s() - began_cpu_s, wall_s=time.perf_counter() - began_s, peak_mb=peak_mb())
    if convert is None and request["keep"]:
        module.store(parsed, output)  # type: ignore[attr-defined]
    return run


def main() -> None:
    """Do what is asked for on lines of the input, each answered by what it took."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a side prints is no answer
    if cores() == 1:
        pin_to_one_core()
    if importlib.util.find_spec("pyarrow") is not None:
        import pyarrow as pa

        pa.set_cpu_count(cores())
        pa.set_io_thread_count(cores())
    module = importlib.import_module(f"tests.benchmarks.{sys.argv[1]}")
    for line in sys.stdin:
        run = _answer(module, json.loads(line))
        print(json.dumps({"cpu_s": run.cpu_s, "wall_s": run.wall_s, "peak_mb": run.peak_mb}), file=answers, flush=True)


if __name__ == "__main__":
    main()
