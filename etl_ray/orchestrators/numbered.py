"""What stitching has to know of each message of a unit: to tell connections apart, and what is missing of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from etl_ray import storage
from etl_ray.coverage import places
from etl_ray.coverage.places import Edge
from etl_ray.coverage.timeline import Stretch, Timeline
from etl_ray.orchestrators.receipts import NumberedFile, Receipt
from etl_ray.orchestrators.staged_rows import GroupReader, GroupWriter
from etl_ray.readers.segments import Unit
from etl_ray.scan import ConnectionTracker, Parsed
from etl_ray.venues.coinbase import SNAPSHOT
from etl_ray.venues.rows import Int32s, Int64s

NUMBERED = "numbered"
ASSIGNED = "connections"
"""Below the staging directory: which message is of which connection, as the last run has found it."""
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


MESSAGES_SECTION, _MARKED = "messages", "marks"
_MENTION, _SNAPSHOT, _REJECT = range(3)
_MARKS = pa.schema([("kind", pa.int8()), ("message_index", pa.int32()), ("product", pa.int32())])


@dataclass(frozen=True)
class Place:
    """Where a unit stands in the recording: its segment's identity and index, lines in front of it in the segment.

    `rejects` lines were rejected before it, and reading ended early at `damages` places.
    """

    identity: str
    segment: int
    line_offset: int
    rejects: int
    damages: int


class NumberedWriter:
    """Writes the messages of a unit, block by block; the file appears when it is closed without an exception."""

    def __init__(self, staging: str, unit: str) -> None:
        self._staging = staging
        self._path = numbered_path(unit)
        self._stack = ExitStack()
        self._count = 0

    def __enter__(self) -> NumberedWriter:
        url = storage.join(self._staging, self._path)
        self._writer = GroupWriter(self._stack.enter_context(storage.open_write(url, durable=False)))
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
        self._writer.write(
            MESSAGES_SECTION,
            pa.RecordBatch.from_arrays([pa.array(columns[name]) for name in _SCHEMA.names], schema=_SCHEMA),
        )
        for kind, message, product in _marked(parsed):
            codes = [
                np.full(len(message), kind, np.int8),
                (message + before).astype(np.int32),
                product.astype(np.int32),
            ]
            marks = pa.RecordBatch.from_arrays([pa.array(column) for column in codes], schema=_MARKS)
            self._writer.write(_MARKED, marks)
        self._count += len(messages)
        return before

    def finish(self, symbols: Sequence[str]) -> NumberedFile:
        """Close the file and describe it; products index `symbols`."""
        self._writer.finish()
        self._stack.close()
        return NumberedFile(self._path, self._writer.bytes, tuple(symbols))


def _marked(parsed: Parsed) -> Iterator[tuple[int, Int64s, Int64s]]:
    """Yield kind, message and product of what is noted of messages beside their numbers and first products."""
    mentions = parsed.mentions
    others = mentions.product != parsed.messages.product[mentions.message]
    if others.any():
        yield _MENTION, *_distinct(mentions.message[others], mentions.product[others])
    rows = parsed.rows.get("level2")
    if rows is not None:
        snapshots = rows.array("type") == SNAPSHOT
        if snapshots.any():
            yield _SNAPSHOT, *_distinct(rows.message[snapshots], rows.array("product_id")[snapshots])
    if parsed.rejects:
        lines = np.array([reject.line for reject in parsed.rejects], np.int64)
        yield _REJECT, np.searchsorted(parsed.messages.line, lines), np.full(len(lines), -1, np.int64)


def _distinct(message: npt.NDArray[np.generic], product: npt.NDArray[np.generic]) -> tuple[Int64s, Int64s]:
    """Return each pair once, sorted."""
    pairs = np.unique((message.astype(np.int64) << 32) + product.astype(np.int64))
    return pairs >> 32, pairs & 0xFFFFFFFF


class NumberedReader:
    """Reads the messages of units, which are followed in the order in which they are given here."""

    def __init__(self, staging: str, units: Sequence[Unit]) -> None:
        self.staging = staging
        paths = (numbered_path(unit.name) for unit in units)
        self._files = storage.map_ahead(staging, self._opened, paths)

    def next_unit(self) -> tuple[list[_Marks], Iterator[pa.RecordBatch]]:
        """Return what is noted of messages of the next unit, and these messages."""
        file = next(self._files)
        noted = pa.Table.from_batches(_batches(file, _MARKED), schema=_MARKS)
        kind, message, product = (column.to_numpy().astype(np.int64) for column in noted.columns)
        marks = [_Marks(message[kind == code], product[kind == code]) for code in (_MENTION, _SNAPSHOT, _REJECT)]
        return marks, _batches(file, MESSAGES_SECTION)

    def _opened(self, path: str) -> GroupReader:
        return GroupReader(BytesIO(storage.read_bytes(storage.join(self.staging, path))), self.staging, path)


def follow_messages(
    reader: NumberedReader,
    unit: Unit,
    receipt: Receipt,
    *,
    tracker: ConnectionTracker,
    timeline: Timeline,
    place: Place,
) -> tuple[tuple[int, ...], str | None]:
    """Follow the messages of the next unit; return its connections (-1: none) in the order of their first messages.

    If there are several, also where, below the staging directory, the index of each message's connection is written;
    that name is another one for another content.
    """
    local: dict[int, int] = {}
    digest = hashlib.sha256()

    def path() -> str:
        return f"{ASSIGNED}/{unit.name}-{digest.hexdigest()[:16]}.int32"

    marks, batches = reader.next_unit()
    before = 0
    with ExitStack() as stack:
        file: BinaryIO | None = None
        for batch in batches:
            columns = {name: batch.column(name).to_numpy() for name in batch.schema.names}
            lines, symbols = columns["line"], receipt.numbered.symbols

            def name(index: int, lines: Int64s = lines) -> str:
                return f"{place.identity}:{lines[index] + place.line_offset}"

            found = tracker.assign(
                columns["sequence_num"], columns["product"], columns["heartbeat_counter"], symbols, name
            )
            stretch = Stretch(
                number=columns["sequence_num"],
                connection=found,
                channel=columns["channel"],
                product=columns["product"],
                counter=columns["heartbeat_counter"],
                ts=columns["ts_server"],
                place=lines + places.place(place.segment, place.line_offset),
                rejects=place.rejects
                + np.searchsorted(marks[_REJECT].message, np.arange(before, before + len(lines)), "right"),
                damages=place.damages,
            )
            timeline.follow(stretch, symbols, tracker.ids)
            _note_marks(marks, stretch, before, symbols, timeline)
            index = _localized(found, local)
            if file is None and len(local) > 1:
                file = stack.enter_context(
                    storage.open_write(
                        storage.join(reader.staging, path()),
                        durable=False,
                        final_url=lambda: storage.join(reader.staging, path()),
                    )
                )
                written = bytes(_INDEX.itemsize * before)  # so far all were of the first
                digest.update(written)
                file.write(written)
            if file is not None:
                written = index.astype(_INDEX).tobytes()
                digest.update(written)
                file.write(written)
            before += len(index)
    return tuple(local), None if file is None else path()


def _note_marks(marks: list[_Marks], stretch: Stretch, before: int, symbols: Sequence[str], timeline: Timeline) -> None:
    """Tell the timeline of snapshots, and of products beside the first one of a message."""
    for kind in (_MENTION, _SNAPSHOT):
        mark = marks[kind]
        start, end = np.searchsorted(mark.message, (before, before + len(stretch.number)))
        for message, code in zip(
            (mark.message[start:end] - before).tolist(), mark.product[start:end].tolist(), strict=True
        ):
            connection = int(stretch.connection[message])
            edge = Edge(int(stretch.place[message]), int(stretch.ts[message]))
            if connection >= 0 and kind == _SNAPSHOT:
                timeline.snapshot(connection, symbols[code], edge)
            elif connection >= 0:
                timeline.mention(connection, int(stretch.channel[message]), symbols[code], edge)


def read_messages(staging: str, path: str) -> pa.Table:
    """Return the staged messages of a unit."""
    with GroupReader.open(staging, path) as file:
        return pa.Table.from_batches(_batches(file, MESSAGES_SECTION), schema=_SCHEMA)


def read_assignment(staging: str, path: str) -> Int32s:
    """Return the index of each message's connection among those of its unit."""
    return np.frombuffer(storage.read_bytes(storage.join(staging, path)), _INDEX).astype(np.int32)


def _localized(found: Int32s, local: dict[int, int]) -> Int32s:
    """Return connections as positions in `local`, to which new ones are added."""
    distinct, index = np.unique(found, return_inverse=True)
    codes = np.array([local.setdefault(int(code), len(local)) for code in distinct], np.int32)
    return codes[index]


@dataclass(frozen=True)
class _Marks:
    """What is noted of some messages, sorted by `message`; a reject stands in front of its message."""

    message: Int64s
    product: Int64s


def numbered_path(unit: str) -> str:
    """Return where the messages of a unit are, below the staging directory."""
    return f"{NUMBERED}/{unit}.rows"


def _batches(file: GroupReader, section: str) -> Iterator[pa.RecordBatch]:
    return (file.read(section, group) for group in range(file.count(section)))
