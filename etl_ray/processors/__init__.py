"""From Arrow batches to Arrow batches."""

from __future__ import annotations

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
