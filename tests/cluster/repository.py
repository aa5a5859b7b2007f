"""What the files of cluster/ refer to: the repository, its versions, and what one task of its config asks for."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.specifiers import SpecifierSet

from etl_ray.config import load_config

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "cluster"
LAUNCHER = ("gcp", "aws")
MANIFESTS = ("kuberay-rayjob", "kuberay-raycluster")


def project() -> dict[str, object]:
    """Return the table `project` of pyproject.toml."""
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert isinstance(found, dict)
    return found


def extras() -> set[str]:
    """Return the names of the extras."""
    found = project()["optional-dependencies"]
    assert isinstance(found, dict)
    return set(found)


def supported_python() -> SpecifierSet:
    """Return which Pythons the package runs on."""
    return SpecifierSet(str(project()["requires-python"]))


def pinned() -> dict[str, str]:
    """Return the versions of constraints.txt by name."""
    lines = (ROOT / "constraints.txt").read_text().split()
    return dict(line.split("==") for line in lines)


def memory_bytes_per_task() -> int:
    """Return what a task asks of a node, by the config that the files of cluster/ run with."""
    return load_config(ROOT / "configs" / "cluster.yaml").resources.memory_mb_per_task * 1_000_000
