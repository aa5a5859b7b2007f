"""`Level2Processor`: the rows of `level2`, or the books that they make."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from etl_ray.config import Level2Options
from etl_ray.errors import ConfigError
from etl_ray.processors.book_stream import BookStream, with_connection
from etl_ray.processors.channels import TableProcessor
from etl_ray.tables import LEVEL2


class Level2Processor(TableProcessor):
    """Yields rows of `level2`; with `reconstruct_lob` rows of `book` instead, one for each message of a product.

    Rows have to come in arrival order; each connection has a book of its own, and rows without `connection_id` are
    taken for those of one connection. What is missing between messages cannot be seen from rows of `level2`, so
    `book_state` is `no_snapshot` before a snapshot, then `unverifiable`, `suspect` where the book is crossed, and never
    `verified`. With `compute_features` there are features where it is `unverifiable`. SchemaError for a product whose
    values do not fit 64 bits at one scale. The other options are those of the config.
    """

    def __init__(
        self,
        reconstruct_lob: bool = False,
        compute_features: bool = False,
        depth: int = 10,
        *,
        imbalance_levels: tuple[int, ...] = (1, 5, 10),
        depth_bps: tuple[int, ...] = (5, 10, 25),
        sweep_notionals: tuple[int, ...] = (10_000, 100_000),
        ofi_levels: int = 5,
    ) -> None:
        super().__init__(LEVEL2)
        if compute_features and not reconstruct_lob:
            raise ConfigError(
                "Level2Processor(compute_features=True): features are those of books; expected reconstruct_lob=True too"
            )
        self._rebuilds = reconstruct_lob
        self._columns = Level2Options(
            compute_features=compute_features,
            depth=depth,
            imbalance_levels=imbalance_levels,
            depth_bps=depth_bps,
            sweep_notionals=sweep_notionals,
            ofi_levels=ofi_levels,
        ).columns

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the batches of `level2`, or of `book`."""
        if not self._rebuilds:
            return super().process(batches)
        return BookStream(self._columns).process(super().process(with_connection(batches)))
