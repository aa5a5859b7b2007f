"""A small generated recording, made once."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from etl_ray.sample import write_sample
from tests.orchestrators.jobs import SMALL
from tests.orchestrators.spoiled import spoil


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


@pytest.fixture(scope="session")
def hostile_dir(sample_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the sample with bad lines in it, one segment without a line end at its end, one empty."""
    directory = tmp_path_factory.mktemp("hostile")
    draw = random.Random(7)
    for path in sorted(sample_dir.iterdir()):
        (directory / path.name).write_bytes(b"\n".join(spoil(path.read_bytes().splitlines(), draw)))
    (directory / "segment_20251127T00_00005.ndjson").touch()
    (directory / "no date.ndjson").write_bytes(b"\xef\xbb\xbf\r\n" + b'{"type":"error","message":"late"}\ngarbage')
    return directory
