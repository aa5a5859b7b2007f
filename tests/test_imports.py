"""What a process need not load to begin soon: each of these takes a tenth of a second or more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from etl_ray.sample import SampleOptions, write_sample

ROOT = Path(__file__).parents[1]
PROGRAM = """
import json, sys
from etl_ray.cli import main
sys.argv = ["etl-ray", "run", *sys.argv[1:], "--engine", "local", "--json"]
try:
    main()
finally:
    print(json.dumps(sorted(set(sys.modules) & {"ray", "polars", "fsspec", "gcsfs", "s3fs", "pyarrow.dataset"})))
"""


def loaded(*arguments: str) -> list[str]:
    """Return which of the slow modules a run of the command line has loaded."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_run_of_this_machine_loads_neither_ray_nor_polars_nor_clients_of_buckets(tmp_path: Path) -> None:
    # No candles, which are held to bars by Polars.
    write_sample(str(tmp_path / "in"), SampleOptions(minutes=0.02, rate=5, levels=10, connections=1))
    channels = "level2,market_trades,ticker,heartbeats,status,subscriptions,errors"
    assert loaded(str(tmp_path / "in"), str(tmp_path / "out"), "--channels", channels) == []
    # Each of them is found if it is loaded.
    assert "polars" in loaded(str(tmp_path / "in"), str(tmp_path / "out2"), "--bars", "1s")
