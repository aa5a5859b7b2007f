"""A random-walk order book of integer ticks and lots that never crosses."""

from __future__ import annotations

from bisect import insort
from itertools import islice
from typing import NamedTuple

import numpy as np

from etl_ray.sample.draws import ADD, REMOVE, level_draws, log_uniform_sizes, raw_block
from etl_ray.sample.instruments import Instrument

BID, ASK = 0, 1
_UNITS_PER_TICK = 1024
# How far from the fair price an order is filled, in usual distances of levels.
_ORDER_REACH = 16


class Fill(NamedTuple):
    """One match: the maker's price and the size taken from its level."""

    ticks: int
    lots: int


class Book:
    """Levels of both sides under one kind of key: ticks for bids, minus ticks for asks, so the best key is the largest.

    `keys` are the ascending keys of (bids, asks), `sizes` the lots of each, `touched` the keys that changed since
    `begin`, in order. The walking fair price keeps the sides apart: bids stay at or below it, asks above.
    """

    def __init__(self, instrument: Instrument, *, seed: int, levels: int) -> None:
        self._spacing = instrument.spacing_ticks
        self._fair_units = instrument.price_ticks * _UNITS_PER_TICK
        self._lowest_units = self._fair_units // 2
        count = instrument.levels_within(levels)
        self._fewest, self._most = count - count // 8, count + count // 4
        sides = [_initial_side(instrument, (seed, instrument.key, side), count=count, side=side) for side in (BID, ASK)]
        self.sizes: dict[int, int] = sides[BID] | sides[ASK]
        self.keys = (sorted(sides[BID]), sorted(sides[ASK]))
        self.touched: dict[int, None] = {}
        self._draws = level_draws(
            seed,
            instrument.key,
            2,
            levels=count,
            spacing_ticks=self._spacing,
            farthest_ticks=instrument.price_ticks // 4,
            size_lots=instrument.size_lots,
        )

    def best(self, side: int) -> Fill:
        """Return price and size of the best level of `side`."""
        key = self.keys[side][-1]
        return Fill(abs(key), self.sizes[key])

    def begin(self) -> None:
        """Start a new message: nothing is touched."""
        self.touched = {}

    def walk(self, units: int) -> None:
        """Move the fair price by `units` of 1/1024 tick; `clear` the sides next."""
        self._fair_units = max(self._lowest_units, self._fair_units + units)

    def clear(self, side: int, *, max_levels: int) -> list[Fill]:
        """Remove the levels of `side` that the fair price has passed; return the first `max_levels` of them."""
        keys, limit = self.keys[side], self._limit(side)
        fills = []
        while keys and keys[-1] > limit:
            key = keys.pop()
            self.touched[key] = None
            fills.append(Fill(abs(key), self.sizes.pop(key)))
        return fills[:max_levels]

    def take(self, side: int, lots: int, *, max_levels: int) -> list[Fill]:
        """Fill an order of `lots` from at most `max_levels` levels of `side` near its best; never from the last one."""
        keys = self.keys[side]
        fills: list[Fill] = []
        worst = self._limit(side) - _ORDER_REACH * self._spacing
        while lots > 0 and len(fills) < max_levels and len(keys) > 1 and keys[-1] >= worst:
            key = keys[-1]
            size = self.sizes[key]
            filled = min(size, lots)
            fills.append(Fill(abs(key), filled))
            self.touched[key] = None
            lots -= filled
            if filled == size:
                keys.pop()
                del self.sizes[key]
            else:
                self.sizes[key] = size - filled
        return fills

    def improve(self, side: int, *, gap_ticks: int, lots: int) -> None:
        """Put a new best level near the fair price if `side` has fallen behind it."""
        keys, limit = self.keys[side], self._limit(side)
        if not keys or limit - keys[-1] > 2 * self._spacing:
            key = limit - gap_ticks % (self._spacing + 1)
            keys.append(key)
            self.sizes[key] = lots
            self.touched[key] = None

    def shuffle(self, changes: int) -> None:
        """Add, remove and resize so many random levels, most of them near the touch."""
        sizes, touched, both = self.sizes, self.touched, self.keys
        fewest, most = self._fewest, self._most
        limits = (self._limit(BID), self._limit(ASK))
        for code, rank, distance_ticks, lots in islice(self._draws, changes):
            side = code & 1
            keys = both[side]
            count = len(keys)
            action = code >> 1
            if action == ADD and count < most:
                key = limits[side] - distance_ticks
                if key not in sizes:
                    insort(keys, key)
                sizes[key] = lots
            else:
                position = count - 1 - rank if rank < count else 0
                key = keys[position]
                if action == REMOVE and count > fewest:
                    del keys[position]
                    del sizes[key]
                else:
                    sizes[key] = lots
            touched[key] = None

    def quirk(self) -> None:
        """Touch what has not changed: repeat the best bid, and remove a bid level that was never there."""
        keys = self.keys[BID]
        self.touched[keys[-1]] = None
        if keys[0] > 1 and keys[0] - 1 not in self.sizes:
            self.touched[keys[0] - 1] = None

    def _limit(self, side: int) -> int:
        fair_ticks = self._fair_units // _UNITS_PER_TICK
        return fair_ticks if side == BID else -(fair_ticks + 1)


def _initial_side(instrument: Instrument, key: tuple[int, int, int], *, count: int, side: int) -> dict[int, int]:
    # Gaps grow with the depth, so that a side reaches far, but bids never down to zero.
    raw = raw_block(count, *key)
    depth = np.arange(count, dtype=np.uint64)
    widest = instrument.spacing_ticks + depth * (instrument.price_ticks // 2) // (count * count)
    gaps = 1 + (raw >> 20) % widest
    gaps[0] = 0
    distances = np.cumsum(gaps).tolist()
    top = instrument.price_ticks if side == BID else -(instrument.price_ticks + 1)
    sizes = log_uniform_sizes(raw, size_lots=instrument.size_lots).tolist()
    return {top - distance: size for distance, size in zip(distances, sizes, strict=True)}
