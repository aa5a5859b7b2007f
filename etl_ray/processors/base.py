"""What a processor is: the place where users put code of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import pyarrow as pa


class BaseProcessor(ABC):
    """Turns a stream of Arrow batches into another.

    Keep state in local variables of `process`: one call sees one stream (in the job, the rows of one final file, in
    arrival order), and nothing is carried over to the next.
    """

    @abstractmethod
    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield batches made of `batches`; all that it yields have one schema."""
