"""Bars as a function of trades: no files, no Ray."""

from __future__ import annotations

from etl_ray.bars.build import bars, context
from etl_ray.bars.spec import BarOptions, BarSpec, parse_bar
from etl_ray.bars.tape import Tape

__all__ = ["BarOptions", "BarSpec", "Tape", "bars", "context", "parse_bar"]
