"""The command line above a job that is a fake."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from etl_ray.cli import main
from tests.cli.fakes import Execute, FakeJobs, Outcome


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> FakeJobs:
    fake = FakeJobs()
    module = ModuleType("etl_ray.job")
    module.ETLJob = fake.job_class()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "etl_ray.job", module)
    return fake


@pytest.fixture
def etl_ray(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Execute:
    """Return a function that runs the command line in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run_command(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["etl-ray", *arguments])
        with pytest.raises(SystemExit) as exited:
            main()
        captured = capsys.readouterr()
        assert isinstance(exited.value.code, int)
        return Outcome(exited.value.code, captured.out, captured.err)

    return run_command
