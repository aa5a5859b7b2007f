"""This job with books: the same three channels, and the table `book` with all its features."""

from __future__ import annotations

from collections.abc import Sequence

from tests.benchmarks.sides.etl_job import run_job


def convert(segments: Sequence[str], output: str) -> None:
    """Run the job on `segments`."""
    run_job(segments, output, {}, books=True)
