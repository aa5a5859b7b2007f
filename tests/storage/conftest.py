"""An empty directory by every kind of URL that needs no server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from etl_ray import storage


@pytest.fixture(params=["path", "file", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give an empty directory, by each kind of URL that needs no server."""
    yield {"path": str(tmp_path), "file": f"file://{tmp_path}", "memory": "memory://root"}[request.param]
    storage.delete_tree("memory://root")
