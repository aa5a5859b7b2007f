"""Runs on Ray from the command line, as on a machine that has never seen Ray."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from etl_ray.sample import SampleOptions, write_sample
from tests.orchestrators.jobs import run
from tests.orchestrators.outputs import strays_of, table_files_of

SAMPLE = SampleOptions(minutes=0.1, products=("BTC-USD", "ETH-USD"), rate=8, levels=40, segment_mb=0.05)
CONFIG = """
staging: {unit_mb: 0.02, block_mb: 0.01, rows_per_file: 200}
resources: {memory_mb_per_task: 200}
"""
LINE = re.compile(
    r"(normalize|build|trades|candles|compose|books|witness): [\d,]+/[\d,]+ units, .*( s| left|:\d\d| unknown)"
)
LOGGED = re.compile(r"\t(DEBUG|INFO|WARNING|ERROR) \S+:\d+ -- ")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a directory that holds a recording and a config."""
    write_sample(str(tmp_path / "input"), SAMPLE)
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path


def spoken(done: subprocess.CompletedProcess[str]) -> str:
    """Return what was written to standard error, but for what Ray 2.60 says of any actor pool, whatever it is told."""
    return "".join(line for line in done.stderr.splitlines(True) if "ray-project/ray/issues/53727" not in line)


def run_on_ray(place: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    # Ray keeps its token in the home directory, and says so where the mode is not set.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"HOME": str(place), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    arguments = ["run", "input", "output", "--config", "config.yaml", "--engine", "ray", *options]
    command = [sys.executable, "-c", "from etl_ray.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)


def test_the_bytes_are_those_of_a_run_in_this_process_and_only_our_lines_are_printed(place: Path) -> None:
    done = run_on_ray(place)
    assert done.returncode == 0, done.stderr
    staging = {"unit_mb": 0.02, "block_mb": 0.01, "rows_per_file": 200, "max_line_mb": 16.0}
    summary = run(place / "input", place / "local", staging=staging)
    assert summary.lines > 200
    assert table_files_of(place / "output") == table_files_of(place / "local")
    assert len(table_files_of(place / "output")) > 15
    assert strays_of(place / "output") == []
    assert not (place / ".ray").exists()  # a token there would be asked for by every head that is started later
    stages = [LINE.fullmatch(line) for line in spoken(done).splitlines() if not line.startswith("compiling")]
    assert all(stages), done.stderr
    assert list(dict.fromkeys(stage[1] for stage in stages if stage)) == [
        "normalize",
        "build",
        "trades",
        "candles",
        "compose",
        "books",
        "witness",
    ]


@pytest.mark.slow
def test_quiet_means_quiet(place: Path) -> None:
    done = run_on_ray(place, "--quiet")
    assert (done.returncode, done.stdout, spoken(done)) == (0, "", "")


@pytest.mark.slow
def test_a_failure_is_told_once(place: Path) -> None:
    processors = "channels: {level2: {processors: ['tests.ray.processors:%s']}}\n"
    (place / "config.yaml").write_text(CONFIG + processors % "Refuse")
    done = run_on_ray(place, "--quiet")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "etl-ray: error: cannot write memory://bucket: no room in the bucket\n"
    (place / "config.yaml").write_text(CONFIG + processors % "Divide")
    done = run_on_ray(place, "--quiet", "--overwrite")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback (most recent call last):\n" in done.stderr
    assert "while working on level2/product_id=" in done.stderr.splitlines()[-1]
    assert LOGGED.search(done.stderr) is None, done.stderr
