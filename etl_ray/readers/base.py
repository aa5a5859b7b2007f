"""What a reader is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import pyarrow as pa


class BaseReader(ABC):
    """Reads an input as a stream of Arrow batches, in bounded memory."""

    @abstractmethod
    def read(self, input_path: str) -> Iterator[pa.RecordBatch]:
        """Yield the input in order; a batch says in its schema what it holds."""
