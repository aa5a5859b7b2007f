"""Replaying rows on an order book, with its state after every wanted message."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import isfinite

import numpy as np
import numpy.typing as npt

from etl_ray.book import kernel
from etl_ray.book.ladder import Ladder
from etl_ray.book.net_delta import NetDelta
from etl_ray.book.numbers import to_float64
from etl_ray.book.updates import Bools, Float64s, Int32s, Int64s, Updates, checked_rows, frozen

MAX_BPS = 1_000_000
_SMALLEST_SIDE = 64


@dataclass(frozen=True)
class ReplayOptions:
    """What a state tells.

    The best `depth` levels a side; the quantity within each of `bps` basis points of mid; the average price to fill
    each of `notionals`, in units of the quote currency.
    """

    depth: int
    bps: tuple[int, ...] = ()
    notionals: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise ValueError(f"depth is {self.depth}; expected at least 1")
        for bps in self.bps:
            if not 0 <= bps <= MAX_BPS:
                raise ValueError(f"bps has {bps}; expected 0 to {MAX_BPS}")
        for notional in self.notionals:
            if not (isfinite(notional) and notional > 0):
                raise ValueError(f"notionals has {notional}; expected a finite number above 0")


@dataclass(frozen=True)
class States:
    """The book after each wanted message: arrays of a row each.

    `n_levels` says how many of the best levels there are (bid, ask); where there is none, price and quantity are 0.
    Depths are in base units, NaN where a side is empty; sweeps are prices, NaN where the book cannot fill. `crossed`
    says that the best bid is above the best ask.
    """

    n_levels: Int32s
    bid_price: Int64s
    bid_quantity: Int64s
    ask_price: Int64s
    ask_quantity: Int64s
    depth_bid: Float64s
    depth_ask: Float64s
    sweep_bid: Float64s
    sweep_ask: Float64s
    crossed: Bools

    def __len__(self) -> int:
        return len(self.crossed)

    def rows(self, first: int, last: int) -> States:
        """Return a copy of the rows from `first` to before `last`."""
        return States(*(getattr(self, field.name)[first:last].copy() for field in fields(self)))


class Replay:
    """A book that starts as `start` and goes through `updates`, as many messages at a time as the caller likes.

    With a `ladder` of the caller, states lie in its memory: the next call of `states` overwrites them, and the next
    replay with it ends this one. Without, states are the caller's own.
    """

    def __init__(
        self,
        start: NetDelta,
        updates: Updates,
        options: ReplayOptions,
        *,
        price_scale: int,
        quantity_scale: int,
        ladder: Ladder | None = None,
    ) -> None:
        side, price, self._quantity = checked_rows(updates.side, updates.price, updates.quantity)
        self._offsets = _checked_offsets(updates.offsets, len(side))
        self._options = options
        self._shared = ladder is not None
        self._ladder = ladder or Ladder()
        self._ladder.tenancies += 1
        self._tenancy = self._ladder.tenancies
        self._unit = float(10**quantity_scale)
        self._bps = np.array(sorted(options.bps), np.int64)
        self._notionals = np.array(sorted(options.notionals), np.float64) * self._unit
        self._position = 0
        self._slots, start_slots = self._rank(start, side, price)
        self._float_prices = to_float64(self._prices, price_scale) if options.notionals else np.empty(0)
        self._levels = self._ladder.levels(self._size)
        self._best, self._total = np.zeros(2, np.int64), np.full(1, -1, np.int64)
        self._limits = np.zeros((2, len(self._bps)), np.int64)
        self._sums = np.zeros((2, len(self._bps), 2), np.int64)
        kernel.put_start(start_slots, start.quantity, *self._levels, self._best, self._limits)

    def _rank(self, start: NetDelta, side: npt.NDArray[np.int8], price: Int64s) -> tuple[Int32s, Int32s]:
        """Find all prices, and the slot of each row of the updates and of the start."""
        start_slots = np.empty(len(start), np.int32)
        slots = self._ladder.room("slots", (len(side),), np.int32)
        table, n = kernel.number_prices(start.side, start.price, np.empty(0, np.int64), 0, start_slots)
        table, n = kernel.number_prices(side, price, table, n, slots)
        prices = kernel.numbered(table, n)
        order = np.argsort(prices)
        rank = np.empty(n, np.int32)
        rank[order] = np.arange(n, dtype=np.int32)
        self._prices: Int64s = prices[order]
        self._size = max(_SMALLEST_SIDE, 1 << (n - 1).bit_length())
        kernel.numbers_to_slots(start.side, start_slots, rank, self._size)
        kernel.numbers_to_slots(side, slots, rank, self._size)
        return slots, start_slots

    def __len__(self) -> int:
        """Return the number of messages."""
        return len(self._offsets) - 1

    @property
    def position(self) -> int:
        """Return the number of messages that the book has gone through."""
        return self._position

    def states(self, first: int, last: int, wanted: npt.ArrayLike | None = None) -> States:
        """Apply the messages from `first`, which is the next one, to before `last`; return a state for each wanted one.

        `wanted` says it of each of these messages; all are if it is missing.
        """
        self._check_ladder()
        if first != self._position or not first <= last <= len(self):
            raise ValueError(
                f"states of messages {first} to {last}: the replay of {len(self)} stands at message {self._position}"
            )
        chosen = np.ones(last - first, np.bool_) if wanted is None else np.array(wanted, np.bool_)
        if len(chosen) != last - first:
            raise ValueError(f"wanted has {len(chosen)} items for {last - first} messages")
        states = self._room(int(np.count_nonzero(chosen)))
        kernel.advance(
            self._slots,
            self._quantity,
            self._offsets[first : last + 1],
            chosen,
            *self._levels,
            self._best,
            self._total,
            self._limits,
            self._sums,
            self._prices,
            self._float_prices,
            self._bps,
            self._notionals,
            self._unit,
            *(getattr(states, field.name) for field in fields(states)),
        )
        self._position = last
        return self._in_given_order(states)

    def book(self) -> NetDelta:
        """Return the full book as it is now."""
        self._check_ladder()
        return NetDelta.full(*kernel.levels_of(*self._levels, self._prices))

    def _check_ladder(self) -> None:
        if self._ladder.tenancies != self._tenancy:
            raise ValueError("the ladder of this replay has gone to another replay, which ended this one")

    def _room(self, rows: int) -> States:
        ladder = self._ladder if self._shared else Ladder()
        depth, n_bps, n_notionals = self._options.depth, len(self._bps), len(self._notionals)
        return States(
            n_levels=ladder.room("n_levels", (rows, 2), np.int32),
            bid_price=ladder.room("bid_price", (rows, depth), np.int64),
            bid_quantity=ladder.room("bid_quantity", (rows, depth), np.int64),
            ask_price=ladder.room("ask_price", (rows, depth), np.int64),
            ask_quantity=ladder.room("ask_quantity", (rows, depth), np.int64),
            depth_bid=ladder.room("depth_bid", (rows, n_bps), np.float64),
            depth_ask=ladder.room("depth_ask", (rows, n_bps), np.float64),
            sweep_bid=ladder.room("sweep_bid", (rows, n_notionals), np.float64),
            sweep_ask=ladder.room("sweep_ask", (rows, n_notionals), np.float64),
            crossed=ladder.room("crossed", (rows,), np.bool_),
        )

    def _in_given_order(self, states: States) -> States:
        """Bring depths and sweeps, which the kernel has in ascending order, into that of the options."""
        for given, depths in (
            (self._options.bps, (states.depth_bid, states.depth_ask)),
            (self._options.notionals, (states.sweep_bid, states.sweep_ask)),
        ):
            ascending = sorted(given)
            if ascending != list(given):
                for values in depths:
                    values[:] = values[:, [ascending.index(item) for item in given]]
        return states


def replay(
    start: NetDelta,
    updates: Updates,
    options: ReplayOptions,
    *,
    price_scale: int,
    quantity_scale: int,
    wanted: npt.ArrayLike | None = None,
) -> tuple[States, NetDelta]:
    """Return the state after every wanted message (all if `wanted` is missing) and the full book at the end."""
    whole = Replay(start, updates, options, price_scale=price_scale, quantity_scale=quantity_scale)
    return whole.states(0, len(updates), wanted), whole.book()


def _checked_offsets(offsets: npt.ArrayLike, rows: int) -> Int64s:
    checked = frozen(offsets, np.int64)
    if len(checked) == 0 or checked[0] < 0 or checked[-1] > rows or bool((checked[1:] < checked[:-1]).any()):
        raise ValueError(f"offsets of messages have to ascend within 0 to {rows}, and there is one more than messages")
    return checked
