"""What is compiled is compiled once, before the clock of a run starts, and kept on disk for other processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from etl_ray.book import warm as of_books
from etl_ray.coverage import warm as of_coverage
from etl_ray.orchestrators import compiled, compiled_files
from etl_ray.scan import warm as of_lines

ROOT = Path(__file__).parents[2]
# Runs that differ in all that decides which loops are entered, in a process that has done nothing else.
PROGRAM = """
import json, sys
from pathlib import Path
from etl_ray.book import kernel as books
from etl_ray.coverage import timeline
from etl_ray.orchestrators.compiled import compile_all
from etl_ray.progress import SilentProgress
from etl_ray.scan import connections, kernel
from tests.orchestrators.jobs import run

def compiled():
    loops = {
        f"{module.__name__}.{name}": loop
        for module in (books, timeline, connections, kernel)
        for name in dir(module)
        if getattr(getattr(loop := getattr(module, name), "stats", None), "cache_path", None)
    }
    return {name: [len(loop.signatures), sum(loop.stats.cache_misses.values())] for name, loop in loops.items()}

compile_all(books=True, progress=SilentProgress())
before = compiled()
source, output = map(Path, sys.argv[1:])
by_second = {"emit": "1s", "skip_empty": True, "trust_beat": True}
for number, overrides in enumerate((
    {},
    {"numbers": "decimal", "staging": {"unit_mb": 0.02, "block_mb": 0.01, "rows_per_file": 50}},
    {"channels": {"level2": {"processor_options": by_second}}},
    {"channels": {"level2": {"processor_options": {"compute_features": False}}}, "products": ["BTC-USD"]},
)):
    run(source, output / str(number), **overrides)
print(json.dumps([before, compiled()]))
"""


def test_a_run_compiles_nothing_that_was_not_compiled_ahead_of_it(hostile_dir: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(hostile_dir)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    for number in range(2):  # the first one may be the very first on this machine
        done = subprocess.run(
            [*command, str(tmp_path / str(number))], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        before, after = json.loads(done.stdout)
    assert after == before
    # One kind of arguments each, and none of them compiled by the second process.
    assert {name: counts for name, counts in after.items() if counts != [1, 0]} == {}
    assert {"etl_ray.scan.connections._follow", "etl_ray.coverage.timeline._follow"} < set(after)
    assert {"etl_ray.scan.kernel.scan_block", "etl_ray.book.kernel.advance"} < set(after)


class Notes:
    """A progress that keeps notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.mark.parametrize(
    ("lines", "coverage", "kernels", "books", "notes"),
    [
        (True, True, True, True, []),
        (True, True, False, False, []),
        (True, True, False, True, ["compiling the scanner and the books: some 20 seconds, once on this machine"]),
        (True, False, True, True, ["compiling the scanner and the books: some 20 seconds, once on this machine"]),
        (False, True, True, False, ["compiling the scanner: some 10 seconds, once on this machine"]),
    ],
)
def test_what_takes_long_is_told(
    lines: bool, coverage: bool, kernels: bool, books: bool, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []
    monkeypatch.setattr(compiled_files, "restore", lambda: done.append("restored"))
    monkeypatch.setattr(compiled_files, "keep", lambda: done.append("kept"))
    for part, is_compiled in ((of_lines, lines), (of_coverage, coverage), (of_books, kernels)):
        monkeypatch.setattr(part, "is_compiled", lambda is_compiled=is_compiled: is_compiled)
        monkeypatch.setattr(part, "warm_up", lambda part=part: done.append(part))
    progress = Notes()
    assert compiled.compile_all(books=books, progress=progress) >= 0  # type: ignore[arg-type]
    assert progress.notes == notes
    parts = [of_lines, of_coverage, *([of_books] if books else [])]
    assert done == (["restored", *parts, "kept"] if notes else parts)
