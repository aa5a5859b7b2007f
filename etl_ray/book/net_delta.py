"""What a stretch of rows does to any order book: a value that composes, so that books can be built in parallel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from etl_ray.book import kernel
from etl_ray.book.updates import ASK, MAX_PRICE, Int8s, Int64s, checked_rows, frozen

_MAX_QUANTITY = 2**63 - 1
_LARGEST_POWER = 18


@dataclass(frozen=True, eq=False)
class NetDelta:
    """The last quantity of each level that rows name, behind their last CLEAR if they have one (`is_reset`).

    Sorted by side (BID, ASK), then price; each level stands once. A quantity of 0 removes the level; with `is_reset`
    there are none, and the delta is a full book. Arrays are read-only; the constructor takes sorted ones as they are.
    """

    is_reset: bool
    side: Int8s
    price: Int64s
    quantity: Int64s

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_reset", bool(self.is_reset))
        object.__setattr__(self, "side", frozen(self.side, np.int8))
        object.__setattr__(self, "price", frozen(self.price, np.int64))
        object.__setattr__(self, "quantity", frozen(self.quantity, np.int64))

    @classmethod
    def of(cls, side: npt.ArrayLike, price: npt.ArrayLike, quantity: npt.ArrayLike) -> NetDelta:
        """Return the net change of rows (see `Updates`); raises ValueError for a row that is none."""
        rows = checked_rows(side, price, quantity)
        is_reset, keys, last = kernel.last_quantities(*rows)
        return cls(is_reset, *kernel.sorted_levels(keys, last, np.argsort(keys), not is_reset))

    @classmethod
    def empty(cls) -> NetDelta:
        """Return the change that changes nothing."""
        return _EMPTY

    @classmethod
    def empty_book(cls) -> NetDelta:
        """Return the full book that has no level."""
        return _EMPTY_BOOK

    @classmethod
    def full(cls, side: npt.ArrayLike, price: npt.ArrayLike, quantity: npt.ArrayLike) -> NetDelta:
        """Return the full book of levels that are sorted, distinct and not empty."""
        return cls(True, *checked_rows(side, price, quantity))

    @classmethod
    def stored(cls, is_reset: bool, side: npt.ArrayLike, price: npt.ArrayLike, quantity: npt.ArrayLike) -> NetDelta:
        """Return the change that has these fields, as they were taken from another one."""
        return cls(is_reset, *checked_rows(side, price, quantity))

    def __len__(self) -> int:
        """Return the number of levels."""
        return len(self.side)

    def __eq__(self, other: object) -> bool:
        """Tell whether both do the same to every book."""
        if not isinstance(other, NetDelta):
            return NotImplemented
        return (
            self.is_reset == other.is_reset
            and np.array_equal(self.side, other.side)
            and np.array_equal(self.price, other.price)
            and np.array_equal(self.quantity, other.quantity)
        )

    __hash__ = None  # type: ignore[assignment]  # arrays have none

    def compose(self, later: NetDelta) -> NetDelta:
        """Return the change that is this one, then `later`. Associative."""
        if later.is_reset or (len(self) == 0 and not self.is_reset):
            return later
        if len(later) == 0:
            return self
        merged = kernel.merge(*self._rows(), *later._rows(), not self.is_reset)
        return NetDelta(self.is_reset, *merged)

    def apply(self, book: NetDelta) -> NetDelta:
        """Return the full book that `book` becomes; what an incomplete `book` does not name is taken as absent."""
        if self.is_reset:
            return self
        return NetDelta(True, *kernel.merge(*book._rows(), *self._rows(), False))

    def rescaled(self, price_factor: int, quantity_factor: int) -> NetDelta:
        """Return the same change at finer scales: both factors are powers of ten.

        Raises OverflowError for a value that does not fit into 64 bits then (a price: into 62).
        """
        return NetDelta(
            self.is_reset,
            self.side,
            _times(self.price, price_factor, MAX_PRICE, "price"),
            _times(self.quantity, quantity_factor, _MAX_QUANTITY, "quantity"),
        )

    def bids(self) -> tuple[Int64s, Int64s]:
        """Return prices, ascending, and quantities of the bids."""
        n = int(np.searchsorted(self.side, ASK))
        return self.price[:n], self.quantity[:n]

    def asks(self) -> tuple[Int64s, Int64s]:
        """Return prices, ascending, and quantities of the asks."""
        n = int(np.searchsorted(self.side, ASK))
        return self.price[n:], self.quantity[n:]

    def _rows(self) -> tuple[Int8s, Int64s, Int64s]:
        return self.side, self.price, self.quantity


def compose_all(deltas: Iterable[NetDelta]) -> NetDelta:
    """Return the change that is all of these in order; costs as much as one pass over their levels."""
    pending: list[NetDelta] = []
    for delta in deltas:
        if delta.is_reset:
            pending.clear()
        pending.append(delta)
    if len(pending) <= 1:
        return pending[0] if pending else NetDelta.empty()
    net = NetDelta.of(
        np.concatenate([delta.side for delta in pending]),
        np.concatenate([delta.price for delta in pending]),
        np.concatenate([delta.quantity for delta in pending]),
    )
    return net.apply(NetDelta.empty_book()) if pending[0].is_reset else net


def _times(values: Int64s, factor: int, largest: int, name: str) -> Int64s:
    if factor not in {10**power for power in range(_LARGEST_POWER + 1)}:
        raise ValueError(f"factor of the {name} is {factor}; expected a power of ten from 1 to 10**{_LARGEST_POWER}")
    if len(values) and int(values.max()) > largest // factor:
        raise OverflowError(
            f"{name} {int(values.max())} times {factor} does not fit into 64 bits: the largest {name} is {largest}"
        )
    return values * np.int64(factor)


_NOTHING = (np.empty(0, np.int8), np.empty(0, np.int64), np.empty(0, np.int64))
_EMPTY = NetDelta(False, *_NOTHING)
_EMPTY_BOOK = NetDelta(True, *_NOTHING)
