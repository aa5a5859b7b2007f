"""Stage 1 of the books: a unit's changes of each book as exact integers, and what they come to, staged by product.

Beside the rows of `level2`, which are limited to what is selected, a unit stages all changes of the selected products:
operations and messages, with a group per (block, product) each, and net deltas with a group per (product, stretch). A
stretch is some consecutive blocks; its delta turns the book before it into the one behind it. Operations have a file of
their own, since those of old segments are not kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from etl_ray import storage
from etl_ray.book import ASK, BID, CLEAR, NetDelta
from etl_ray.book.updates import MAX_PRICE
from etl_ray.orchestrators.messages import to_json
from etl_ray.orchestrators.receipts import BookFiles, BookReceipt
from etl_ray.orchestrators.scales import Scales
from etl_ray.orchestrators.staged_rows import GroupWriter
from etl_ray.venues.rows import NS_PER_DAY, NULL, Int8s, Int32s, Int64s, Rows

OPERATIONS = pa.schema([("side", pa.int8()), ("price", pa.int64()), ("quantity", pa.int64())])
MESSAGES = pa.schema(
    [
        ("message_index", pa.int32()),
        ("operations", pa.int32()),
        ("n_updates", pa.int32()),
        ("is_snapshot", pa.bool_()),
        ("line", pa.int64()),
        ("sequence_num", pa.int64()),
        ("ts_event", pa.int64()),
        ("ts_server", pa.int64()),
        ("ts_capture", pa.int64()),
    ]
)
"""`operations` counts the message's own; times are ns, NULL where there is none."""

FOLDERS = ("book/operations", "book/deltas", "book/index")
OPERATIONS_SECTION, MESSAGES_SECTION, DELTAS_SECTION = "operations", "messages", "deltas"
STRETCH_OPERATIONS = 500_000
MAX_QUANTITY = 2**63 - 1
_TENS = np.array([10**k for k in range(19)], np.int64)


@dataclass(frozen=True)
class StagedStretch:
    """Batches of a product that follow each other, and batch `delta` of the deltas with what they come to.

    Values are integers at `price_scale` and `quantity_scale` in the delta, and at the scales of `scales`, a pair for
    each batch, in the operations. `dates` are days since 1970 of `ts_server`, in order of appearance; `clock` is the
    greatest coalesce(ts_event, ts_server). Lines count from the unit's beginning.
    """

    batches: tuple[int, ...]
    scales: tuple[tuple[int, int], ...]
    delta: int
    is_reset: bool
    price_scale: int
    quantity_scale: int
    operations: int
    messages: int
    dates: tuple[int, ...]
    clock: int
    first_line: int
    last_line: int


@dataclass(frozen=True)
class StagedBook:
    """The stretches of a product in a unit, in arrival order."""

    product: str
    stretches: tuple[StagedStretch, ...]


@dataclass(frozen=True)
class BookIndex:
    """What a unit has staged for books."""

    books: tuple[StagedBook, ...]


@dataclass
class _Book:
    """A product's stretches so far; the last one is still growing."""

    done: list[StagedStretch] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    scales: list[tuple[int, int]] = field(default_factory=list)
    dates: dict[int, None] = field(default_factory=dict)
    delta: NetDelta | None = None
    price_scale: int = 0
    quantity_scale: int = 0
    operations: int = 0
    messages: int = 0
    clock: int = NULL
    first_line: int = 0
    last_line: int = 0
    most: Scales = field(default_factory=Scales)
    overflow: bool = False


def book_paths(unit: str) -> tuple[str, str, str]:
    """Return where, below the staging directory, a unit's operations are, its messages and deltas, and its index."""
    return f"book/operations/{unit}.rows", f"book/deltas/{unit}.rows", f"book/index/{unit}.json"


class BookStager:
    """Stages the books of one unit; the files appear when it is closed without an exception."""

    def __init__(self, staging: str, unit: str) -> None:
        self._staging = staging
        self._paths = book_paths(unit)
        self._stack = ExitStack()
        self._books: dict[str, _Book] = {}
        self._is_open = False
        self._batches = 0
        self._deltas = 0

    def __enter__(self) -> BookStager:
        return self

    def _begin(self) -> None:
        """Open the files, unless that is done: a run without books has none."""
        if not self._is_open:
            self._is_open = True
            self._operations, self._others = (self._open(path) for path in self._paths[:2])

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]

    def _open(self, path: str) -> GroupWriter:
        url = storage.join(self._staging, path)
        return GroupWriter(self._stack.enter_context(storage.open_write(url, durable=False)))

    def add(self, rows: Rows, before: int) -> None:
        """Stage the rows of `level2` of a block; `before` messages of the unit came earlier."""
        self._begin()
        for product, changes in _by_product(rows, before):
            book = self._books.setdefault(product, _Book())
            scaled = None if book.overflow else _scaled(changes)
            if scaled is None:
                book.overflow = True
                continue
            self._add(book, changes, scaled)

    def _add(self, book: _Book, changes: _Changes, scaled: _Scaled) -> None:
        try:
            book.delta = _composed(book, scaled, NetDelta.of(changes.side, scaled.price, scaled.quantity))
        except OverflowError:
            book.overflow = True
            return
        arrays = [changes.side, scaled.price, scaled.quantity]
        operations = pa.RecordBatch.from_arrays([pa.array(item) for item in arrays], schema=OPERATIONS)
        self._operations.write(OPERATIONS_SECTION, operations)
        self._others.write(MESSAGES_SECTION, changes.messages)
        book.batches.append(self._batches)
        self._batches += 1
        book.scales.append((scaled.price_scale, scaled.quantity_scale))
        book.price_scale = max(book.price_scale, scaled.price_scale)
        book.quantity_scale = max(book.quantity_scale, scaled.quantity_scale)
        book.operations += len(changes.side)
        book.messages += changes.messages.num_rows
        book.dates.update(dict.fromkeys(changes.dates))
        book.clock = max(book.clock, changes.clock)
        lines = changes.messages.column("line")
        book.first_line = book.first_line or int(lines[0].as_py())
        book.last_line = int(lines[-1].as_py())
        book.most.see(
            price_scale=scaled.price_scale,
            quantity_scale=scaled.quantity_scale,
            price=int(scaled.price.max()),
            quantity=int(scaled.quantity.max()),
        )
        if book.operations >= STRETCH_OPERATIONS:
            self._finish_stretch(book)

    def _finish_stretch(self, book: _Book) -> None:
        """Write the delta of the stretch that grows, and begin another."""
        if book.delta is None:
            return
        delta = book.delta
        arrays = [pa.array(item) for item in (delta.side, delta.price, delta.quantity)]
        self._others.write(DELTAS_SECTION, pa.RecordBatch.from_arrays(arrays, schema=OPERATIONS))
        book.done.append(
            StagedStretch(
                batches=tuple(book.batches),
                scales=tuple(book.scales),
                delta=self._deltas,
                is_reset=delta.is_reset,
                price_scale=book.price_scale,
                quantity_scale=book.quantity_scale,
                operations=book.operations,
                messages=book.messages,
                dates=tuple(book.dates),
                clock=book.clock,
                first_line=book.first_line,
                last_line=book.last_line,
            )
        )
        self._deltas += 1
        book.batches, book.scales, book.dates, book.delta = [], [], {}, None
        book.operations = book.messages = 0
        book.clock = NULL
        book.first_line = 0

    def finish(self) -> BookFiles:
        """Close the files and describe them."""
        self._begin()
        for _, book in sorted(self._books.items()):
            self._finish_stretch(book)
        for writer in (self._operations, self._others):
            writer.finish()
        self._stack.close()
        index = BookIndex(
            tuple(StagedBook(product, tuple(book.done)) for product, book in sorted(self._books.items()) if book.done)
        )
        packed = to_json(index)
        storage.write_bytes(storage.join(self._staging, self._paths[2]), packed, durable=False)
        sizes = (self._operations.bytes, self._others.bytes, len(packed))
        return BookFiles(
            sizes=dict(zip(self._paths, sizes, strict=True)),
            products=tuple(_receipt(product, book) for product, book in sorted(self._books.items())),
        )


def _receipt(product: str, book: _Book) -> BookReceipt:
    most = book.most
    overflow = book.overflow or most.price > MAX_PRICE or most.quantity > MAX_QUANTITY
    if overflow:
        return BookReceipt(product, 0, 0, 0, 0, overflow=True)
    return BookReceipt(product, most.price_scale, most.quantity_scale, most.price, most.quantity, overflow=False)


def _composed(book: _Book, scaled: _Scaled, delta: NetDelta) -> NetDelta:
    """Return the delta of the stretch with `delta` behind it, at the greater of both scales."""
    if book.delta is None:
        book.price_scale, book.quantity_scale = scaled.price_scale, scaled.quantity_scale
        return delta
    price, quantity = scaled.price_scale - book.price_scale, scaled.quantity_scale - book.quantity_scale
    earlier = book.delta.rescaled(10 ** max(price, 0), 10 ** max(quantity, 0))
    return earlier.compose(delta.rescaled(10 ** max(-price, 0), 10 ** max(-quantity, 0)))


@dataclass(frozen=True)
class _Changes:
    """The operations and messages of one product in a block. Prices and quantities are as sent, with their scales."""

    side: Int8s
    price: Int64s
    price_scale: Int8s
    quantity: Int64s
    quantity_scale: Int8s
    messages: pa.RecordBatch
    dates: tuple[int, ...]
    clock: int


@dataclass(frozen=True)
class _Scaled:
    price: Int64s
    price_scale: int
    quantity: Int64s
    quantity_scale: int


def _by_product(rows: Rows, before: int) -> Iterator[tuple[str, _Changes]]:
    """Yield products in the order of their codes, each with what changes its book."""
    product = rows.array("product_id").astype(np.int32, copy=False)
    order = np.argsort(product.astype(np.int16) if len(rows.symbols) < 2**15 else product, kind="stable")
    ordered = product[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
        yield rows.symbols[int(ordered[start])], _changes(rows, order[start:end], before)


def _changes(rows: Rows, index: npt.NDArray[np.int64], before: int) -> _Changes:
    message, event = rows.message[index], rows.event_index[index]
    kind, wire_side = rows.array("type")[index], rows.array("side")[index]
    (price, price_scale), (quantity, quantity_scale) = rows.exact("price_level"), rows.exact("new_quantity")
    price, price_scale = price[index], price_scale[index]
    quantity, quantity_scale = quantity[index], quantity_scale[index]
    side = np.minimum(wire_side, ASK).astype(np.int8)  # offer and ask are the same
    begins = np.r_[True, (message[1:] != message[:-1]) | (event[1:] != event[:-1])]
    empty = side < BID  # the one row of an empty snapshot
    clears = np.flatnonzero(begins & (kind == 0) & ~empty)
    side[empty] = CLEAR
    new_message = np.flatnonzero(np.r_[True, message[1:] != message[:-1]])
    n_updates = np.add.reduceat((~empty).astype(np.int32), new_message)
    is_snapshot = np.add.reduceat((kind == 0).astype(np.int32), new_message) > 0
    ts_event = np.maximum.reduceat(rows.ints("event_time")[index], new_message)
    per_message = message[new_message]
    if len(clears):
        side = np.insert(side, clears, CLEAR)
        price, quantity = np.insert(price, clears, 0), np.insert(quantity, clears, 0)
        price_scale, quantity_scale = np.insert(price_scale, clears, -1), np.insert(quantity_scale, clears, -1)
        message = np.insert(message, clears, message[clears])
    counts = np.diff(np.r_[np.flatnonzero(np.r_[True, message[1:] != message[:-1]]), len(message)]).astype(np.int32)
    ts_server = rows.messages.ts_server[per_message]
    days = ts_server // NS_PER_DAY
    return _Changes(
        side=side,
        price=price,
        price_scale=price_scale,
        quantity=quantity,
        quantity_scale=quantity_scale,
        messages=_messages(rows, per_message, before, (counts, n_updates, is_snapshot, ts_event)),
        dates=(int(days[0]),) if days.min() == days.max() else tuple(dict.fromkeys(days.tolist())),
        clock=int(np.where(ts_event == NULL, ts_server, ts_event).max()),
    )


def _messages(rows: Rows, index: Int32s, before: int, counted: Sequence[npt.NDArray[np.generic]]) -> pa.RecordBatch:
    counts, n_updates, is_snapshot, ts_event = counted
    messages = rows.messages
    columns = {
        "message_index": index + np.int32(before),
        "operations": counts,
        "n_updates": n_updates,
        "is_snapshot": is_snapshot,
        "line": messages.line[index],
        "sequence_num": messages.sequence_num[index],
        "ts_event": ts_event,
        "ts_server": messages.ts_server[index],
        "ts_capture": messages.ts_capture[index],
    }
    return pa.RecordBatch.from_arrays([pa.array(columns[name]) for name in MESSAGES.names], schema=MESSAGES)


def _scaled(changes: _Changes) -> _Scaled | None:
    """Return prices and quantities at the scale of the finest of them; None if they do not fit 64 bits then."""
    price = _at_one_scale(changes.price, changes.price_scale, MAX_PRICE)
    quantity = _at_one_scale(changes.quantity, changes.quantity_scale, MAX_QUANTITY)
    if price is None or quantity is None:
        return None
    return _Scaled(*price, *quantity)


def _at_one_scale(values: Int64s, scales: Int8s, limit: int) -> tuple[Int64s, int] | None:
    """Return values at the least scale at which all are integers; None if one is above `limit` then."""
    scale = int(scales.max(initial=0, where=values != 0))
    # Zeros at the end of numbers do not count: what fits must not depend on which values stand beside each other.
    while scale:
        finest = scales == scale
        if (values[finest] % 10).any():
            break
        values = np.where(finest, values // 10, values)
        scale -= 1
        scales = np.minimum(scales, np.int8(scale))
    exponents = np.clip(scale - scales, 0, 18)
    if (values > (limit // _TENS)[exponents]).any():
        return None
    return values * _TENS[exponents], scale
