"""From a venue's declarations to the arrays that the kernel reads and writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from etl_ray.scan import kernel
from etl_ray.venues.shapes import Field, Kind, Shape, Venue

MAX_SYMBOLS = 2048
HASH_SIZE = 4 * MAX_SYMBOLS
MAX_SLOW_LINES = 65_536
# The shortest a message, an event or a row can be; where more come, the rest goes to the strict parser.
MIN_MESSAGE_BYTES, MIN_ROW_BYTES = 96, 64


def scannable(venue: Venue) -> tuple[Shape, ...]:
    """Return the shapes of a venue that the kernel can read, in the order of their indexes there."""
    return tuple(shape for shape in venue.shapes if shape.scannable)


class _Builder:
    """Collects fields, choices and objects in the order in which the kernel numbers them."""

    def __init__(self) -> None:
        self.text = bytearray()
        self.fields: list[tuple[int, int, int, bool, bool, int, int]] = []
        self.choices: list[tuple[int, int]] = []
        self.objects: list[tuple[int, int, int, int]] = []

    def _word(self, word: str) -> tuple[int, int]:
        at = len(self.text)
        self.text += word.encode()
        return at, len(word)

    def add_object(self, fields: Iterable[tuple[Field, int]]) -> None:
        """Add an object whose fields are read as the given kernel kinds."""
        first = len(self.fields)
        required = stored = 0
        for position, (field, kind) in enumerate(fields):
            at, length = self._word(field.key)
            choice_from = len(self.choices)
            self.choices += [self._word(word) for word in field.choices]
            self.fields.append((at, length, kind, field.nullable, field.signed, choice_from, len(self.choices)))
            if not field.nullable and kind not in (kernel.ANY, kernel.META):
                required |= 1 << position
            if field.nullable:
                stored |= 1 << position
        self.objects.append((first, len(self.fields), required, stored))


def _own(fields: Iterable[Field]) -> list[tuple[Field, int]]:
    return [(field, int(field.kind)) for field in fields]


def _position(fields: tuple[Field, ...], kind: Kind, key: str | None = None) -> int:
    return next((i for i, field in enumerate(fields) if field.kind == kind and key in (None, field.key)), -1)


def _objects(venue: Venue) -> _Builder:
    builder = _Builder()
    builder.add_object(
        [
            (Field("capture_ts", Kind.TIME, nullable=True), kernel.TIME),
            (Field("data", Kind.ANY), kernel.DATA),
            (Field("metadata", Kind.ANY), kernel.META),
        ]
    )
    # The first three go to the message columns from M_CHANNEL on, in this order.
    builder.add_object(
        [
            (Field("channel", Kind.CHOICE, choices=venue.channels), kernel.CHOICE),
            (Field("timestamp", Kind.TIME), kernel.TIME),
            (Field("sequence_num", Kind.INTEGER), kernel.INTEGER),
            (Field("client_id", Kind.ANY), kernel.ANY),
            (Field("events", Kind.ANY), kernel.EVENTS),
        ]
    )
    for shape in scannable(venue):
        rows = [(Field(shape.rows_key, Kind.ANY), kernel.ROWS)] if shape.rows_key is not None else []
        builder.add_object(_own(shape.event) + rows)
        builder.add_object(_own(shape.row))
    return builder


class Workspace:
    """The kernel's context and output columns for one venue, sized for blocks of `block_bytes`.

    Memory is reserved at once, but touched only as far as it is filled; one workspace serves one block after another.
    """

    def __init__(self, venue: Venue, block_bytes: int) -> None:
        shapes = scannable(venue)
        self.block_bytes = block_bytes
        self.messages_cap = block_bytes // MIN_MESSAGE_BYTES + 16
        self.rows_cap = block_bytes // MIN_ROW_BYTES + 16
        self.slow_cap = min(MAX_SLOW_LINES, block_bytes // 2 + 16)
        self.messages = np.empty((kernel.MESSAGE_COLUMNS, self.messages_cap), np.int64)
        self.slow = np.empty((3, self.slow_cap), np.int64)
        self.events = [
            np.empty((kernel.E_FIELDS + len(shape.event) + 1, self.messages_cap), np.int64) for shape in shapes
        ]
        self.values = [np.empty((len(shape.row), self.rows_cap), np.int64) for shape in shapes]
        self.scales = [np.empty((len(shape.row), self.rows_cap), np.int8) for shape in shapes]
        self.row_event = [np.empty(self.rows_cap, np.int64) for _ in shapes]
        self.names = np.zeros((MAX_SYMBOLS, kernel.SYMBOL_CHARS), np.uint8)
        self.event_counts = np.zeros(len(shapes), np.int64)
        self.row_counts = np.zeros(len(shapes), np.int64)
        builder = _objects(venue)
        # Eight bytes more, since words are compared eight bytes at a time.
        self.text = np.frombuffer(bytes(builder.text) + bytes(8), np.uint8).copy()
        self.context, self._tables = self._lay_out(venue, shapes, builder)
        self._fresh = self.context.copy()

    def _lay_out(
        self, venue: Venue, shapes: tuple[Shape, ...], builder: _Builder
    ) -> tuple[npt.NDArray[np.int64], dict[int, int]]:
        """Return the context, and where each table begins in it."""
        at, length, kind, nullable, signed, choice_from, choice_to = zip(*builder.fields, strict=True)
        first, last, required, stored = zip(*builder.objects, strict=True)
        choice_at, choice_len = zip(*builder.choices, strict=True)
        width = max(to - start for start, to in zip(first, last, strict=True))
        guess = [min(start + k, to - 1) for start, to in zip(first, last, strict=True) for k in range(width)]
        types = [-2 if shape.rows_key is None else _position(shape.event, Kind.CHOICE, "type") for shape in shapes]
        tables: dict[int, Sequence[int]] = {
            kernel.KEY_AT: at,
            kernel.KEY_LEN: length,
            kernel.KIND: kind,
            kernel.NULLABLE: nullable,
            kernel.SIGNED: signed,
            kernel.CHOICE_FROM: choice_from,
            kernel.CHOICE_TO: choice_to,
            kernel.CHOICE_AT: choice_at,
            kernel.CHOICE_LEN: choice_len,
            kernel.FIRST: first,
            kernel.LAST: last,
            kernel.REQUIRED: required,
            kernel.STORED: stored,
            kernel.GUESS: guess,
            kernel.CHANNEL_SHAPE: [
                next((i for i, shape in enumerate(shapes) if channel in shape.channels), -1)
                for channel in venue.channels
            ],
            kernel.EVENT_PRODUCT: [_position(shape.event, Kind.PRODUCT) for shape in shapes],
            kernel.ROW_PRODUCT: [_position(shape.row, Kind.PRODUCT) for shape in shapes],
            kernel.TYPE_FIELD: types,
            kernel.EMPTY_ROW: [shape.empty_snapshot_row for shape in shapes],
            kernel.N_EVENTS: [0] * len(shapes),
            kernel.N_ROWS: [0] * len(shapes),
            kernel.EVENTS_AT: [array.ctypes.data for array in self.events],
            kernel.VALUES_AT: [array.ctypes.data for array in self.values],
            kernel.SCALES_AT: [array.ctypes.data for array in self.scales],
            kernel.ROW_EVENT_AT: [array.ctypes.data for array in self.row_event],
            kernel.SYMBOL_LEN: [0] * MAX_SYMBOLS,
            kernel.SYMBOL_SLOT: [0] * MAX_SYMBOLS,
            kernel.HASH: [-1] * HASH_SIZE,
        }
        singles = {
            kernel.MESSAGE_CAP: self.messages_cap,
            kernel.EVENT_CAP: self.messages_cap,
            kernel.ROW_CAP: self.rows_cap,
            kernel.SLOW_CAP: self.slow_cap,
            kernel.SYMBOL_CAP: MAX_SYMBOLS,
            kernel.HASH_MASK: HASH_SIZE - 1,
            kernel.GUESS_WIDTH: width,
            kernel.N_SHAPES: len(shapes),
            kernel.TEXT: self.text.ctypes.data,
            kernel.MESSAGES_AT: self.messages.ctypes.data,
            kernel.SLOW_AT: self.slow.ctypes.data,
            kernel.NAMES_AT: self.names.ctypes.data,
        }
        slots = [0] * kernel.N_SLOTS
        begins: dict[int, int] = {}
        for slot, value in singles.items():
            slots[slot] = value
        for slot, table in tables.items():
            begins[slot] = slots[slot] = len(slots)
            slots.extend(int(value) for value in table)
        return np.array(slots, np.int64), begins

    def reset(self) -> None:
        """Forget everything: symbols, key orders and counts; a unit begins."""
        self.context[:] = self._fresh

    def next_columns(self) -> None:
        """Make room for the next lines; symbols and key orders are kept."""
        for slot in (kernel.N_MESSAGES, kernel.N_SLOW, kernel.N_LINES, kernel.N_BLANK):
            self.context[slot] = 0
        for table in (kernel.N_EVENTS, kernel.N_ROWS):
            begin = self._tables[table]
            self.context[begin : begin + len(self.events)] = 0

    def count(self, slot: int) -> int:
        """Return a counter of the context."""
        return int(self.context[slot])

    def shape_count(self, table: int, shape: int) -> int:
        """Return a counter of a shape."""
        return int(self.context[self._tables[table] + shape])

    def symbols(self, known: int) -> list[str]:
        """Return the names of the symbols from number `known` on."""
        lengths = self.context[self._tables[kernel.SYMBOL_LEN] :]
        return [
            self.names[symbol, : lengths[symbol]].tobytes().decode("ascii")
            for symbol in range(known, self.count(kernel.N_SYMBOLS))
        ]
