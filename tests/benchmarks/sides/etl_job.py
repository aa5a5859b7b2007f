"""This job: what `etl-ray run --engine local --channels level2,market_trades,ticker --no-books` does."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from etl_ray.config import CHANNELS, JobConfig
from etl_ray.job import ETLJob
from etl_ray.progress import choose_progress
from tests.benchmarks.columns import COLUMNS

_CHANNELS: dict[str, dict[str, object]] = {name: {"enabled": name in COLUMNS} for name in CHANNELS}
_CHANNELS["level2"]["processor_options"] = {"reconstruct_lob": False}  # the other sides rebuild no books
_OPTIONS = {"engine": "local", "channels": _CHANNELS}


def convert(segments: Sequence[str], output: str) -> None:
    """Run the job on `segments`: one file, or everything in the folder of the first."""
    source = segments[0] if len(segments) == 1 else str(Path(segments[0]).parent)
    ETLJob(source, output, config=JobConfig().merge(_OPTIONS), progress=choose_progress(True, sys.stderr)).process_all()
