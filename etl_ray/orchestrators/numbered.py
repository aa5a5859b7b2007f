"""The numbers and first products of a unit's messages, which stitching follows to tell connections apart."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from etl_ray import storage
from etl_ray.errors import StorageError
from etl_ray.orchestrators.receipts import NumberedFile
from etl_ray.scan import ConnectionTracker
from etl_ray.venues.rows import Int32s, Messages

_FOLDER = "numbered"
_SCHEMA = pa.schema([("sequence_num", pa.int64()), ("product", pa.int32()), ("line", pa.int64())])


class NumberedMessages:
    """Collects the messages of a unit, block by block."""

    def __init__(self) -> None:
        self._parts: list[Messages] = []
        self._count = 0

    def add(self, messages: Messages) -> int:
        """Append messages; return how many there were before."""
        before = self._count
        self._parts.append(messages)
        self._count += len(messages)
        return before

    def write(self, staging: str, unit: str, symbols: Sequence[str]) -> NumberedFile:
        """Write all messages of the unit, whose products index `symbols`."""
        schema = _SCHEMA.with_metadata({b"%d" % code: symbol.encode() for code, symbol in enumerate(symbols)})
        sink = io.BytesIO()
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_stream(sink, schema, options=options) as stream:
            for part in self._parts:
                columns = [part.sequence_num, part.product, part.line]
                stream.write_batch(pa.RecordBatch.from_arrays([pa.array(column) for column in columns], schema=schema))
        path = f"{_FOLDER}/{unit}.arrow"
        storage.write_bytes(storage.join(staging, path), sink.getvalue(), durable=False)
        return NumberedFile(path, len(sink.getvalue()))


def follow(staging: str, path: str, tracker: ConnectionTracker, *, segment: str, line_offset: int) -> Int32s:
    """Return the connection of each message of the next unit, whose first line is `line_offset` + 1 of `segment`."""
    url = storage.join(staging, path)
    try:
        with pa.ipc.open_stream(storage.read_bytes(url)) as stream:
            symbols = [name.decode() for _, name in sorted(_codes(stream.schema.metadata or {}).items())]
            found = [_assign(batch, symbols, tracker, segment, line_offset) for batch in stream]
    except pa.ArrowInvalid as error:
        raise StorageError(
            f"the staged piece {storage.redact(url)} cannot be read: {error}. "
            f"Delete {storage.redact(staging)} and start again"
        ) from None
    return np.concatenate(found) if found else np.zeros(0, np.int32)


def _codes(metadata: dict[bytes, bytes]) -> dict[int, bytes]:
    return {int(code): name for code, name in metadata.items()}


def _assign(
    batch: pa.RecordBatch, symbols: list[str], tracker: ConnectionTracker, segment: str, line_offset: int
) -> Int32s:
    numbers, products, lines = (column.to_numpy() for column in batch.columns)
    return tracker.assign(numbers, products, symbols, lambda index: f"{segment}:{lines[index] + line_offset}")
