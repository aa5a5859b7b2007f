"""A recording of a few seconds, the tables of an undisturbed run over it, and the command line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults.command_line import CommandLine
from tests.faults.recordings import EVERYTHING, write_tiny
from tests.orchestrators.jobs import run


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Syncing is for power failures, of which there are none here."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


@pytest.fixture(scope="session")
def tiny_segments(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return the segments of the recording, which no test may change."""
    return write_tiny(tmp_path_factory.mktemp("tiny") / "input")


@pytest.fixture(scope="session")
def undisturbed(tiny_segments: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an OUTPUT with all tables, made in one run over all segments."""
    output = tmp_path_factory.mktemp("undisturbed") / "output"
    run(tiny_segments[0].parent, output, **EVERYTHING)
    return output


@pytest.fixture
def command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """Return the command line."""
    return CommandLine(tmp_path, capsys)
