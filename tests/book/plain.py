"""Order books the slow way: a dictionary a side, whole numbers and fractions, formulas as they are written down."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import nan

from etl_ray.book import BID, CLEAR

Row = tuple[int, int, int]
"""Side, price, quantity."""
Level = tuple[int, int]


class PlainBook:
    """One book. Levels are (price, quantity) in whole numbers, best first."""

    def __init__(self, rows: Sequence[Row] = ()) -> None:
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self.apply(rows)

    def apply(self, rows: Sequence[Row]) -> None:
        for side, price, quantity in rows:
            if side == CLEAR:
                self._bids, self._asks = {}, {}
                continue
            levels = self._bids if side == BID else self._asks
            if quantity:
                levels[price] = quantity
            else:
                levels.pop(price, None)

    @property
    def bids(self) -> list[Level]:
        return sorted(self._bids.items(), reverse=True)

    @property
    def asks(self) -> list[Level]:
        return sorted(self._asks.items())

    @property
    def is_two_sided(self) -> bool:
        return bool(self._bids and self._asks)

    @property
    def is_crossed(self) -> bool:
        return self.is_two_sided and self.bids[0][0] > self.asks[0][0]

    def depth(self, bps: int) -> tuple[int, int] | None:
        """Return the quantities within `bps` basis points of mid, or None without a mid."""
        if not self.is_two_sided:
            return None
        mid = Fraction(self.bids[0][0] + self.asks[0][0], 2)
        lowest, highest = mid * (1 - Fraction(bps, 10_000)), mid * (1 + Fraction(bps, 10_000))
        bids = sum(quantity for price, quantity in self.bids if price >= lowest)
        return bids, sum(quantity for price, quantity in self.asks if price <= highest)


def sweep(levels: Sequence[Level], notional: float, price_scale: int, quantity_scale: int) -> float:
    """Return the average price to fill `notional`, in the order of floats that is declared; NaN if it cannot be."""
    wanted = notional * 10**quantity_scale
    spent = filled = 0.0
    for price, quantity in levels:
        unit_price = float(Fraction(price, 10**price_scale))
        if wanted <= spent + unit_price * quantity:
            return wanted / (filled + (wanted - spent) / unit_price)
        spent += unit_price * quantity
        filled += float(quantity)
    return nan


def exact_sweep(levels: Sequence[Level], notional: float, price_scale: int, quantity_scale: int) -> Fraction | None:
    """Return the average price to fill `notional` without any rounding."""
    left = Fraction(notional)
    filled = Fraction(0)
    for price, quantity in levels:
        unit_price, size = Fraction(price, 10**price_scale), Fraction(quantity, 10**quantity_scale)
        if left <= unit_price * size:
            return Fraction(notional) / (filled + left / unit_price)
        left -= unit_price * size
        filled += size
    return None


def features(
    book: PlainBook, levels: Sequence[int], price_scale: int, quantity_scale: int
) -> dict[str, Fraction | None]:
    """Return mid, spread, spread_bps, weighted_mid and the imbalances over `levels`, None where they are null."""
    names = ("mid", "spread", "spread_bps", "weighted_mid")
    found: dict[str, Fraction | None] = dict.fromkeys(names)
    if book.is_two_sided:
        (bid, bid_size), (ask, ask_size) = book.bids[0], book.asks[0]
        pb, pa = Fraction(bid, 10**price_scale), Fraction(ask, 10**price_scale)
        mid, share = (pb + pa) / 2, Fraction(bid_size, bid_size + ask_size)
        found["mid"], found["spread"] = mid, pa - pb
        found["spread_bps"] = 10_000 * (pa - pb) / mid if mid else None
        found["weighted_mid"] = share * pa + (1 - share) * pb
    for k in levels:
        bids, asks = [size for _, size in book.bids[:k]], [size for _, size in book.asks[:k]]
        full = len(bids) == len(asks) == k
        found[f"imbalance_{k}"] = Fraction(sum(bids) - sum(asks), sum(bids) + sum(asks)) if full else None
    return found


def order_flow(now: PlainBook, before: PlainBook, rank: int, quantity_scale: int) -> Fraction | None:
    """Return the order flow imbalance at a rank, from 0, between two states, None where it is null."""
    sides = (now.bids, now.asks, before.bids, before.asks)
    if now.is_crossed or before.is_crossed or any(len(levels) <= rank for levels in sides):
        return None
    (pb, qb), (pa, qa), (pb0, qb0), (pa0, qa0) = (levels[rank] for levels in sides)
    e = (pb >= pb0) * qb - (pb <= pb0) * qb0 - (pa <= pa0) * qa + (pa >= pa0) * qa0
    return Fraction(e, 10**quantity_scale)
