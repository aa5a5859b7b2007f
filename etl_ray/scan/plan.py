"""From a venue's declarations to the records that the kernel reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from etl_ray.scan import kernel
from etl_ray.scan.buffers import Allocator, FieldColumns, ShapeColumns, address
from etl_ray.scan.values import time_ns
from etl_ray.tables.schema import Numbers
from etl_ray.venues.shapes import Field, Kind, Shape, Venue

MAX_SYMBOLS = 2048
HASH_SIZE = 4 * MAX_SYMBOLS
MAX_SLOW_LINES = 65_536
MAX_LARGE = 65_536
# The shortest a message, an event or a row can be; where more come, the rest goes to the strict parser.
MIN_MESSAGE_BYTES, MIN_ROW_BYTES = 96, 64

_WORD = 8
_TENS = range(kernel.MAX_DIGITS + 1)
_KINDS = {
    Kind.INTEGER: kernel.INTEGER,
    Kind.TIME: kernel.TIME,
    Kind.GO_TIME: kernel.GO_TIME,
    Kind.EPOCH_SECONDS: kernel.EPOCH_SECONDS,
    Kind.CHOICE: kernel.CHOICE,
    Kind.PRODUCT: kernel.PRODUCT,
    Kind.ANY: kernel.ANY,
}
# A field that has had no time yet takes this one for the one before.
_SOME_TIME = {kernel.TIME: "2010-01-01T00:00:00Z", kernel.GO_TIME: "2010-01-01 00:00:00 +0000 UTC"}
# The envelope's and the message's fields with their kinds.
_CAPTURE_TS, _CHANNEL, _TIMESTAMP, _SEQUENCE_NUM = "capture_ts", "channel", "timestamp", "sequence_num"
_Fields = Sequence[tuple[Field, int]]


def scannable(venue: Venue) -> tuple[Shape, ...]:
    """Return the shapes of a venue that the kernel can read, in the order of their indexes there."""
    return tuple(shape for shape in venue.shapes if shape.scannable)


class Workspace:
    """The kernel's context and output columns for one venue, sized for blocks of `block_bytes`.

    Memory is reserved at once, but touched only as far as it is filled; one workspace serves one block after another.
    """

    def __init__(
        self,
        venue: Venue,
        numbers: Numbers,
        block_bytes: int,
        *,
        exact: bool = True,
        allocator: Allocator | None = None,
    ) -> None:
        self.block_bytes = block_bytes
        decimal = numbers == "decimal"
        self._exact_kind = kernel.DECIMAL if decimal else kernel.EXACT if exact else kernel.FLOAT
        self._number_kind = kernel.DECIMAL if decimal else kernel.FLOAT
        self._allocator = allocator or Allocator()
        self._messages_cap = block_bytes // MIN_MESSAGE_BYTES + 16
        self._rows_cap = block_bytes // MIN_ROW_BYTES + 16
        self._slow_cap = min(MAX_SLOW_LINES, block_bytes // 2 + 16)
        column = self._allocator.column
        self.line = column(self._messages_cap, np.int64)
        self.first_product = column(self._messages_cap, np.int32)
        self.slow = column(3 * self._slow_cap, np.int64).reshape(3, self._slow_cap)
        self._large = column(4 * MAX_LARGE, np.int64).reshape(MAX_LARGE, 4)
        self._names = column(MAX_SYMBOLS * kernel.SYMBOL_CHARS, np.uint8).reshape(MAX_SYMBOLS, kernel.SYMBOL_CHARS)
        self._numbered: list[FieldColumns] = []  # as `_large` numbers them
        self._slots = [0] * kernel.N_SINGLES
        self._objects_of_messages(venue)
        self.shapes = tuple(self._columns_of(shape) for shape in scannable(venue))
        self._shapes_at = self._records_of_shapes(venue) // _WORD
        self._singles(venue)
        self.context = column(len(self._slots), np.int64)
        self.context[:] = self._slots
        self._fresh = self.context.copy()

    def _table(self, items: Iterable[int]) -> int:
        """Append a table to the context; return its offset in bytes."""
        offset = len(self._slots) * _WORD
        self._slots.extend(items)
        return offset

    def _singles(self, venue: Venue) -> None:
        """Set the context's single values, and append its tables."""
        shape_of = {channel: i for i, shape in enumerate(scannable(venue)) for channel in shape.channels}
        shapes_at, shape_bytes = self._shapes_at * _WORD, kernel.SHAPE_SLOTS * _WORD
        tables = {
            kernel.TENS: [10**k for k in _TENS],
            kernel.FLOAT_TENS: np.array([float(10**k) for k in _TENS]).view(np.int64).tolist(),
            kernel.SHAPE_OF: [
                shapes_at + shape_of[channel] * shape_bytes if channel in shape_of else 0 for channel in venue.channels
            ],
            kernel.SYMBOL_LEN: [0] * MAX_SYMBOLS,
            kernel.SYMBOL_SLOT: [0] * MAX_SYMBOLS,
            kernel.HASH: [-1] * HASH_SIZE,
        }
        singles = {
            kernel.MESSAGE_CAP: self._messages_cap,
            kernel.EVENT_CAP: self._messages_cap,
            kernel.ROW_CAP: self._rows_cap,
            kernel.SLOW_CAP: self._slow_cap,
            kernel.SYMBOL_CAP: MAX_SYMBOLS,
            kernel.LARGE_CAP: MAX_LARGE,
            kernel.HASH_MASK: HASH_SIZE - 1,
            kernel.LINE_AT: address(self.line),
            kernel.FIRST_PRODUCT_AT: address(self.first_product),
            kernel.CHANNEL_AT: address(self.channel),
            kernel.CAPTURE_AT: address(self.ts_capture),
            kernel.SLOW_AT: address(self.slow),
            kernel.LARGE_AT: address(self._large),
            kernel.NAMES_AT: address(self._names),
            kernel.FIRST_SHAPE: shapes_at,
            kernel.N_SHAPES: len(self.shapes),
            **{slot: self._table(table) for slot, table in tables.items()},
        }
        for slot, value in singles.items():
            self._slots[slot] = value

    def _objects_of_messages(self, venue: Venue) -> None:
        """Lay out the objects of envelopes and messages, and allocate their columns."""
        envelope = (
            (Field(_CAPTURE_TS, Kind.TIME, nullable=True), kernel.TIME),
            (Field("data", Kind.ANY), kernel.DATA),
            (Field("metadata", Kind.ANY), kernel.META),
        )
        message = (
            (Field(_CHANNEL, Kind.CHOICE, choices=venue.channels), kernel.CHOICE),
            (Field(_TIMESTAMP, Kind.TIME), kernel.TIME),
            (Field(_SEQUENCE_NUM, Kind.INTEGER), kernel.INTEGER),
            (Field("client_id", Kind.ANY), kernel.ANY),
            (Field("events", Kind.ANY), kernel.EVENTS),
        )
        found: dict[str, FieldColumns] = {}
        for slot, fields in ((kernel.ENVELOPE, envelope), (kernel.MESSAGE, message)):
            columns = self._columns(fields, self._messages_cap)
            found |= {field.key: column for (field, _), column in zip(fields, columns, strict=True)}
            self._slots[slot] = self._object(fields, columns)
        self.channel = found[_CHANNEL].choices
        self.sequence_num = found[_SEQUENCE_NUM].integers
        self.ts_server = found[_TIMESTAMP].integers
        self.ts_capture = found[_CAPTURE_TS].integers

    def _columns_of(self, shape: Shape) -> ShapeColumns:
        event, row, column = self._fields(shape.event), self._fields(shape.row), self._allocator.column
        return ShapeColumns(
            event_message=column(self._messages_cap, np.int32),
            message=column(self._rows_cap, np.int32),
            event_index=column(self._rows_cap, np.int32),
            row_index=column(self._rows_cap, np.int32),
            event=self._columns(event, self._messages_cap),
            repeated=self._columns(event, self._rows_cap),
            row=self._columns(row, self._rows_cap),
        )

    def _records_of_shapes(self, venue: Venue) -> int:
        """Lay out the shapes and their objects; return the offset of the first one."""
        records = [
            slot
            for shape, columns in zip(scannable(venue), self.shapes, strict=True)
            for slot in self._record_of(shape, columns)
        ]
        return self._table(records)

    def _record_of(self, shape: Shape, columns: ShapeColumns) -> list[int]:
        record = [0] * kernel.SHAPE_SLOTS
        if shape.rows_key is not None:
            event = [*self._fields(shape.event), (Field(shape.rows_key, Kind.ANY), kernel.ROWS)]
            record[kernel.EVENT] = self._object(event, columns.event, columns.repeated)
            record[kernel.EVENT_PRODUCT] = self._field_of(record[kernel.EVENT], shape.event, Kind.PRODUCT)
            if shape.empty_snapshot_row:
                record[kernel.EMPTY_ROW_TYPE] = self._field_of(record[kernel.EVENT], shape.event, Kind.CHOICE)
        record[kernel.ROW] = self._object(self._fields(shape.row), columns.row)
        record[kernel.ROW_PRODUCT] = self._field_of(record[kernel.ROW], shape.row, Kind.PRODUCT)
        record[kernel.EVENT_MESSAGE_AT] = address(columns.event_message)
        record[kernel.ROW_MESSAGE_AT] = address(columns.message)
        record[kernel.ROW_EVENT_AT] = address(columns.event_index)
        record[kernel.ROW_INDEX_AT] = address(columns.row_index)
        return record

    def _fields(self, fields: Iterable[Field]) -> list[tuple[Field, int]]:
        """Return fields of a shape with their kinds."""
        return [(field, self._kind(field)) for field in fields]

    def _kind(self, field: Field) -> int:
        if field.kind != Kind.NUMBER:
            return _KINDS[field.kind]
        return self._exact_kind if field.exact else self._number_kind

    def _columns(self, fields: _Fields, size: int) -> tuple[FieldColumns, ...]:
        columns = tuple(FieldColumns.of_kind(kind, size, self._allocator) for _, kind in fields)
        self._numbered += columns
        return columns

    def _object(self, fields: _Fields, columns: Sequence[FieldColumns], repeated: Sequence[FieldColumns] = ()) -> int:
        """Append an object to the context, whose first fields have columns; return its offset."""
        choices = [self._table(slot for word in field.choices for slot in _text(f'"{word}"')) for field, _ in fields]
        records: list[int] = []
        required = stored = 0
        for position, (field, kind) in enumerate(fields):
            bit = 1 << position
            stored |= bit * field.nullable
            required |= bit * (not field.nullable and kind not in (kernel.ANY, kernel.META))
            own = columns[position] if position < len(columns) else None
            known = _SOME_TIME.get(kind, "")
            records += (
                *_text(f'"{field.key}":'),
                kind,
                bit,
                int(field.nullable),
                int(field.signed),
                0 if own is None else own.address,
                0 if own is None else address(own.scales),
                0 if own is None else address(own.floats),
                repeated[position].address if position < len(repeated) else 0,
                next((number for number, one in enumerate(self._numbered) if one is own), 0),
                choices[position],
                len(field.choices),
                *_text(f'"{known}"'),
                time_ns(known, nullable=False, go=True) if known else 0,
            )
        first = self._table(records)
        # One position more than there are fields: what stands there has to be a duplicate.
        positions = [min(position, len(fields) - 1) for position in range(len(fields) + 1)]
        guesses = [first + position * kernel.FIELD_SLOTS * _WORD for position in positions]
        return self._table([first, len(fields), required, stored, *guesses])

    def _field_of(self, object_at: int, fields: tuple[Field, ...], kind: Kind) -> int:
        """Return the offset of an object's first field of a kind, 0 if there is none."""
        position = next((i for i, field in enumerate(fields) if field.kind == kind), None)
        first = self._slots[object_at // _WORD + kernel.FIRST_FIELD]
        return 0 if position is None else first + position * kernel.FIELD_SLOTS * _WORD

    def reset(self) -> None:
        """Forget everything: symbols, key orders and counts; a unit begins."""
        self.context[:] = self._fresh

    def next_columns(self) -> None:
        """Make room for the next lines; symbols and key orders are kept."""
        for slot in (kernel.N_MESSAGES, kernel.N_SLOW, kernel.N_LINES, kernel.N_BLANK, kernel.N_LARGE):
            self.context[slot] = 0
        for index in range(len(self.shapes)):
            begin = self._shapes_at + index * kernel.SHAPE_SLOTS
            self.context[begin + kernel.N_EVENTS] = self.context[begin + kernel.N_ROWS] = 0

    def count(self, slot: int) -> int:
        """Return a counter of the context."""
        return int(self.context[slot])

    def shape_count(self, slot: int, shape: int) -> int:
        """Return a counter of a shape."""
        return int(self.context[self._shapes_at + shape * kernel.SHAPE_SLOTS + slot])

    def symbols(self, known: int) -> list[str]:
        """Return the names of the symbols from number `known` on."""
        lengths = self.context[self.count(kernel.SYMBOL_LEN) // _WORD :]
        return [
            self._names[symbol, : lengths[symbol]].tobytes().decode("ascii")
            for symbol in range(known, self.count(kernel.N_SYMBOLS))
        ]

    def round_large(self) -> None:
        """Round the floats of numbers whose digits are no float: they have more than 15 and are rare."""
        for number, row, value, scale in self._large[: self.count(kernel.N_LARGE)].tolist():
            self._numbered[number].floats[row] = float(f"{value}e-{scale}")


def _text(text: str) -> tuple[int, ...]:
    """Return the slots of a text, of the mask of its bytes and of their number."""
    data = text.encode()
    if len(data) >= kernel.LANES:
        raise ValueError(f"expected a text of less than {kernel.LANES} bytes with quotes and colon, found {text}")
    words: list[int] = np.frombuffer(data.ljust(kernel.LANES, b"\0"), "<i8").tolist()
    return (*words, (1 << len(data)) - 1, len(data))
