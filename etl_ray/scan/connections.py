"""Which connection carried a message: the rule of `docs/semantics.md`, Connections, message by message.

A message's connection depends on all messages before it, so nothing shorter than their numbers, first products and
heartbeat counters says what it is: units record these, and one compiled loop follows them, at tens of millions a
second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from etl_ray.venues.rows import NULL, Int32s, Int64s

MAX_KNOWN = 1024
"""How many connections are known at a time."""
NEAR = 16
"""How many numbers apart is near."""
OFTEN = 16
"""How many times as many messages of a product make another connection strange to it."""

_KNOWN, _TICK, _OPENED, _HOLES, _MISSING = range(5)


class _Known(NamedTuple):
    """The connections that are known, one slot each.

    A connection `stands` at a number, and was `sure` of the one of its latest message with a product. Ticks count
    messages: it `began` with one and had its latest `at` one. `beat` is its latest heartbeat counter.
    """

    connection: Int32s
    stands: Int64s
    sure: Int64s
    began: Int64s
    at: Int64s
    beat: Int64s


class _Products(NamedTuple):
    """The `home` of each product and its `slot`, the home `before` (-1: none), how often either carried the product.

    Its latest message came `at` a tick.
    """

    slot: Int64s
    home: Int64s
    before: Int64s
    at_home: Int64s
    at_before: Int64s
    at: Int64s


class ConnectionTracker:
    """Follows the messages of a recording, given in arrival order in stretches of any length."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._symbols: dict[str, int] = {}
        self._counts = np.zeros(5, np.int64)
        self._known = _Known(np.zeros(MAX_KNOWN, np.int32), *(np.zeros(MAX_KNOWN, np.int64) for _ in range(5)))
        self._products = _no_products(16)

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
        products = self._own_products(symbols)[products]  # of -1 the last entry: none
        found = np.empty(len(numbers), np.int32)
        at = 0
        while at < len(numbers):
            at = _follow(numbers, products, counters, at, (self._counts, self._known, self._products), found)
            if int(self._counts[_OPENED]) > len(self.ids):  # it stops behind a message that opens one
                self.ids.append(place(at - 1))
        return found

    def _own_products(self, symbols: Sequence[str]) -> Int32s:
        own = [self._symbols.setdefault(symbol, len(self._symbols)) for symbol in symbols]
        if len(self._symbols) > len(self._products.home):
            grown = _no_products(2 * len(self._symbols))
            for old, new in zip(self._products, grown, strict=True):
                new[: len(old)] = old
            self._products = grown
        return np.array([*own, -1], np.int32)


def _no_products(room: int) -> _Products:
    return _Products(*(np.full(room, -1, np.int64) for _ in range(6)))


@njit(inline="always")  # type: ignore[untyped-decorator]
def _later(slot: int, best: int, known: _Known) -> int:
    """Return which of two slots had a message last; `best` may be -1."""
    return slot if best < 0 or known.at[slot] > known.at[best] else best


@njit(inline="always")  # type: ignore[untyped-decorator]
def _higher(slot: int, best: int, known: _Known) -> int:
    """Return which of two slots stands higher, of equal ones the one that had a message last; `best` may be -1."""
    if best < 0 or known.stands[slot] != known.stands[best]:
        return slot if best < 0 or known.stands[slot] > known.stands[best] else best
    return slot if known.at[slot] > known.at[best] else best


@njit  # type: ignore[untyped-decorator]
def _without_home(number: int, counter: int, reach: int, counts: Int64s, known: _Known) -> int:
    """Return the slot that a message joins of which no product tells the home, or -1; `reach` is the widest hole."""
    following = silent = latest = highest = -1
    for slot in range(counts[_KNOWN]):
        if known.stands[slot] == number - 1:
            latest = _later(slot, latest, known)
            if known.beat[slot] == NULL:
                silent = _later(slot, silent, known)
            elif known.beat[slot] == counter - 1:
                following = _later(slot, following, known)
        elif known.stands[slot] < number and number - known.stands[slot] - 1 <= reach:
            highest = _higher(slot, highest, known)
    if counter != NULL and following >= 0:
        return following
    if counter != NULL and silent >= 0:
        return silent
    return latest if latest >= 0 else highest


@njit  # type: ignore[untyped-decorator]
def _with_home(number: int, product: int, counts: Int64s, known: _Known, products: _Products) -> int:
    """Return the slot that a message joins whose product has a home, or -1."""
    stands, home = known.stands, products.slot[product]
    if stands[home] == number - 1:
        return home  # type: ignore[no-any-return]
    guessed = usual = strange = newer = -1
    for slot in range(counts[_KNOWN]):
        is_new = known.began[slot] > products.at[product]
        if stands[slot] == number - 1:
            strange = _later(slot, strange, known)
            lower, upper = (slot, home) if stands[home] >= number else (home, slot)
            if not is_new and known.sure[upper] <= stands[lower]:
                guessed = _later(slot, guessed, known)
            times = products.at_before[product] if products.before[product] == known.connection[slot] else 0
            if is_new or products.at_home[product] < OFTEN * max(1, times):
                usual = _later(slot, usual, known)
        elif is_new and stands[slot] < number:
            newer = _higher(slot, newer, known)
    if guessed >= 0:
        stands[home], stands[guessed] = stands[guessed], stands[home]
        return home  # type: ignore[no-any-return]
    if usual >= 0:
        return usual
    if stands[home] < number or (newer < 0 and stands[home] - number <= NEAR):
        return home  # type: ignore[no-any-return]
    return newer if newer >= 0 else strange


@njit  # type: ignore[untyped-decorator]
def _open(number: int, counts: Int64s, known: _Known) -> int:
    """Open a connection; if there is no room, in place of the one that has had no message for longest."""
    slot = 0
    if counts[_KNOWN] < len(known.at):
        slot = counts[_KNOWN]
        counts[_KNOWN] += 1
    else:
        for other in range(len(known.at)):
            if known.at[other] < known.at[slot]:
                slot = other
    known.connection[slot] = counts[_OPENED]
    counts[_OPENED] += 1
    known.stands[slot] = known.sure[slot] = number
    known.began[slot] = counts[_TICK]
    known.beat[slot] = NULL
    return slot


@njit  # type: ignore[untyped-decorator]
def _settle(product: int, slot: int, has_home: bool, counts: Int64s, known: _Known, products: _Products) -> None:
    """Note that a connection has carried a product."""
    connection, home = known.connection[slot], products.home[product]
    if not has_home or known.began[slot] > products.at[product]:
        products.before[product] = -1
        products.at_home[product] = 0
    elif home != connection:
        times = products.at_before[product] if products.before[product] == connection else 0
        products.before[product], products.at_before[product] = home, products.at_home[product]
        products.at_home[product] = times
    products.slot[product], products.home[product] = slot, connection
    products.at_home[product] += 1
    products.at[product] = counts[_TICK]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _follow(
    numbers: Int64s,
    products: Int32s,
    counters: Int64s,
    at: int,
    state: tuple[Int64s, _Known, _Products],
    found: Int32s,
) -> int:
    """Assign messages from `at` on; return the position behind the first that opens a connection, or their number."""
    counts, known, homes = state
    for m in range(at, len(numbers)):
        number, product, counter = numbers[m], products[m], counters[m]
        if number == NULL:
            found[m] = -1
            continue
        counts[_TICK] += 1
        has_home = (
            product >= 0
            and homes.home[product] >= 0
            and known.connection[homes.slot[product]] == homes.home[product]  # else it is forgotten
        )
        slot = -1
        if number > 0 and has_home:
            slot = _with_home(number, product, counts, known, homes)
        elif number > 0:
            slot = _without_home(number, counter, NEAR if product >= 0 else number, counts, known)
        opens = slot < 0
        if opens:
            slot = _open(number, counts, known)
        elif known.stands[slot] < number - 1:
            counts[_HOLES] += 1
            counts[_MISSING] += number - 1 - known.stands[slot]
        known.stands[slot], known.at[slot] = number, counts[_TICK]
        if counter != NULL:
            known.beat[slot] = counter
        if product >= 0:
            known.sure[slot] = number
            _settle(product, slot, has_home, counts, known, homes)
        found[m] = known.connection[slot]
        if opens:
            return m + 1
    return len(numbers)
