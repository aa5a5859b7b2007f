"""A first run on Ray from the command line, as on a machine that has never seen Ray."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from etl_ray.sample import SampleOptions, write_sample
from tests.orchestrators.jobs import run
from tests.orchestrators.outputs import strays_of, table_files_of

SAMPLE = SampleOptions(minutes=0.1, products=("BTC-USD", "ETH-USD"), rate=8, levels=40, segment_mb=0.05)
LINE = re.compile(r"(normalize|build): [\d,]+/[\d,]+ units, .*( s| left|:\d\d| unknown)")
CONFIG = """
staging: {unit_mb: 0.02, block_mb: 0.01, rows_per_file: 200}
resources: {memory_mb_per_task: 200}
"""


def test_the_bytes_are_those_of_a_run_in_this_process_and_only_our_lines_are_printed(tmp_path: Path) -> None:
    write_sample(str(tmp_path / "input"), SAMPLE)
    (tmp_path / "config.yaml").write_text(CONFIG)
    command = "import sys; sys.argv[0] = 'etl-ray'; from etl_ray.cli import main; main()"
    arguments = ["run", "input", "output", "--config", "config.yaml", "--engine", "ray", "--json"]
    # Ray keeps its token in the home directory, and says so where the mode is not set.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", command, *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    staging = {"unit_mb": 0.02, "block_mb": 0.01, "rows_per_file": 200, "max_line_mb": 64.0}
    summary = run(tmp_path / "input", tmp_path / "local", staging=staging)
    assert summary.lines > 200
    assert table_files_of(tmp_path / "output") == table_files_of(tmp_path / "local")
    assert len(table_files_of(tmp_path / "output")) > 15
    assert strays_of(tmp_path / "output") == []
    stages = [LINE.fullmatch(line) for line in done.stderr.splitlines() if not line.startswith("compiling")]
    assert all(stages), done.stderr
    assert list(dict.fromkeys(stage[1] for stage in stages if stage)) == ["normalize", "build"]
