"""Books out of a stream of rows of `level2`, in this process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from etl_ray.book import NetDelta, Replay, Updates
from etl_ray.book.columns import StateColumns, replay_options
from etl_ray.book.exact import exact_integers
from etl_ray.coverage.states import NO_SNAPSHOT, SUSPECT, UNVERIFIABLE
from etl_ray.errors import SchemaError
from etl_ray.processors.level2_messages import level2_messages, message_starts, times_ns
from etl_ray.scan.outcomes import constant
from etl_ray.tables import DECIMAL, LEVEL2, Numbers
from etl_ray.tables.book import BookColumns, book_table
from etl_ray.tables.coverage import STATES
from etl_ray.venues.rows import NULL, Int64s, dates, dictionary, timestamps

_MAX_CONNECTIONS = 16
"""Of how many connections a product's books are kept: those that had a message last."""


@dataclass
class _Book:
    """The book of a product on a connection, behind its latest message."""

    levels: NetDelta = field(default_factory=NetDelta.empty_book)
    price_scale: int = 0
    quantity_scale: int = 0
    state: int = NO_SNAPSHOT
    clock: int = NULL


class BookStream:
    """Turns rows of `level2` in arrival order into rows of `book`; `_books` are by product, then by connection."""

    def __init__(self, columns: BookColumns) -> None:
        self._columns = columns
        self._books: dict[str, OrderedDict[str, _Book]] = {}

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield a batch for each one that ends a message."""
        held: pa.Table | None = None
        for batch in batches:
            if not batch.num_rows:
                continue
            rows = pa.Table.from_batches([batch])
            rows = rows if held is None else pa.concat_tables([held, rows])
            # A message may go on in the next batch.
            end = int(message_starts(rows)[-1])
            held = rows.slice(end)
            if end:
                yield from self._rows(rows.slice(0, end))
        if held is not None:
            yield from self._rows(held)

    def _rows(self, rows: pa.Table) -> Iterator[pa.RecordBatch]:
        """Return the states behind whole messages as rows."""
        rows = rows.unify_dictionaries().combine_chunks()
        numbers: Numbers = "decimal" if rows.schema.field("price").type == DECIMAL else "float64"
        schema = book_table(self._columns).schema(numbers)
        products, connections = (rows.column(name).combine_chunks() for name in ("product_id", "connection_id"))
        keys = products.indices.to_numpy().astype(np.int64) << 32 | connections.indices.to_numpy()
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.r_[True, keys[order][1:] != keys[order][:-1]])
        parts, ends = [], []
        for index in np.split(order, starts[1:]):
            product = products.dictionary[int(keys[index[0]] >> 32)].as_py()
            connection = connections.dictionary[int(keys[index[0]] & 0xFFFFFFFF)].as_py()
            own = rows.take(pa.array(index)) if len(starts) > 1 else rows
            part, last = self._advance(product, connection, own, numbers)
            parts.append(pa.table({name: part[name] for name in schema.names}, schema=schema))
            ends.append(index[last])
        whole = pa.concat_tables(parts)
        if len(parts) > 1:
            whole = whole.unify_dictionaries().take(pa.array(np.argsort(np.concatenate(ends))))
        yield from whole.combine_chunks().to_batches()

    def _advance(
        self, product: str, connection: str, rows: pa.Table, numbers: Numbers
    ) -> tuple[dict[str, pa.Array], Int64s]:
        """Replay rows of one book; return the columns of its states, and the last row of each message."""
        book = self._book(product, connection)
        try:
            messages = level2_messages(rows, *_at_scales(rows, book))
        except (OverflowError, ValueError) as error:
            place = f"{rows.column('segment')[0]}:{rows.column('line')[0]}"
            raise SchemaError(f"no book of {product} from {place} on: {error}") from None
        # In front of all there is a message that changes nothing: its state is the one before the first.
        offsets = np.r_[0, messages.updates.offsets]
        updates = Updates(offsets, messages.updates.side, messages.updates.price, messages.updates.quantity)
        price, quantity = book.price_scale, book.quantity_scale
        options = replay_options(self._columns)
        replay = Replay(book.levels, updates, options, price_scale=price, quantity_scale=quantity)
        before, states = replay.states(0, 1), replay.states(1, len(updates))
        known = np.where(messages.is_snapshot.cumsum() > 0, UNVERIFIABLE, book.state)
        state = np.where(states.crossed, np.maximum(known, SUSPECT), known)
        head = rows.take(pa.array(messages.first))
        server, capture = times_ns(head, "ts_server"), times_ns(head, "ts_capture")
        event = np.maximum.reduceat(times_ns(rows, "ts_event"), messages.first)
        align = np.maximum.accumulate(np.maximum(np.where(event == NULL, server, event), book.clock))
        columns = StateColumns(self._columns, numbers, price_scale=price, quantity_scale=quantity)
        features = {}
        if self._columns.features:
            previous = None if book.clock == NULL else before
            features = columns.features(states, state == UNVERIFIABLE, previous=previous, breaks=messages.is_snapshot)
        book.levels, book.state, book.clock = replay.book(), int(known[-1]), int(align[-1])
        two_sided = states.n_levels.min(axis=1) > 0
        return {
            "product_id": constant(product, len(state)),
            "date": dates(server),
            "ts_event": timestamps(event),
            "ts_server": timestamps(server),
            "ts_capture": timestamps(capture),
            "ts_align": timestamps(align),
            "ts_available": timestamps(np.where(capture == NULL, server, capture)),
            "sequence_num": head.column("sequence_num"),
            "book_state": dictionary(state.astype(np.int32), STATES),
            "crossed": pa.array(states.crossed),
            "locked": pa.array(two_sided & (states.bid_price[:, 0] == states.ask_price[:, 0])),
            "n_updates": pa.array(messages.n_updates),
            "is_snapshot": pa.array(messages.is_snapshot),
            **columns.levels(states),
            **features,
            "connection_id": constant(connection, len(state)),
            "segment": head.column("segment"),
            "line": head.column("line"),
        }, messages.last

    def _book(self, product: str, connection: str) -> _Book:
        books = self._books.setdefault(product, OrderedDict())
        book = books.setdefault(connection, _Book())
        books.move_to_end(connection)
        if len(books) > _MAX_CONNECTIONS:
            books.popitem(last=False)
        return book


def _at_scales(rows: pa.Table, book: _Book) -> tuple[Int64s, Int64s]:
    """Return prices and quantities as integers, 0 where there is none, and bring the book to their scales."""
    there = rows.column("price").is_valid().to_numpy()
    found = []
    for name, scale in (("price", book.price_scale), ("quantity", book.quantity_scale)):
        values = np.zeros(len(there), np.int64)
        values[there], finer = exact_integers(rows.column(name).combine_chunks().drop_null(), scale)
        found.append((values, finer))
    (price, price_scale), (quantity, quantity_scale) = found
    factors = 10 ** (price_scale - book.price_scale), 10 ** (quantity_scale - book.quantity_scale)
    book.levels = book.levels.rescaled(*factors)
    book.price_scale, book.quantity_scale = price_scale, quantity_scale
    return price, quantity


def with_connection(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the batches; those that lack the connection get one for all, under the name unknown."""
    for batch in batches:
        if "connection_id" in batch.schema.names:
            yield batch
        else:
            yield batch.append_column(LEVEL2.column("connection_id").field(), constant("unknown", batch.num_rows))
