"""etl-ray: recorded market-data WebSocket messages in, research-grade Parquet tables out.

The names below are imported when they are first used, so that `import etl_ray` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from etl_ray.version import __version__

if TYPE_CHECKING:
    from etl_ray.config import ChannelConfig, JobConfig, load_config
    from etl_ray.config.prices import Prices, load_prices
    from etl_ray.dataset import map_processor, read_dataset
    from etl_ray.job import ETLJob, compact, reprocess
    from etl_ray.orchestrators.book_at import BookAt, book_at
    from etl_ray.orchestrators.pipeline import ETLPipeline
    from etl_ray.orchestrators.run_estimate import RunEstimate, plan
    from etl_ray.orchestrators.segment_pipeline import SegmentPipeline
    from etl_ray.orchestrators.status import OutputStatus, status
    from etl_ray.orchestrators.verify import OutputCheck, verify
    from etl_ray.processors.bars import BarsProcessor
    from etl_ray.processors.base import BaseProcessor
    from etl_ray.processors.chain import ProcessorChain
    from etl_ray.processors.channels import CandlesProcessor, TickerProcessor, TradesProcessor
    from etl_ray.processors.level2 import Level2Processor
    from etl_ray.processors.parse import RawParser
    from etl_ray.readers.base import BaseReader
    from etl_ray.readers.ndjson import NDJSONReader
    from etl_ray.readers.parquet import ParquetReader
    from etl_ray.summary import CompactSummary, ReprocessSummary, RunSummary
    from etl_ray.tables import TABLES
    from etl_ray.writers.base import BaseWriter
    from etl_ray.writers.parquet import ParquetWriter

_WHERE = {
    "BarsProcessor": "etl_ray.processors.bars",
    "BaseProcessor": "etl_ray.processors.base",
    "BaseReader": "etl_ray.readers.base",
    "BaseWriter": "etl_ray.writers.base",
    "BookAt": "etl_ray.orchestrators.book_at",
    "CandlesProcessor": "etl_ray.processors.channels",
    "ChannelConfig": "etl_ray.config",
    "CompactSummary": "etl_ray.summary",
    "ETLJob": "etl_ray.job",
    "ETLPipeline": "etl_ray.orchestrators.pipeline",
    "JobConfig": "etl_ray.config",
    "Level2Processor": "etl_ray.processors.level2",
    "NDJSONReader": "etl_ray.readers.ndjson",
    "OutputCheck": "etl_ray.orchestrators.verify",
    "OutputStatus": "etl_ray.orchestrators.status",
    "ParquetReader": "etl_ray.readers.parquet",
    "ParquetWriter": "etl_ray.writers.parquet",
    "Prices": "etl_ray.config.prices",
    "ProcessorChain": "etl_ray.processors.chain",
    "RawParser": "etl_ray.processors.parse",
    "ReprocessSummary": "etl_ray.summary",
    "RunEstimate": "etl_ray.orchestrators.run_estimate",
    "RunSummary": "etl_ray.summary",
    "SegmentPipeline": "etl_ray.orchestrators.segment_pipeline",
    "TABLES": "etl_ray.tables",
    "TickerProcessor": "etl_ray.processors.channels",
    "TradesProcessor": "etl_ray.processors.channels",
    "book_at": "etl_ray.orchestrators.book_at",
    "compact": "etl_ray.job",
    "load_config": "etl_ray.config",
    "load_prices": "etl_ray.config.prices",
    "map_processor": "etl_ray.dataset",
    "plan": "etl_ray.orchestrators.run_estimate",
    "read_dataset": "etl_ray.dataset",
    "reprocess": "etl_ray.job",
    "status": "etl_ray.orchestrators.status",
    "verify": "etl_ray.orchestrators.verify",
}

__all__ = [
    "TABLES",
    "BarsProcessor",
    "BaseProcessor",
    "BaseReader",
    "BaseWriter",
    "BookAt",
    "CandlesProcessor",
    "ChannelConfig",
    "CompactSummary",
    "ETLJob",
    "ETLPipeline",
    "JobConfig",
    "Level2Processor",
    "NDJSONReader",
    "OutputCheck",
    "OutputStatus",
    "ParquetReader",
    "ParquetWriter",
    "Prices",
    "ProcessorChain",
    "RawParser",
    "ReprocessSummary",
    "RunEstimate",
    "RunSummary",
    "SegmentPipeline",
    "TickerProcessor",
    "TradesProcessor",
    "__version__",
    "book_at",
    "compact",
    "load_config",
    "load_prices",
    "map_processor",
    "plan",
    "read_dataset",
    "reprocess",
    "status",
    "verify",
]


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'etl_ray' has no attribute {name!r}")
    value: object = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
