"""What stitching has to know of each message of a unit: to tell connections apart, and what is missing of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from etl_ray import storage
from etl_ray.errors import StorageError
from etl_ray.orchestrators.receipts import NumberedFile
from etl_ray.scan import ConnectionTracker, Parsed
from etl_ray.venues.rows import Int32s

_FOLDER = "numbered"
_ASSIGNED = "connections"
_INDEX = np.dtype("<i4")
# Times and counters are NULL where there is none; `channel` is an index into the parser's channels.
_SCHEMA = pa.schema(
    [
        ("sequence_num", pa.int64()),
        ("product", pa.int32()),
        ("heartbeat_counter", pa.int64()),
        ("line", pa.int64()),
        ("ts_server", pa.int64()),
        ("channel", pa.int8()),
    ]
)


class NumberedWriter:
    """Writes the messages of a unit, block by block; the file appears when it is closed without an exception."""

    def __init__(self, staging: str, unit: str) -> None:
        self._path = f"{_FOLDER}/{unit}.arrow"
        self._url = storage.join(staging, self._path)
        self._stack = ExitStack()
        self._count = 0

    def __enter__(self) -> NumberedWriter:
        file = self._stack.enter_context(storage.open_write(self._url, durable=False))
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        self._stream = self._stack.enter_context(pa.ipc.new_stream(file, _SCHEMA, options=options))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]

    def add(self, parsed: Parsed) -> int:
        """Append the messages of a stretch; return how many there were before."""
        before = self._count
        messages = parsed.messages
        columns = {
            "sequence_num": messages.sequence_num,
            "product": messages.product,
            "heartbeat_counter": parsed.heartbeat_counters(),
            "line": messages.line,
            "ts_server": messages.ts_server,
            "channel": messages.channel,
        }
        self._stream.write_batch(
            pa.RecordBatch.from_arrays([pa.array(columns[name]) for name in _SCHEMA.names], schema=_SCHEMA)
        )
        self._count += len(messages)
        return before

    def finish(self, symbols: Sequence[str]) -> NumberedFile:
        """Close the file and describe it; products index `symbols`."""
        self._stack.close()
        return NumberedFile(self._path, storage.file_info(self._url).size, tuple(symbols))


def assign_connections(
    staging: str, unit: str, numbered: NumberedFile, *, tracker: ConnectionTracker, segment: str, line_offset: int
) -> tuple[tuple[str, ...], str | None]:
    """Return the connections of the next unit, whose first line is `line_offset` + 1 of `segment`.

    If there are several, also where, below the staging directory, the index of each message's connection is written.
    """
    local: dict[int, int] = {}  # connections of the unit in the order of their first message
    path = f"{_ASSIGNED}/{unit}.int32"
    before = 0
    with ExitStack() as stack:
        file: BinaryIO | None = None
        for batch in _batches(staging, numbered):
            numbers, products, counters, lines = (
                batch.column(name).to_numpy() for name in ("sequence_num", "product", "heartbeat_counter", "line")
            )

            def place(index: int, lines: np.ndarray = lines) -> str:
                return f"{segment}:{lines[index] + line_offset}"

            index = _localized(tracker.assign(numbers, products, counters, numbered.symbols, place), local)
            if file is None and len(local) > 1:
                file = stack.enter_context(storage.open_write(storage.join(staging, path), durable=False))
                file.write(bytes(_INDEX.itemsize * before))  # so far all were of the first
            if file is not None:
                file.write(index.astype(_INDEX).tobytes())
            before += len(index)
    # What has no number (-1) has no row, so it does not matter which connection its index stands for.
    connections = tuple(tracker.ids[code] if code >= 0 else "" for code in local)
    return connections, None if file is None else path


def read_assignment(staging: str, path: str) -> Int32s:
    """Return the index of each message's connection among those of its unit."""
    return np.frombuffer(storage.read_bytes(storage.join(staging, path)), _INDEX).astype(np.int32)


def _localized(found: Int32s, local: dict[int, int]) -> Int32s:
    """Return connections as positions in `local`, to which new ones are added."""
    distinct, index = np.unique(found, return_inverse=True)
    codes = np.array([local.setdefault(int(code), len(local)) for code in distinct], np.int32)
    return codes[index]


def _batches(staging: str, numbered: NumberedFile) -> Iterator[pa.RecordBatch]:
    url = storage.join(staging, numbered.path)
    try:
        with storage.open_read(url) as file, pa.ipc.open_stream(file) as stream:
            yield from stream
    except pa.ArrowInvalid as error:
        raise StorageError(
            f"the staged piece {storage.redact(url)} cannot be read: {error}. "
            f"Delete {storage.redact(staging)} and start again"
        ) from None
