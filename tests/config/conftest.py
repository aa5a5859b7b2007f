"""Configs from text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from etl_ray.config import (
    JobConfig,
    load_config,
)


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], JobConfig]:
    """Return a function that loads a config from text, as the file run.yaml."""

    def load_text(text: str) -> JobConfig:
        path = tmp_path / "run.yaml"
        path.write_text(text, encoding="utf-8")
        return load_config(path)

    return load_text
