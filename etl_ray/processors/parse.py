"""`RawParser`: raw lines become typed tables."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from etl_ray.errors import ConfigError, SchemaError
from etl_ray.processors.base import BaseProcessor
from etl_ray.scan import ConnectionTracker, LineParser, Parsed
from etl_ray.scan.outcomes import constant, error_columns, named, reject_columns
from etl_ray.tables import DELIVERED, Numbers
from etl_ray.tables.dates import date_in_name
from etl_ray.venues import VENUES, Venue
from etl_ray.venues.rows import Messages

logger = logging.getLogger(__name__)

_PAD_BYTES = 64
_START_BYTES = 1 << 20
_LINE_COLUMNS = ("segment", "line", "byte_offset", "raw")


class RawParser(BaseProcessor):
    """Parses lines as `NDJSONReader` yields them: batches with `segment`, `line`, `byte_offset` and `raw`.

    With `channel`, a table's name, it yields batches of that table; without, batches of every table, `rejects` and
    `errors` included, each of which says in its schema which one it is. `source` names the venue. Connections are told
    apart over the whole stream, which therefore has to be in arrival order.
    """

    def __init__(self, source: str = "coinbase", channel: str | None = None, *, numbers: Numbers = "float64") -> None:
        if source not in VENUES:
            raise ConfigError(f"unknown source {source!r}; known: {', '.join(VENUES)}")
        self._venue: Venue = VENUES[source]
        known = (*(shape.table for shape in self._venue.shapes), "errors", "rejects")
        if channel is not None and channel not in known:
            raise ConfigError(f"{source} has no channel {channel!r}; it has: {', '.join(known)}")
        self._tables = known if channel is None else (channel,)
        self._numbers: Numbers = numbers

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield tables; lines that are not valid go to `rejects`, or are counted in a warning where it is not asked."""
        parser = LineParser(self._venue, self._numbers, block_bytes=_START_BYTES)
        tracker = ConnectionTracker()
        lines = rejects = 0
        for batch in batches:
            for stretch in _stretches(_checked(batch)):
                found = list(self._parse(parser, stretch))
                lines += len(stretch)
                rejects += sum(len(parsed.rejects) for parsed in found)
                yield from self._tables_of(found, stretch, tracker)
        if rejects and "rejects" not in self._tables:
            logger.warning(
                "%s of %s lines were rejected; RawParser without a channel yields them as the table rejects",
                f"{rejects:,}",
                f"{lines:,}",
            )

    def _parse(self, parser: LineParser, batch: pa.RecordBatch) -> Iterator[Parsed]:
        """Parse the lines of a batch; the results count lines from 1 within it."""
        parser.begin_unit()
        data, size = _joined(batch.column("raw"))
        yield from parser.parse(data, size, 0)

    def _tables_of(
        self, found: list[Parsed], batch: pa.RecordBatch, tracker: ConnectionTracker
    ) -> Iterator[pa.RecordBatch]:
        places = _Places(batch)
        for parsed in found:
            messages = parsed.messages
            connection = tracker.assign(
                messages.sequence_num,
                messages.product,
                parsed.heartbeat_counters(),
                parsed.symbols,
                partial(places.name_of, messages),
            )
            for table, rows in parsed.rows.items():
                if table in self._tables and len(rows):
                    columns = self._venue.assemble[table](rows)
                    columns["connection_id"] = named(connection[rows.message], tracker.ids)
                    yield self._batch(table, columns, places)
            if parsed.errors and "errors" in self._tables:
                yield self._batch("errors", error_columns(parsed.errors, places.date), places)
            if parsed.rejects and "rejects" in self._tables:
                columns = reject_columns(parsed.rejects, places.date)
                columns["byte_offset"] = places.offsets(columns["line"])
                yield self._batch("rejects", columns, places)

    def _batch(self, table: str, columns: dict[str, pa.Array], places: _Places) -> pa.RecordBatch:
        columns["segment"] = constant(places.segment, len(columns["line"]))
        columns["line"] = places.lines(columns["line"])
        return DELIVERED[table].batch(columns, self._numbers)


class _Places:
    """Where the lines of a batch, which are counted from 1 within it, stand in their segment."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.segment: str = batch.column("segment")[0].as_py()
        self.date = date_in_name(self.segment)
        self._lines = batch.column("line").to_numpy()
        self._offsets = batch.column("byte_offset").to_numpy()

    def name_of(self, messages: Messages, index: int) -> str:
        return f"{self.segment}:{self._lines[messages.line[index] - 1]}"

    def lines(self, within: pa.Array) -> pa.Array:
        return pa.array(self._lines[within.to_numpy() - 1])

    def offsets(self, within: pa.Array) -> pa.Array:
        return pa.array(self._offsets[within.to_numpy() - 1])


def _checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    missing = [name for name in _LINE_COLUMNS if name not in batch.schema.names]
    if missing:
        raise SchemaError(
            f"RawParser expects the columns {', '.join(_LINE_COLUMNS)}, as NDJSONReader yields them; "
            f"missing: {', '.join(missing)}"
        )
    return batch


def _stretches(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Split a batch where its segment changes."""
    if not len(batch):
        return
    codes = batch.column("segment").cast(pa.string()).dictionary_encode().indices.to_numpy()
    bounds = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(batch)]
    for start, end in pairwise(bounds):
        yield batch.slice(start, end - start)


def _joined(raw: pa.Array) -> tuple[npt.NDArray[np.uint8], int]:
    """Return the lines as one buffer with line feeds between them and zeros behind, and its size without these."""
    lines = pc.fill_null(raw.cast(pa.large_binary()), b"")
    both = pa.LargeListArray.from_arrays(pa.array([0, len(lines)], pa.int64()), lines)
    joined = pc.binary_join(both, pa.scalar(b"\n", pa.large_binary()))[0].as_buffer()
    size = joined.size + 1
    data = np.zeros(size + _PAD_BYTES, np.uint8)
    data[: size - 1] = np.frombuffer(joined, np.uint8)
    data[size - 1] = ord("\n")
    return data, size
