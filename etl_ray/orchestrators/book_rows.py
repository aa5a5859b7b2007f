"""Chunks of replayed messages as rows of `book`, and books as rows of `book_checkpoints`."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from etl_ray.book import NetDelta, ReplayOptions
from etl_ray.book.columns import StateColumns, replay_options, stored_numbers
from etl_ray.book.updates import ASK, BID
from etl_ray.coverage.states import SUSPECT, VERIFIED
from etl_ray.orchestrators.replay import BookMessages, Checkpoint, Chunk, Frame
from etl_ray.scan.outcomes import constant
from etl_ray.tables.book import BookColumns, book_table
from etl_ray.tables.book_checkpoints import BOOK_CHECKPOINTS
from etl_ray.tables.coverage import STATES
from etl_ray.tables.schema import Numbers
from etl_ray.venues.rows import NULL, Int64s, dates, dictionary, timestamps

_SIDES = ("bid", "ask")


class BookRows:
    """Makes rows of one product; `segments` names segments by their index in the recording."""

    def __init__(
        self,
        columns: BookColumns,
        numbers: Numbers,
        *,
        product: str,
        price_scale: int,
        quantity_scale: int,
        segments: dict[int, str],
    ) -> None:
        self.table = book_table(columns)
        self._columns = columns
        self._numbers: Numbers = numbers
        self._product = product
        self._price_scale, self._quantity_scale = price_scale, quantity_scale
        self._states = StateColumns(columns, numbers, price_scale=price_scale, quantity_scale=quantity_scale)
        self._segments = segments

    @property
    def replay_options(self) -> ReplayOptions:
        """What has to be replayed for these columns."""
        return replay_options(self._columns)

    def rows(self, chunk: Chunk) -> dict[str, pa.Array]:
        """Return the columns of all messages of a chunk in arrival order, but for those of intervals."""
        parts = [self._frame(frame, chunk.messages.take(frame.index)) for frame in chunk.frames]
        if len(parts) == 1:
            return parts[0]
        order = pa.array(np.argsort(np.concatenate([frame.index for frame in chunk.frames])))
        # Dictionaries differ between the parts: a table unifies them.
        whole = pa.concat_tables([pa.table(part) for part in parts]).unify_dictionaries().combine_chunks()
        return {name: whole.column(name).combine_chunks().take(order) for name in whole.column_names}

    def _frame(self, frame: Frame, messages: BookMessages) -> dict[str, pa.Array]:
        states = frame.states
        count = len(messages)
        two_sided = states.n_levels.min(axis=1) > 0
        locked = two_sided & (states.bid_price[:, 0] == states.ask_price[:, 0])
        available = np.where(messages.ts_capture == NULL, messages.ts_server, messages.ts_capture)
        # A crossed book is not to be trusted, whatever was sent.
        state = np.where(states.crossed, np.maximum(frame.state, SUSPECT), frame.state)
        features = {}
        if self._columns.features:
            verified = state == VERIFIED
            features = self._states.features(states, verified, previous=frame.previous, breaks=frame.breaks)
        return {
            "product_id": constant(self._product, count),
            "date": dates(messages.ts_server),
            "ts_event": timestamps(messages.ts_event),
            "ts_server": timestamps(messages.ts_server),
            "ts_capture": timestamps(messages.ts_capture),
            "ts_align": timestamps(frame.ts_align),
            "ts_available": timestamps(available),
            "sequence_num": pa.array(messages.sequence_num),
            "book_state": dictionary(state.astype(np.int32), STATES),
            "crossed": pa.array(states.crossed),
            "locked": pa.array(locked),
            "n_updates": pa.array(messages.n_updates),
            "is_snapshot": pa.array(messages.is_snapshot),
            **self._states.levels(states),
            **features,
            "connection_id": constant(frame.stream.id, count),
            **self._place(messages.place),
        }

    def _place(self, place: Int64s) -> dict[str, pa.Array]:
        segment, line = place >> 40, place & ((1 << 40) - 1)
        found, codes = np.unique(segment, return_inverse=True)
        names = tuple(self._segments[int(index)] for index in found)
        return {"segment": dictionary(codes.astype(np.int32), names), "line": pa.array(line)}

    def checkpoint(self, found: Checkpoint, messages: BookMessages) -> pa.Table:
        """Return the rows of a checkpoint in a chunk of these messages."""
        side, price, size, level = _best_first(found.book)
        state = max(found.state, SUSPECT) if _is_crossed(found.book) else found.state
        index = found.index
        count = max(1, len(side))
        empty = np.full(count, len(side) == 0)
        if len(side) == 0:
            side, price, size, level = (np.zeros(1, kind.dtype) for kind in (side, price, size, level))
        columns = {
            "product_id": constant(self._product, count),
            "date": dates(np.full(count, messages.ts_server[index])),
            "ts_server": timestamps(np.full(count, messages.ts_server[index])),
            "connection_id": constant(found.connection_id, count),
            **self._place(np.full(count, messages.place[index])),
            "ts_align": timestamps(np.full(count, found.clock)),
            "book_state": constant(STATES[state], count),
            "side": dictionary(np.where(empty, -1, side).astype(np.int32), _SIDES),
            "level": pa.array(level, mask=empty),
            "price": stored_numbers(price, self._price_scale, empty, self._numbers),
            "size": stored_numbers(size, self._quantity_scale, empty, self._numbers),
        }
        schema = BOOK_CHECKPOINTS.schema(self._numbers)
        return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def _is_crossed(book: NetDelta) -> bool:
    bids, asks = book.bids()[0], book.asks()[0]
    return len(bids) > 0 and len(asks) > 0 and int(bids[-1]) > int(asks[0])


def _best_first(book: NetDelta) -> tuple[np.ndarray, Int64s, Int64s, np.ndarray]:
    """Return side, price, quantity and rank of all levels, bids first, from the best on."""
    (bids, bid_sizes), (asks, ask_sizes) = book.bids(), book.asks()
    side = np.r_[np.full(len(bids), BID, np.int8), np.full(len(asks), ASK, np.int8)]
    level = np.r_[np.arange(len(bids), dtype=np.int32), np.arange(len(asks), dtype=np.int32)].astype(np.int32)
    return side, np.r_[bids[::-1], asks], np.r_[bid_sizes[::-1], ask_sizes], level
