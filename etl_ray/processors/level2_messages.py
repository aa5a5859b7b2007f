"""Rows of `level2` as what they are to books: messages, each of which sets levels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from etl_ray.book import ASK, BID, CLEAR, Updates
from etl_ray.venues.rows import NULL, Bools, Int64s


@dataclass(frozen=True)
class Level2Messages:
    """Messages in arrival order: their first and last rows, and what they change."""

    first: Int64s
    last: Int64s
    updates: Updates
    n_updates: np.ndarray
    is_snapshot: Bools


def level2_messages(rows: pa.Table, price: Int64s, quantity: Int64s) -> Level2Messages:
    """Return the messages of one product's rows, which are whole and in arrival order; numbers are given as integers.

    Needs the columns side, price, is_snapshot, segment, line and event_index; dictionaries have to be unified.
    """
    event = rows.column("event_index").to_numpy()
    first = message_starts(rows)
    count = len(rows)
    new_line = np.zeros(count, np.bool_)
    new_line[first] = True
    new_event = new_line | np.r_[True, event[1:] != event[:-1]]
    there = rows.column("price").is_valid().to_numpy()
    side = np.where(pc.equal(rows.column("side"), "bid").fill_null(False).to_numpy(), BID, ASK).astype(np.int8)
    side[~there] = CLEAR
    snapshot = rows.column("is_snapshot").to_numpy()
    begins = new_event & snapshot & there
    clears = np.flatnonzero(begins)
    counts = np.diff(np.r_[first, count]) + np.add.reduceat(begins.astype(np.int64), first)
    updates = Updates(
        np.r_[0, np.cumsum(counts)],
        np.insert(side, clears, CLEAR).astype(np.int8),
        np.insert(price, clears, 0),
        np.insert(quantity, clears, 0),
    )
    return Level2Messages(
        first=first,
        last=np.r_[first[1:], count] - 1,
        updates=updates,
        n_updates=np.add.reduceat(there.astype(np.int32), first),
        is_snapshot=np.logical_or.reduceat(snapshot, first),
    )


def message_starts(rows: pa.Table) -> Int64s:
    """Return the first row of each message."""
    line = rows.column("line").to_numpy()
    segment = rows.column("segment").unify_dictionaries().combine_chunks().indices.to_numpy()
    starts: Int64s = np.flatnonzero(np.r_[True, (line[1:] != line[:-1]) | (segment[1:] != segment[:-1])])
    return starts


def times_ns(rows: pa.Table, column: str) -> Int64s:
    """Return a column of times as int64 (ns UTC), NULL where there is none."""
    values: Int64s = rows.column(column).cast(pa.int64()).fill_null(NULL).to_numpy()
    return values
