"""Random messages of level rows, with everything that makes books hard, as Hypothesis strategies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from etl_ray.book import ASK, BID, CLEAR, NetDelta, Updates
from tests.book.plain import Row

LARGEST_PRICE = 2**61
LARGEST_QUANTITY = 2**63 - 1

# Few prices, so that levels repeat, cross, lock and are removed; near each other and far apart.
_near = st.integers(0, 12)
_tight = st.integers(1_000_000, 1_000_012)
_wide = st.sampled_from([0, 1, 10**6, 10**12, LARGEST_PRICE - 1, LARGEST_PRICE])
prices = st.one_of(_near, _tight, _wide)
quantities = st.one_of(st.just(0), st.integers(1, 9), st.sampled_from([2**31, 2**53 + 1, LARGEST_QUANTITY]))

_rows = st.tuples(st.sampled_from([BID, ASK]), prices, quantities)
_update = st.lists(_rows, max_size=6)
_snapshot = _update.map(lambda rows: [(CLEAR, 0, 0), *rows])
_one_sided = st.tuples(st.sampled_from([BID, ASK]), st.lists(st.tuples(prices, quantities), max_size=6)).map(
    lambda drawn: [(CLEAR, 0, 0), *((drawn[0], price, quantity) for price, quantity in drawn[1])]
)
events = st.one_of(_update, _update, _update, _snapshot, _one_sided)
messages = st.lists(events, max_size=3).map(lambda found: [row for event in found for row in event])
streams = st.lists(messages, max_size=12)
"""Messages of no, one or several events each, as lists of rows."""


def updates_of(stream: Sequence[Sequence[Row]]) -> Updates:
    rows = [row for message in stream for row in message]
    columns = np.array(rows, np.int64).reshape(-1, 3).T
    offsets = np.cumsum([0, *(len(message) for message in stream)])
    return Updates(offsets, columns[0].astype(np.int8), columns[1], columns[2])


def delta_of(rows: Sequence[Row]) -> NetDelta:
    updates = updates_of([rows])
    return NetDelta.of(updates.side, updates.price, updates.quantity)
