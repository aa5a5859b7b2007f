"""Fixtures that tests of the whole job share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

_REPOSITORY = Path(__file__).parents[1]
_WITH_CLUSTERS = ("tests/ray/", "tests/cluster/test_local_page.py", "tests/test_readme.py")

# The same examples each time, so that a run says something about the change alone; new ones by hand:
# pytest --hypothesis-profile=explore.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, deadline=None)
settings.load_profile("same")


class Scheduling(LoadScopeScheduling):
    """Gives tests to worker processes one by one, but together what shares a costly fixture or starts clusters."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(_WITH_CLUSTERS):
            return "clusters"
        return nodeid.rpartition("::")[0] if "::TestRealFlow::" in nodeid else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """Say which tests run where."""
    return Scheduling(config, log)


@pytest.fixture(scope="session")
def wire_dir() -> Path:
    """Directory of the payloads in the venue's shapes, with their expectations."""
    return Path(__file__).parent / "data" / "coinbase"


@pytest.fixture(scope="session")
def real_flow() -> Path:
    """Directory of a recording of real order flow; skips where there is none."""
    named = os.environ.get("ETL_RAY_REAL_FLOW")
    directory = Path(named) if named else _REPOSITORY.parent / "shared" / "data" / "flow"
    if not any(directory.glob("*.ndjson*")):
        pytest.skip(f"no recording in {directory}; ETL_RAY_REAL_FLOW names another directory")
    return directory


@pytest.fixture
def input_dir(tmp_path: Path) -> Path:
    """Return an empty directory for segments."""
    directory = tmp_path / "input"
    directory.mkdir()
    return directory


@pytest.fixture
def output_dir(tmp_path: Path) -> Path:
    """Return the path of a directory for tables that does not exist yet."""
    return tmp_path / "output"
