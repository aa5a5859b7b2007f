"""Stored books in front of messages, from which these are replayed, and stored numbers as exact integers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from etl_ray import storage
from etl_ray.book import ASK, BID, CLEAR, NetDelta, Updates
from etl_ray.book.exact import exact_integers
from etl_ray.errors import StorageError
from etl_ray.orchestrators.arrival import place_at
from etl_ray.orchestrators.row_groups import Place, open_groups
from etl_ray.venues.rows import Int64s

_COLUMNS = ("connection_id", "segment", "line", "side", "price", "size")


@dataclass(frozen=True)
class StartBook:
    """The book of a connection in front of its message at a place."""

    connection: str
    place: Place
    book: NetDelta


@dataclass(frozen=True)
class Scales:
    """How many decimals the integers of a product have."""

    price: int
    quantity: int

    def integers(self, price: pa.ChunkedArray, quantity: pa.ChunkedArray, place: str) -> tuple[Int64s, Int64s]:
        """Return stored prices and quantities as integers, 0 for null; errors name them as `place`."""
        found = []
        for values, scale in ((price, self.price), (quantity, self.quantity)):
            integers = np.zeros(len(values), np.int64)
            there = values.is_valid().to_numpy()
            if there.any():
                integers[there], finer = exact_integers(values.drop_null().combine_chunks(), scale)
                if finer != scale:
                    raise StorageError(f"{place}: expected numbers of up to {scale} decimals, found {finer}")
            found.append(integers)
        return found[0], found[1]


def start_books(source: str, paths: Sequence[str], scales: Scales) -> list[StartBook]:
    """Return the books of files of `book_checkpoints` below `source`, by the places of their messages."""
    found = []
    for path in paths:
        url = storage.join(source, path)
        with ExitStack() as opened:
            parts = [group.read(_COLUMNS) for group in open_groups(url, opened)]
        rows = pa.concat_tables(parts).unify_dictionaries().combine_chunks()
        line = rows.column("line").to_numpy()
        segment, connection = (rows.column(name).chunk(0).indices.to_numpy() for name in ("segment", "connection_id"))
        keys = np.stack([segment, line, connection])
        first = np.flatnonzero(np.r_[True, (keys[:, 1:] != keys[:, :-1]).any(axis=0)])
        for begin, end in zip(first, np.r_[first[1:], len(line)], strict=True):
            own = rows.slice(begin, end - begin)
            book = _book(own, scales, storage.redact(url))
            found.append(StartBook(own.column("connection_id")[0].as_py(), place_at(own, 0), book))
    return sorted(found, key=lambda start: start.place)


def _book(rows: pa.Table, scales: Scales, place: str) -> NetDelta:
    rows = rows.filter(rows.column("price").is_valid())
    price, quantity = scales.integers(rows.column("price"), rows.column("size"), place)
    is_bid = pc.equal(rows.column("side").cast(pa.string()), "bid").to_numpy()
    return NetDelta.of(np.where(is_bid, BID, ASK).astype(np.int8), price, quantity).apply(NetDelta.empty_book())


def with_books(updates: Updates, at: Int64s, books: Sequence[NetDelta]) -> Updates:
    """Return messages with others in front of those `at` some positions: these set the whole book."""
    side, price, quantity = [], [], []
    begin = 0
    for position, book in zip(updates.offsets[at].tolist(), books, strict=True):
        side += [updates.side[begin:position], np.array([CLEAR], np.int8), book.side]
        price += [updates.price[begin:position], np.zeros(1, np.int64), book.price]
        quantity += [updates.quantity[begin:position], np.zeros(1, np.int64), book.quantity]
        begin = position
    counts = np.insert(np.diff(updates.offsets), at, [len(book) + 1 for book in books])
    return Updates(
        np.r_[0, np.cumsum(counts)],
        np.concatenate([*side, updates.side[begin:]]).astype(np.int8),
        np.concatenate([*price, updates.price[begin:]]),
        np.concatenate([*quantity, updates.quantity[begin:]]),
    )
