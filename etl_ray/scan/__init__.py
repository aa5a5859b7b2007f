"""From bytes to columns: the compiled scanner, the strict parser behind it, and `LineParser` in front of both."""

from __future__ import annotations

from etl_ray.scan.connections import ConnectionTracker
from etl_ray.scan.parsed import Mentions, Parsed, Reject
from etl_ray.scan.parser import LineParser

__all__ = ["ConnectionTracker", "LineParser", "Mentions", "Parsed", "Reject"]
