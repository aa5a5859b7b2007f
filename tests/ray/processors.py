"""Processors that fail, for tests of what comes back from workers."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numba
import polars as pl
import pyarrow as pa

from etl_ray.errors import StorageError
from etl_ray.processors import BaseProcessor


class Divide(BaseProcessor):
    """Has a defect."""

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch.slice(0, len(batch) // 0)


class Refuse(BaseProcessor):
    """Fails for a known reason."""

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in batches:
            raise StorageError("cannot write memory://bucket: no room in the bucket")
        yield from ()


class Where(BaseProcessor):
    """Adds the process that it runs in."""

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch.append_column("pid", pa.array([os.getpid()] * len(batch)))


class Threads(BaseProcessor):
    """Adds with how many threads the libraries compute, Arrow's first."""

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        threads = [pa.cpu_count(), pl.thread_pool_size(), numba.get_num_threads()]
        for batch in batches:
            yield batch.append_column("threads", pa.array([threads] * len(batch)))
