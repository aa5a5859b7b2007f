"""What is installed and what is tracked: imports, pins, scripts, version, and no trace of anyone's machine."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import etl_ray

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PIN = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*==[0-9][0-9a-z.]*")
SLOW_TO_IMPORT = {"duckdb", "fsspec", "numba", "numpy", "pandas", "polars", "pyarrow", "pydantic", "ray"}

# Put together from pieces, so that this file does not find itself. Ray's container images live in /home/ray.
REGISTRY_HOST = re.compile("|".join([r"pypi" + r"\.org", r"python" + r"hosted\.org", r"npm" + r"js\.(org|com)"]))
MACHINE_PATH = re.compile(
    r"(?<![\w.~/-])/(" + "|".join([r"work/\w", r"root/\.", r"Users/\w", r"home/(?!ray\b)\w"]) + ")"
)


def constraints() -> list[str]:
    return (ROOT / "constraints.txt").read_text().splitlines()


def tracked_files() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def places(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path in tracked_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]


def test_importing_the_package_loads_nothing_slow() -> None:
    program = "import sys, etl_ray; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)

    assert set(run.stdout.split()) & SLOW_TO_IMPORT == set()


def test_constraints_are_sorted_pins_and_nothing_else() -> None:
    lines = constraints()

    assert [line for line in lines if not PIN.fullmatch(line)] == []
    assert lines == sorted(set(lines))


def test_constraints_pin_every_direct_dependency_within_its_bounds() -> None:
    pins = dict(line.split("==") for line in constraints())
    extras = [name for extra in PROJECT["optional-dependencies"].values() for name in extra]
    found = [Requirement(text) for text in [*PROJECT["dependencies"], *extras]]
    wanted = [requirement for requirement in found if requirement.name != PROJECT["name"]]  # extras name each other

    assert [
        str(requirement)
        for requirement in wanted
        if not requirement.specifier.contains(pins.get(canonicalize_name(requirement.name), "0"))
    ] == []
    assert [str(requirement) for requirement in wanted if not requirement.specifier] == []


def test_fsspec_and_its_clouds_are_pinned_to_one_release() -> None:
    pins = dict(line.split("==") for line in constraints())

    assert {pins[name].split(".")[0] for name in ("fsspec", "gcsfs", "s3fs")} == {pins["fsspec"].split(".")[0]}


def test_console_scripts_resolve() -> None:
    scripts = {entry.name: entry for entry in distribution("etl-ray").entry_points if entry.group == "console_scripts"}

    assert {name: entry.value for name, entry in scripts.items()} == PROJECT["scripts"]
    assert [name for name, entry in scripts.items() if not callable(entry.load())] == []


def test_the_version_has_one_source() -> None:
    assert "version" not in PROJECT
    assert PROJECT["dynamic"] == ["version"]
    assert distribution("etl-ray").version == etl_ray.__version__


def test_tracked_files_name_no_machine() -> None:
    assert places(MACHINE_PATH) == []


def test_tracked_files_name_no_package_registry() -> None:
    assert places(REGISTRY_HOST) == []
