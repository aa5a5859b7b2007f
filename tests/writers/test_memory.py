"""Parquet to Parquet in bounded memory: more rows than may be held."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.slow
def test_two_gigabytes_go_through_one_and_a_half(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.benchmarks.parquet_memory", "--gb", "2", "--work", str(tmp_path)]

    result = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=False)

    assert "Within the limit" in result.stdout
    assert result.returncode == 0
