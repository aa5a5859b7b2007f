"""`ProcessorChain`: several processors as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from etl_ray.errors import ConfigError
from etl_ray.processors.base import BaseProcessor


class ProcessorChain(BaseProcessor):
    """Applies processors one after the other, batch by batch; an empty chain changes nothing."""

    def __init__(self, processors: Sequence[BaseProcessor]) -> None:
        for processor in processors:
            if not callable(getattr(processor, "process", None)):
                raise ConfigError(f"expected processors with a method process(batches), found {processor!r}")
        self._processors = tuple(processors)

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield what the last processor yields."""
        for processor in self._processors:
            batches = processor.process(batches)
        return batches
