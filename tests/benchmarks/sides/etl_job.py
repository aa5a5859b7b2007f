"""This job: what `etl-ray run --engine local --channels level2,market_trades,ticker --no-books` does."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from etl_ray.config import CHANNELS, JobConfig
from etl_ray.job import ETLJob
from etl_ray.progress import choose_progress
from tests.benchmarks.columns import COLUMNS


def convert(segments: Sequence[str], output: str) -> None:
    """Run the job on `segments`: one file, or everything in the folder of the first."""
    run_job(segments, output, {})


def run_job(segments: Sequence[str], output: str, options: Mapping[str, object], *, books: bool = False) -> None:
    """Run the job with more options than the three channels; other sides rebuild no books."""
    channels: dict[str, dict[str, object]] = {name: {"enabled": name in COLUMNS} for name in CHANNELS}
    if not books:
        channels["level2"]["processor_options"] = {"reconstruct_lob": False}
    config = JobConfig().merge({"engine": "local", "channels": channels, **options})
    source = segments[0] if len(segments) == 1 else str(Path(segments[0]).parent)
    ETLJob(source, output, config=config, progress=choose_progress(True, sys.stderr)).process_all()
