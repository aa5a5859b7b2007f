"""Runs that are killed at any moment: a rerun makes what an undisturbed run makes, and a glob never sees rows twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TypedDict

import pytest

ROOT = Path(__file__).parents[2]
SCENARIOS = ("first", "recut", "grown", "restored")
CALLS = {"open", "os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir"}


class Report(TypedDict):
    moments: int
    killed: list[str]
    wrong: list[str]


def killed_runs(names: tuple[str, ...], recording: Path, work_dir: Path, moments: str) -> dict[str, Report]:
    """Kill runs of some scenarios at some moments, in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "tests.orchestrators.killing",
        ",".join(names),
        str(recording),
        str(work_dir),
        moments,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    reports: dict[str, Report] = json.loads(done.stdout)
    return reports


@pytest.mark.slow
def test_runs_killed_now_and_then(recording: Path, tmp_path: Path) -> None:
    reports = killed_runs(SCENARIOS, recording, tmp_path / "work", "7")
    assert {name: report["wrong"] for name, report in reports.items()} == {name: [] for name in SCENARIOS}
    assert [len(report["killed"]) for report in reports.values()] == [7] * 4
    assert min(report["moments"] for report in reports.values()) > 50
    assert {call for report in reports.values() for call in report["killed"]} >= {"open", "os.rename", "os.remove"}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_runs_killed_at_every_moment(name: str, recording: Path, tmp_path: Path) -> None:
    report = killed_runs((name,), recording, tmp_path / "work", "all")[name]
    assert report["wrong"] == []
    assert len(report["killed"]) == report["moments"] > 50
    assert set(report["killed"]) == CALLS


@pytest.mark.slow
def test_reruns_killed_as_well(recording: Path, tmp_path: Path) -> None:
    reports = killed_runs(SCENARIOS, recording, tmp_path / "work", "pairs:30")
    assert {name: report["wrong"] for name, report in reports.items()} == {name: [] for name in SCENARIOS}
