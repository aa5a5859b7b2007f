"""A small generated recording, made once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from etl_ray.sample import write_sample
from tests.orchestrators.jobs import SMALL


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Syncing is for power failures; killed processes lose nothing that the system has."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


@pytest.fixture(scope="session")
def sample_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory of plain segments that no test may change."""
    directory = tmp_path_factory.mktemp("sample")
    write_sample(str(directory), SMALL)
    return directory


@pytest.fixture
def recording(sample_dir: Path, tmp_path: Path) -> Path:
    """Return a copy of the sample for a test to change."""
    return Path(shutil.copytree(sample_dir, tmp_path / "recording"))
