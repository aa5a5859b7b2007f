"""Bars as a function of trades: no files, no Ray."""

from __future__ import annotations

from etl_ray.bars.build import bars, context
from etl_ray.bars.spec import BarOptions, BarSpec, Reset, parse_bar, parse_duration_ns
from etl_ray.bars.stream import BarStream
from etl_ray.bars.tape import Tape

__all__ = ["BarOptions", "BarSpec", "BarStream", "Reset", "Tape", "bars", "context", "parse_bar", "parse_duration_ns"]
