"""Bars as a function of trades: no files, no Ray.

The names below are imported when they are first used: what asks for the name of a bar need not load Polars.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from etl_ray.bars.build import bars, context
    from etl_ray.bars.spec import BarOptions, BarSpec, Reset, parse_bar, parse_duration_ns
    from etl_ray.bars.stream import BarStream
    from etl_ray.bars.tape import Tape

__all__ = ["BarOptions", "BarSpec", "BarStream", "Reset", "Tape", "bars", "context", "parse_bar", "parse_duration_ns"]

_WHERE = {
    "BarOptions": "spec",
    "BarSpec": "spec",
    "BarStream": "stream",
    "Reset": "spec",
    "Tape": "tape",
    "bars": "build",
    "context": "build",
    "parse_bar": "spec",
    "parse_duration_ns": "spec",
}


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'etl_ray.bars' has no attribute {name!r}")
    value: object = getattr(import_module(f"etl_ray.bars.{_WHERE[name]}"), name)
    globals()[name] = value
    return value
