"""Generate recordings to try, test and measure with: deterministic, and shaped like the venue's."""

from __future__ import annotations

from etl_ray.sample.options import SampleOptions, SampleReport
from etl_ray.sample.recording import write_sample

__all__ = ["SampleOptions", "SampleReport", "write_sample"]
