"""From bytes to columns: the compiled scanner, the strict parser behind it, and `LineParser` in front of both."""

from __future__ import annotations

from etl_ray.scan.parsed import Mentions, Parsed, Reject
from etl_ray.scan.parser import LineParser
from etl_ray.scan.runs import Run, RunTracker, UnitRuns

__all__ = ["LineParser", "Mentions", "Parsed", "Reject", "Run", "RunTracker", "UnitRuns"]
