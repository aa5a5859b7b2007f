"""From Arrow batches to Arrow batches.

The names below are imported when they are first used: a run without bars need not load Polars.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from etl_ray.processors.bars import BarsProcessor
    from etl_ray.processors.base import BaseProcessor
    from etl_ray.processors.chain import ProcessorChain
    from etl_ray.processors.channels import CandlesProcessor, TickerProcessor, TradesProcessor
    from etl_ray.processors.level2 import Level2Processor
    from etl_ray.processors.parse import RawParser

__all__ = [
    "BarsProcessor",
    "BaseProcessor",
    "CandlesProcessor",
    "Level2Processor",
    "ProcessorChain",
    "RawParser",
    "TickerProcessor",
    "TradesProcessor",
]

_WHERE = {
    "BarsProcessor": "bars",
    "BaseProcessor": "base",
    "CandlesProcessor": "channels",
    "Level2Processor": "level2",
    "ProcessorChain": "chain",
    "RawParser": "parse",
    "TickerProcessor": "channels",
    "TradesProcessor": "channels",
}


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'etl_ray.processors' has no attribute {name!r}")
    value: object = getattr(import_module(f"etl_ray.processors.{_WHERE[name]}"), name)
    globals()[name] = value
    return value
