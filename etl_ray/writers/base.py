"""What a writer is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True)
class WriteReport:
    """What was written: files by URL, in order, and their rows and bytes in total."""

    files: tuple[str, ...]
    rows: int
    bytes: int


class BaseWriter(ABC):
    """Writes a stream of Arrow batches of one schema, in bounded memory."""

    @abstractmethod
    def write(
        self, data: Iterable[pa.RecordBatch], output_path: str, partition_cols: Sequence[str] = ()
    ) -> WriteReport:
        """Write all batches below `output_path`, split by `partition_cols`."""
