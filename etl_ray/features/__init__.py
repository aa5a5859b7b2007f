"""Features across channels: trades beside books, and what intervals of both tell. No files, no Ray."""

from __future__ import annotations

from etl_ray.features.interval_features import interval_features
from etl_ray.features.options import FeatureOptions
from etl_ray.features.trades_with_book import trades_with_book

CONTEXT = """\
Which rows both functions need to tell of [first_ns, end_ns), for UTC dates d of it:
trades of the dates d-2 to d+1, the last trade before them and the first behind them;
rows of `book` of the dates d-1 to d+1, in the order of arrival, all of them.
Rows beyond these change nothing, as long as `ts_align` and `ts_server` of a row are less than a day apart.
`trades_with_book` alone needs no trades but those of [first_ns, end_ns), if both are midnights.
"""
"""The rows around a span of time that its results depend on."""

__all__ = ["CONTEXT", "FeatureOptions", "interval_features", "trades_with_book"]
