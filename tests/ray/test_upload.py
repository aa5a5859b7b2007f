"""What `ray job submit --working-dir .` sends of a clone, by Ray's own packaging."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from ray._private.ray_constants import get_runtime_env_default_excludes
from ray._private.runtime_env.packaging import create_package

ROOT = Path(__file__).parents[2]
MAX_BYTES = 2_000_000
MADE_HERE = [
    ".venv/lib/big.so",
    "build/lib/big.so",
    "bench-results/end_to_end.json",
    "demo/segments/segment_20251126T14_00001.ndjson",
    "etl_ray/scan/__pycache__/kernel.cpython-311.pyc",
    "recording/segment_20251126T14_00001.ndjson",
    "recording/segment_20251126T14_00002.ndjson.gz",
    "recording/segment_20251126T14_00003.ndjson.zst",
    "tables/_etl_ray/manifests/000001.json",
    "tables/level2/product_id=BTC-USD/date=2025-11-26/part-00000-0123456789ab.parquet",
]
OF_THE_USER = ["large_trades.py", "mine.yaml"]


def committed() -> list[str]:
    """Return the files of the clone that these tests stand in."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a clone")
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Return the sizes of the files that Ray sends of a clone in which somebody has worked, by path."""
    clone = tmp_path_factory.mktemp("clone") / "etl-ray"
    for name in committed():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    for name in (".git/objects/pack/pack-1.pack", *MADE_HERE, *OF_THE_USER):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_bytes(bytes(1_000_000 if name in MADE_HERE else 10))
    package = clone.parent / "package.zip"
    create_package(str(clone), package, include_gitignore=True, excludes=get_runtime_env_default_excludes())
    with zipfile.ZipFile(package) as archive:
        return {info.filename: info.file_size for info in archive.infolist() if not info.is_dir()}


def test_all_that_a_job_needs_is_sent(sent: dict[str, int]) -> None:
    needed = {name for name in committed() if name.startswith(("etl_ray/", "jobs/", "configs/"))}

    assert len(needed) > 150
    assert needed | {"pyproject.toml", *OF_THE_USER} <= sent.keys()


def test_nothing_else_is_sent(sent: dict[str, int]) -> None:
    assert {name.split("/")[0] for name in sent} == {
        "LICENSE",
        "README.md",
        "configs",
        "etl_ray",
        "jobs",
        "pyproject.toml",
        *OF_THE_USER,
    }
    assert sent.keys() & set(MADE_HERE) == set()
    assert sum(sent.values()) < MAX_BYTES
