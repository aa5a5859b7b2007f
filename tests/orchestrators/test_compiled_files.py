"""Compiled code that is carried to another copy of the same sources is loaded there, and to no other."""

from __future__ import annotations

import ast
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from etl_ray.orchestrators import compiled_files
from etl_ray.orchestrators.compiled import compile_all
from etl_ray.orchestrators.compiled_files import keep, packed
from etl_ray.progress import SilentProgress

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, sys
from pathlib import Path
from etl_ray.orchestrators import compiled_files
if sys.argv[2] == "restore":
    compiled_files.restore()
else:
    compiled_files.install(Path(sys.argv[1]).read_bytes())
from etl_ray.book import warm as of_books
from etl_ray.coverage import warm as of_coverage
from etl_ray.scan import warm as of_lines
print(json.dumps([part.is_compiled() for part in (of_lines, of_coverage, of_books)]))
if sys.argv[2] != "look":
    for part in (of_lines, of_coverage, of_books):
        part.warm_up()
    loops = [getattr(module, name) for module in compiled_files._MODULES for name in dir(module)]
    stats = [loop.stats for loop in loops if getattr(getattr(loop, "stats", None), "cache_path", None)]
    print(json.dumps([sum(sum(each.cache_misses.values()) for each in stats),
                      sum(sum(each.cache_hits.values()) for each in stats) > 5]))
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a directory with a copy of the package, of which nothing is compiled."""
    shutil.copytree(ROOT / "etl_ray", tmp_path / "copy" / "etl_ray", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "copy"


def installed(copy: Path, data: bytes, then: str) -> list[object]:
    """Install compiled code in a process that uses the copy; return what it says."""
    (copy / "packed").write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(copy / "packed"), then],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(copy), *filter(None, sys.path)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_same_sources_load_what_was_compiled_elsewhere(copy: Path) -> None:
    compile_all(books=True, progress=SilentProgress())

    assert installed(copy, packed(), "load") == [[True, True, True], [0, True]]


def test_other_sources_do_not(copy: Path) -> None:
    compile_all(books=True, progress=SilentProgress())
    with (copy / "etl_ray" / "scan" / "numbers.py").open("a") as source:
        source.write("# changed\n")

    assert installed(copy, packed(), "look") == [[False, False, False]]


def test_what_an_earlier_version_has_left_is_replaced(copy: Path) -> None:
    compile_all(books=True, progress=SilentProgress())
    assert installed(copy, packed(), "look") == [[True, True, True]]
    indices = list((copy / "etl_ray").rglob("*.nbi"))
    for path in indices:
        with path.open("rb") as file:
            version = pickle.load(file)
            _, overloads = pickle.loads(file.read())
        path.write_bytes(pickle.dumps(version) + pickle.dumps(("another source", overloads)))
    for path in (copy / "etl_ray").rglob("*.nbc"):
        path.write_bytes(b"another code")

    assert len(indices) > 10
    nothing = io.BytesIO()
    with zipfile.ZipFile(nothing, "w") as archive:
        archive.writestr("sources", "others")
    assert installed(copy, nothing.getvalue(), "look") == [[False, False, False]]
    assert installed(copy, packed(), "load") == [[True, True, True], [0, True]]


def test_compiled_code_holds_nothing_of_other_files_that_may_change() -> None:
    """Numba does not notice a change of other files than that of a function: such values have to stay what they are."""
    found = {}
    for module in compiled_files._MODULES:
        tree = ast.parse(Path(module.__file__ or "").read_text())
        foreign = {
            name.asname or name.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("etl_ray")
            for name in node.names
        }
        for loop in vars(module).values():
            if hasattr(loop, "py_func") and loop.__module__ == module.__name__:
                used = foreign.intersection(loop.py_func.__code__.co_names)
                found |= {name: getattr(module, name) for name in used}
    assert found == {"NULL": -(2**63), "NS_PER_DAY": 86_400_000_000_000}


def test_what_is_kept_is_found_by_the_same_sources_elsewhere(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    compile_all(books=True, progress=SilentProgress())
    (tmp_path / "cache" / "etl-ray").mkdir(parents=True)
    for number in range(12):
        old = tmp_path / "cache" / "etl-ray" / f"compiled-{number:016}.zip"
        old.touch()
        os.utime(old, (number, number))
    keep()

    assert len(list((tmp_path / "cache" / "etl-ray").iterdir())) == 10
    assert installed(copy, b"", "restore") == [[True, True, True], [0, True]]


@pytest.mark.parametrize("kept", [None, b"", b"no archive"])
def test_a_cache_that_is_broken_is_none(kept: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if kept is not None:
        compiled_files._kept().parent.mkdir()
        compiled_files._kept().write_bytes(kept)

    compiled_files.restore()
