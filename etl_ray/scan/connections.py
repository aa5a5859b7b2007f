"""Which connection carried a message: the rule of `docs/semantics.md`, Connections, message by message.

A message's connection depends on all messages before it, so nothing shorter than their numbers, first products and
heartbeat counters says what it is: units record these, and one compiled loop follows them, at some ten million a
second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

from etl_ray.venues.rows import NULL, Int32s, Int64s, read_only

MAX_KNOWN = 1024
"""How many connections are known at a time."""
NEAR = 16
"""How many numbers apart is near."""
OFTEN = 16
"""How many times as many messages of a product make another connection strange to it."""

# Tables are arrays of (field, slot) or (field, product), which compiled code hands on for less than tuples of columns.
_KNOWN, _TICK, _OPENED, _HOLES, _MISSING = range(5)
# Of a known connection: its index; the number at which it stands, and that at which it stood with its latest product;
# the ticks, which count messages, of its first and its latest message; the counter of its latest heartbeat.
_INDEX, _STANDS, _SURE, _BEGAN, _AT, _BEAT = range(6)
# Of a product: its home and the slot of that, the home before (-1: none); how often either carried it; its latest tick.
_HOME, _SLOT, _BEFORE, _AT_HOME, _AT_BEFORE, _CARRIED = range(6)
_Table: TypeAlias = npt.NDArray[np.int64]


class ConnectionTracker:
    """Follows the messages of a recording, given in arrival order in stretches of any length."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._symbols: dict[str, int] = {}
        self._counts = np.zeros(5, np.int64)
        self._known = np.zeros((6, MAX_KNOWN), np.int64)
        self._products = np.full((6, 16), -1, np.int64)

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
        products = read_only(self._own_products(symbols)[products])  # of -1 the last entry: none
        numbers, counters = read_only(numbers), read_only(counters)
        found = np.empty(len(numbers), np.int32)
        at = 0
        while at < len(numbers):
            at = _follow(numbers, products, counters, at, self._counts, self._known, self._products, found)
            if int(self._counts[_OPENED]) > len(self.ids):  # it stops behind a message that opens one
                self.ids.append(place(at - 1))
        return found

    def _own_products(self, symbols: Sequence[str]) -> Int32s:
        own = [self._symbols.setdefault(symbol, len(self._symbols)) for symbol in symbols]
        room = self._products.shape[1]
        if len(self._symbols) > room:
            grown = np.full((6, 2 * len(self._symbols)), -1, np.int64)
            grown[:, :room] = self._products
            self._products = grown
        return np.array([*own, -1], np.int32)


@njit(inline="always")  # type: ignore[untyped-decorator]
def _later(slot: int, best: int, known: _Table) -> bool:
    """Return whether a slot had a message after the best one so far, -1 for none."""
    return best < 0 or bool(known[_AT, slot] > known[_AT, best])


@njit(inline="always")  # type: ignore[untyped-decorator]
def _higher(slot: int, best: int, known: _Table) -> bool:
    """Return whether a slot stands higher than the best one so far (-1: none), or as high and had a message later."""
    if best < 0 or known[_STANDS, slot] > known[_STANDS, best]:
        return True
    return bool(known[_STANDS, slot] == known[_STANDS, best]) and _later(slot, best, known)


@njit  # type: ignore[untyped-decorator]
def _without_home(number: int, counter: int, reach: int, n_known: int, known: _Table) -> int:
    """Return the slot that a message joins of which no product tells the home, or -1; `reach` is the widest hole."""
    following = silent = latest = highest = -1
    for slot in range(n_known):
        if known[_STANDS, slot] != number - 1:
            continue
        if _later(slot, latest, known):
            latest = slot
        if known[_BEAT, slot] == NULL and _later(slot, silent, known):
            silent = slot
        if known[_BEAT, slot] == counter - 1 and _later(slot, following, known):
            following = slot
    if counter != NULL and following >= 0:
        return following
    if counter != NULL and silent >= 0:
        return silent
    if latest >= 0:
        return latest
    for slot in range(n_known):
        stands = known[_STANDS, slot]
        if stands < number and number - stands - 1 <= reach and _higher(slot, highest, known):
            highest = slot
    return highest


@njit  # type: ignore[untyped-decorator]
def _with_home(number: int, product: int, n_known: int, known: _Table, products: _Table) -> int:
    """Return the slot that a message joins whose product has a home, or -1."""
    home = products[_SLOT, product]
    at = known[_STANDS, home]
    if at == number - 1:
        return home  # type: ignore[no-any-return]
    guessed = usual = strange = newer = -1
    for slot in range(n_known):
        stands = known[_STANDS, slot]
        if stands >= number:
            continue
        is_new = known[_BEGAN, slot] > products[_CARRIED, product]
        if stands < number - 1:
            if is_new and _higher(slot, newer, known):
                newer = slot
            continue
        if _later(slot, strange, known):
            strange = slot
        was_guess = known[_SURE, home] <= stands if at > stands else known[_SURE, slot] <= at
        if was_guess and not is_new and _later(slot, guessed, known):
            guessed = slot
        times = products[_AT_BEFORE, product] if products[_BEFORE, product] == known[_INDEX, slot] else 0
        if (is_new or products[_AT_HOME, product] < OFTEN * max(1, times)) and _later(slot, usual, known):
            usual = slot
    if guessed >= 0:
        known[_STANDS, home], known[_STANDS, guessed] = number - 1, at
        return home  # type: ignore[no-any-return]
    if usual >= 0:
        return usual
    if at < number or (newer < 0 and at - number <= NEAR):
        return home  # type: ignore[no-any-return]
    return newer if newer >= 0 else strange


@njit  # type: ignore[untyped-decorator]
def _open(number: int, counts: _Table, known: _Table) -> int:
    """Open a connection; if there is no room, in place of the one that has had no message for longest."""
    slot = 0
    if counts[_KNOWN] < known.shape[1]:
        slot = counts[_KNOWN]
        counts[_KNOWN] += 1
    else:
        for other in range(known.shape[1]):
            if known[_AT, other] < known[_AT, slot]:
                slot = other
    known[_INDEX, slot] = counts[_OPENED]
    counts[_OPENED] += 1
    known[_STANDS, slot] = known[_SURE, slot] = number
    known[_BEGAN, slot] = counts[_TICK]
    known[_BEAT, slot] = NULL
    return slot


@njit  # type: ignore[untyped-decorator]
def _settle(product: int, slot: int, has_home: bool, tick: int, known: _Table, products: _Table) -> None:
    """Note that a connection has carried a product."""
    connection, home = known[_INDEX, slot], products[_HOME, product]
    if not has_home or known[_BEGAN, slot] > products[_CARRIED, product]:
        products[_BEFORE, product] = -1
        products[_AT_HOME, product] = 0
    elif home != connection:
        times = products[_AT_BEFORE, product] if products[_BEFORE, product] == connection else 0
        products[_BEFORE, product], products[_AT_BEFORE, product] = home, products[_AT_HOME, product]
        products[_AT_HOME, product] = times
    products[_HOME, product], products[_SLOT, product] = connection, slot
    products[_AT_HOME, product] += 1
    products[_CARRIED, product] = tick


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _follow(  # noqa: PLR0913, PLR0917 - no tuples, see above
    numbers: Int64s,
    firsts: Int32s,
    counters: Int64s,
    at: int,
    counts: _Table,
    known: _Table,
    products: _Table,
    found: Int32s,
) -> int:
    """Assign messages from `at` on; return the position behind the first that opens a connection, or their number."""
    for m in range(at, len(numbers)):
        number, product, counter = numbers[m], firsts[m], counters[m]
        if number == NULL:
            found[m] = -1
            continue
        counts[_TICK] += 1
        tick = counts[_TICK]
        has_home = (
            product >= 0
            and products[_HOME, product] >= 0
            and known[_INDEX, products[_SLOT, product]] == products[_HOME, product]  # else it is forgotten
        )
        slot = -1
        if number > 0 and has_home:
            slot = _with_home(number, product, counts[_KNOWN], known, products)
        elif number > 0:
            slot = _without_home(number, counter, NEAR if product >= 0 else number, counts[_KNOWN], known)
        opens = slot < 0
        if opens:
            slot = _open(number, counts, known)
        elif known[_STANDS, slot] < number - 1:
            counts[_HOLES] += 1
            counts[_MISSING] += number - 1 - known[_STANDS, slot]
        known[_STANDS, slot], known[_AT, slot] = number, tick
        if counter != NULL:
            known[_BEAT, slot] = counter
        if product >= 0:
            known[_SURE, slot] = number
            _settle(product, slot, has_home, tick, known, products)
        found[m] = known[_INDEX, slot]
        if opens:
            return m + 1
    return len(numbers)
