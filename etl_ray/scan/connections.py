"""Which connection carried a message: the rule of `docs/semantics.md`, Connections, message by message.

A message's connection depends on all messages before it, so nothing shorter than their numbers and first products says
what it is: units record these, and one compiled loop follows them, at tens of millions a second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numba import njit

from etl_ray.venues.rows import NULL, Int32s, Int64s

MAX_OPEN_RUNS = 1024

_OPEN, _TICK, _CONNECTIONS, _HOLES, _MISSING = range(5)


class ConnectionTracker:
    """Follows the messages of a recording, given in arrival order in stretches of any length."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._products: dict[str, int] = {}
        self._counts = np.zeros(5, np.int64)
        # A run has a place in the first two as long as it is open; `_recent` lists these places, the latest first.
        self._run_last = np.zeros(MAX_OPEN_RUNS, np.int64)
        self._run_connection = np.zeros(MAX_OPEN_RUNS, np.int32)
        self._recent = np.zeros(MAX_OPEN_RUNS, np.int32)
        # By connection: its last number, and when it had it.
        self._last = np.zeros(16, np.int64)
        self._tick = np.zeros(16, np.int64)
        # By product: the run (-1: not open any more) and the connection (-1: none) of its latest message.
        self._product_run = np.zeros(0, np.int32)
        self._product_connection = np.zeros(0, np.int32)

    @property
    def holes(self) -> int:
        """Places so far where numbers of a connection are missing."""
        return int(self._counts[_HOLES])

    @property
    def missing(self) -> int:
        """Numbers so far that are missing within connections."""
        return int(self._counts[_MISSING])

    def assign(
        self, numbers: Int64s, products: Int32s, counters: Int64s, symbols: Sequence[str], place: Callable[[int], str]
    ) -> Int32s:
        """Return the connection of each message as an index into `ids`, -1 where the number is NULL.

        `products` index `symbols`, -1 for none; `counters` are those of heartbeats, NULL for what is none; `place(i)`
        names message i, should it open a connection.
        """
        own = self._own_products(symbols)
        products = own[products]  # of -1 the last entry: none
        found = np.empty(len(numbers), np.int32)
        at = 0
        while at < len(numbers):
            known = len(self.ids)
            at = _follow(
                numbers,
                products,
                at,
                (self._counts, self._run_last, self._run_connection, self._recent),
                (self._last, self._tick),
                (self._product_run, self._product_connection),
                found,
            )
            if int(self._counts[_CONNECTIONS]) > known:  # it stops behind a message that opens one
                self.ids.append(place(at - 1))
                if len(self.ids) == len(self._last):
                    self._last = np.concatenate([self._last, np.zeros_like(self._last)])
                    self._tick = np.concatenate([self._tick, np.zeros_like(self._tick)])
        return found

    def _own_products(self, symbols: Sequence[str]) -> Int32s:
        own = [self._products.setdefault(symbol, len(self._products)) for symbol in symbols]
        fresh = np.full(len(self._products) - len(self._product_run), -1, np.int32)
        self._product_run = np.concatenate([self._product_run, fresh])
        self._product_connection = np.concatenate([self._product_connection, fresh])
        return np.array([*own, -1], np.int32)


_Runs: TypeAlias = tuple[Int64s, Int64s, Int32s, Int32s]  # counts, last number, connection, places by recency
_Connections: TypeAlias = tuple[Int64s, Int64s]  # last number, tick
_Latest: TypeAlias = tuple[Int32s, Int32s]  # by product: run, connection


@njit  # type: ignore[untyped-decorator]
def _extended(number: int, product: int, runs: _Runs, latest: _Latest) -> int:
    """Return the position among the recent runs of the one that a message extends, or -1."""
    counts, run_last, _, recent = runs
    position = -1
    if number > 0:
        for k in range(counts[_OPEN]):
            if run_last[recent[k]] == number - 1:
                if product < 0 or latest[0][product] == recent[k]:
                    return k
                if position < 0:
                    position = k
    return position


@njit  # type: ignore[untyped-decorator]
def _behind_hole(number: int, product: int, runs: _Runs, connections: _Connections, latest: _Latest) -> int:
    """Return the connection that a message which extends no run joins, or -1."""
    last, tick = connections
    if number == 0:
        return -1
    if product >= 0:
        owner: int = latest[1][product]
        if owner >= 0 and last[owner] < number:
            return owner
        return -1
    best = -1
    for c in range(runs[0][_CONNECTIONS]):
        later = best < 0 or last[c] > last[best] or (last[c] == last[best] and tick[c] > tick[best])
        if last[c] < number and later:
            best = c
    return best


@njit  # type: ignore[untyped-decorator]
def _open_run(connection: int, runs: _Runs, latest: _Latest) -> int:
    """Open a run of a connection, at a free place or that of the run extended longest ago; return its position."""
    counts, _, run_connection, recent = runs
    if counts[_OPEN] < len(recent):
        recent[counts[_OPEN]] = counts[_OPEN]
        counts[_OPEN] += 1
    else:
        closed = recent[len(recent) - 1]
        for product in range(len(latest[0])):
            if latest[0][product] == closed:
                latest[0][product] = -1
    position: int = counts[_OPEN] - 1
    run_connection[recent[position]] = connection
    return position


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _follow(
    numbers: Int64s,
    products: Int32s,
    at: int,
    runs: _Runs,
    connections: _Connections,
    latest: _Latest,
    found: Int32s,
) -> int:
    """Assign messages from `at` on; return the position behind the first that opens a connection, or their number."""
    counts, run_last, run_connection, recent = runs
    last, tick = connections
    for m in range(at, len(numbers)):
        number, product = numbers[m], products[m]
        if number == NULL:
            found[m] = -1
            continue
        opens = False
        position = _extended(number, product, runs, latest)
        if position < 0:
            connection = _behind_hole(number, product, runs, connections, latest)
            if connection >= 0:
                counts[_HOLES] += 1
                counts[_MISSING] += number - last[connection] - 1
            else:
                connection = counts[_CONNECTIONS]
                counts[_CONNECTIONS] += 1
                opens = True
            position = _open_run(connection, runs, latest)
        run = recent[position]
        for k in range(position, 0, -1):
            recent[k] = recent[k - 1]
        recent[0] = run
        connection = run_connection[run]
        counts[_TICK] += 1
        run_last[run] = number
        last[connection] = number
        tick[connection] = counts[_TICK]
        if product >= 0:
            latest[0][product] = run
            latest[1][product] = connection
        found[m] = connection
        if opens:
            return m + 1
    return len(numbers)
