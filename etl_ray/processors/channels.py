"""One processor per channel: takes the rows of its table out of a stream and holds them to the table's schema."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from etl_ray.processors.base import BaseProcessor
from etl_ray.tables import CANDLES, DECIMAL, DELIVERED, MARKET_TRADES, TICKER, Numbers, Table
from etl_ray.tables.schema import Number


class TableProcessor(BaseProcessor):
    """Yields the rows of `table`, conformed to its schema; batches that say they are of another table are dropped.

    Rows as a run has written them are conformed to the table, rows as delivered to what of it a parser knows. Batches
    that do not say what they are (Polars and others drop metadata) are taken for rows of the table, and SchemaError
    names the columns that do not fit.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._delivered = DELIVERED[table.name]

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the table's batches."""
        for batch in batches:
            named = (batch.schema.metadata or {}).get(b"etl_ray.table", self._table.name.encode()).decode()
            if named == self._table.name:
                is_delivered = set(self._delivered.names) == set(batch.schema.names)
                table = self._delivered if is_delivered else self._table
                rows = table.conform(pa.Table.from_batches([batch]), self._numbers(batch))
                yield from rows.to_batches()

    def _numbers(self, batch: pa.RecordBatch) -> Numbers:
        """Return how the batch stores numbers."""
        for column in self._table.columns:
            if isinstance(column.type, Number) and column.name in batch.schema.names:
                return "decimal" if batch.schema.field(column.name).type == DECIMAL else "float64"
        return "float64"


class TradesProcessor(TableProcessor):
    """Rows of `market_trades`: every delivered copy, if they come from a parser."""

    def __init__(self) -> None:
        super().__init__(MARKET_TRADES)


class TickerProcessor(TableProcessor):
    """Rows of `ticker`; without `include_batch` only those of the channel ticker, not of ticker_batch."""

    def __init__(self, *, include_batch: bool = True) -> None:
        super().__init__(TICKER)
        self._include_batch = include_batch

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the table's batches."""
        for batch in super().process(batches):
            yield batch if self._include_batch else batch.filter(pc.invert(batch.column("is_batch")))


class CandlesProcessor(TableProcessor):
    """Rows of `candles`: every delivered version, if they come from a parser; a run keeps the last one only."""

    def __init__(self) -> None:
        super().__init__(CANDLES)
