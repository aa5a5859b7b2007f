"""Help, version, config, the entry point of jobs, and what light commands import."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from etl_ray import __version__
from etl_ray.config import JobConfig
from tests.cli.fakes import SUMMARY, Execute, FakeJobs, Outcome

ROOT = Path(__file__).parent.parent.parent


def test_config_prints_what_a_run_would_use(etl_ray: Execute) -> None:
    outcome = etl_ray("config")
    assert outcome == Outcome(0, JobConfig().to_yaml(), "")
    Path("run.yaml").write_text(outcome.out)
    assert etl_ray("config", "--config", "run.yaml", "--strict").out == JobConfig(strict=True).to_yaml()


def test_version(etl_ray: Execute) -> None:
    assert etl_ray("--version") == Outcome(0, f"etl-ray {__version__}\n", "")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help(arguments: list[str], etl_ray: Execute) -> None:
    outcome = etl_ray(*arguments)
    assert (outcome.code, outcome.err) == (0, "")
    for command in ("run", "demo", "sample", "schema", "config"):
        assert re.search(rf"^\W*{command} ", outcome.out, re.MULTILINE)


def test_help_of_run_names_every_option(etl_ray: Execute) -> None:
    out = etl_ray("run", "--help").out
    assert sorted(set(re.findall(r"--[a-z-]+", out))) == [
        "--address", "--after", "--archive-to", "--bars", "--books", "--break-lock", "--channels", "--config", "--end",
        "--engine", "--features", "--help", "--join-books", "--json", "--no-books", "--no-break-lock", "--no-overwrite",
        "--no-strict", "--numbers", "--overwrite", "--products", "--quiet", "--settle", "--start", "--strict",
    ]  # fmt: skip


def test_the_job_entry_point_is_run(
    jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["run_etl.py", "IN", "OUT", "--strict", "--json", "--quiet"])
    with pytest.raises(SystemExit) as exited:
        runpy.run_module("jobs.run_etl", run_name="__main__")
    assert exited.value.code == 0
    assert jobs.made == [("IN", "OUT")]
    assert jobs.config == JobConfig(strict=True)
    assert json.loads(capsys.readouterr().out) == SUMMARY.as_dict() | {"output": "OUT"}


def test_the_job_entry_point_complains_alike(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["run_etl.py", "IN"])
    with pytest.raises(SystemExit) as exited:
        runpy.run_module("jobs.run_etl", run_name="__main__")
    assert exited.value.code == 2
    assert capsys.readouterr() == ("", "etl-ray: error: Missing argument 'OUTPUT'.\n")


def test_the_job_entry_point_is_thin() -> None:
    assert len((ROOT / "jobs" / "run_etl.py").read_text().splitlines()) <= 40


HEAVY = ("ray", "polars", "numba", "duckdb")


@pytest.mark.parametrize("modules", ["etl_ray", "etl_ray.config, etl_ray.progress, etl_ray.summary, etl_ray.cli"])
def test_light_modules_import_nothing_heavy(modules: str) -> None:
    assert heavy_after(f"import {modules}") == []


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["schema"], ["schema", "level2"], ["config"]])
def test_light_commands_import_nothing_heavy(arguments: list[str]) -> None:
    code = f"import sys; from etl_ray.cli import main; sys.argv = ['etl-ray', *{arguments!r}]"
    assert heavy_after(f"{code}\ntry: main()\nexcept SystemExit: pass") == []


def heavy_after(code: str) -> list[str]:
    """Run `code` in a process of its own and return which heavy packages it imported."""
    script = f"{code}\nimport json, sys; print(json.dumps(sorted(set({HEAVY!r}) & set(sys.modules))))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    heavy: list[str] = json.loads(done.stdout.splitlines()[-1])
    return heavy
