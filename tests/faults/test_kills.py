"""Commands that are killed at each kind of step: the same command once more makes what an undisturbed one makes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = {"first": 2, "bucket": 2}
"""Scenarios in several tests, which may run at the same time."""
LEAST = {
    "first": 80,
    "grown": 40,
    "range": 40,
    "other config": 40,
    "delete": 40,
    "archive": 15,
    "compact": 20,
    "bucket": 35,
}
"""How many points of each scenario there are at least: below that some kinds of steps do not happen any more."""


def killed(name: str, part: int, parts: int, work_dir: Path) -> dict[str, list[str]]:
    """Kill a command at every `parts`-th point, in a process of its own; return what was wrong afterwards, by point."""
    command = [sys.executable, "-m", "tests.faults.killing", name, str(part), str(parts), str(work_dir)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("name", "part"), [(name, part) for name in LEAST for part in range(PARTS.get(name, 1))])
def test_a_command_killed_anywhere_costs_only_time(name: str, part: int, tmp_path: Path) -> None:
    found = killed(name, part, PARTS.get(name, 1), tmp_path)
    assert {point: wrong for point, wrong in found.items() if wrong} == {}
    assert len(found) >= LEAST[name] // PARTS.get(name, 1)
    steps = {point.partition(" ")[0] for point in found}
    assert steps >= ({"delete.before", "delete.after"} if name == "archive" else {"write.before", "write.whole"})
