"""One order book, exact, for notebooks and for what looks at a book now and then; replays are faster."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from etl_ray.book.net_delta import NetDelta
from etl_ray.book.numbers import to_decimals, to_integer
from etl_ray.book.updates import ASK, BID, Int64s
from etl_ray.tables.schema import DECIMAL

_BPS = 10_000
_COLUMNS = pa.schema(
    [
        pa.field("side", pa.string(), nullable=False),
        pa.field("level", pa.int32(), nullable=False),
        pa.field("price", DECIMAL, nullable=False),
        pa.field("quantity", DECIMAL, nullable=False),
    ]
)


class Side(NamedTuple):
    """Levels of one side, best first."""

    price: Int64s
    quantity: Int64s


class OrderBook:
    """The levels of one product: prices and quantities are integers with `price_scale` and `quantity_scale` decimals.

    >>> book = OrderBook.of_decimals(bids=[("100.25", "2"), ("100.00", "1.5")], asks=[("100.50", "0.5")])
    >>> book.best()
    ((10025, 20), (10050, 5))
    >>> book.apply(side=[BID, ASK], price=[10025, 10075], quantity=[0, 30])
    >>> book.to_arrow().to_pylist()[0]["price"].normalize()
    Decimal('1E+2')
    >>> book.depth_within_bps(30)
    (15, 5)
    """

    def __init__(self, *, price_scale: int, quantity_scale: int, levels: NetDelta | None = None) -> None:
        self.price_scale = price_scale
        self.quantity_scale = quantity_scale
        self._levels = (levels or NetDelta.empty()).apply(NetDelta.empty_book())

    @classmethod
    def from_levels(cls, levels: NetDelta, *, price_scale: int, quantity_scale: int) -> OrderBook:
        """Return the book that holds `levels`."""
        return cls(price_scale=price_scale, quantity_scale=quantity_scale, levels=levels)

    @classmethod
    def of_decimals(cls, bids: Iterable[tuple[str, str]], asks: Iterable[tuple[str, str]]) -> OrderBook:
        """Return the book of (price, quantity) levels that are decimals in text; scales are what these need."""
        levels = [(side, Decimal(p), Decimal(q)) for side, rows in ((BID, bids), (ASK, asks)) for p, q in rows]
        book = cls(
            price_scale=max((_scale(price) for _, price, _ in levels), default=0),
            quantity_scale=max((_scale(quantity) for _, _, quantity in levels), default=0),
        )
        book.apply(
            side=[side for side, _, _ in levels],
            price=[to_integer(price, book.price_scale) for _, price, _ in levels],
            quantity=[to_integer(quantity, book.quantity_scale) for _, _, quantity in levels],
        )
        return book

    @classmethod
    def from_arrow(cls, table: pa.Table, *, price_scale: int, quantity_scale: int) -> OrderBook:
        """Return the book of a table that `to_arrow` made; raises ValueError if a value has more decimals."""
        sides = table["side"].to_pylist()
        if unknown := set(sides) - {"bid", "ask"}:
            raise ValueError(f"side is {sorted(unknown, key=str)[0]!r}; expected 'bid' or 'ask'")
        book = cls(price_scale=price_scale, quantity_scale=quantity_scale)
        book.apply(
            side=[BID if side == "bid" else ASK for side in sides],
            price=[to_integer(price, price_scale) for price in table["price"].to_pylist()],
            quantity=[to_integer(quantity, quantity_scale) for quantity in table["quantity"].to_pylist()],
        )
        return book

    def apply(self, side: npt.ArrayLike, price: npt.ArrayLike, quantity: npt.ArrayLike) -> None:
        """Apply rows in order: see `Updates`, whose columns they are."""
        self.apply_delta(NetDelta.of(side, price, quantity))

    def apply_delta(self, delta: NetDelta) -> None:
        """Apply the net change of a stretch of rows."""
        self._levels = delta.apply(self._levels)

    def clear(self) -> None:
        """Remove all levels."""
        self._levels = NetDelta.empty_book()

    def levels(self) -> NetDelta:
        """Return the full book."""
        return self._levels

    def top(self, n: int) -> tuple[Side, Side]:
        """Return up to n bids and up to n asks, best first."""
        prices, quantities = self._levels.bids()
        bids = Side(prices[::-1][:n], quantities[::-1][:n])
        prices, quantities = self._levels.asks()
        return bids, Side(prices[:n], quantities[:n])

    def best(self) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
        """Return price and quantity of the best bid and of the best ask, None for an empty side."""
        bids, asks = self.top(1)
        return _first(bids), _first(asks)

    @property
    def is_crossed(self) -> bool:
        """Tell whether the best bid is above the best ask."""
        bid, ask = self.best()
        return bid is not None and ask is not None and bid[0] > ask[0]

    @property
    def is_locked(self) -> bool:
        """Tell whether the best bid is the best ask."""
        bid, ask = self.best()
        return bid is not None and ask is not None and bid[0] == ask[0]

    def depth_within_bps(self, bps: int) -> tuple[int, int] | None:
        """Return the quantities of bids and of asks within `bps` basis points of mid, inclusive; None without a mid."""
        bid, ask = self.best()
        if bid is None or ask is None:
            return None
        total = bid[0] + ask[0]
        bids, asks = self._levels.bids(), self._levels.asks()
        lowest = -(-total * (_BPS - bps) // (2 * _BPS))
        highest = total * (_BPS + bps) // (2 * _BPS)
        first = int(np.searchsorted(bids[0], max(lowest, 0)))
        end = int(np.searchsorted(asks[0], min(highest, 2**63 - 1), side="right"))
        return sum(bids[1][first:].tolist()), sum(asks[1][:end].tolist())

    def to_arrow(self) -> pa.Table:
        """Return the levels: side (bid, then ask), level (0 is the best), price and quantity as exact decimals."""
        bids, asks = self.top(len(self._levels))
        columns = [
            pa.array(["bid"] * len(bids.price) + ["ask"] * len(asks.price), pa.string()),
            pa.array([*range(len(bids.price)), *range(len(asks.price))], pa.int32()),
            to_decimals(np.concatenate([bids.price, asks.price]), self.price_scale),
            to_decimals(np.concatenate([bids.quantity, asks.quantity]), self.quantity_scale),
        ]
        return pa.Table.from_arrays(columns, schema=_COLUMNS)


def _first(side: Side) -> tuple[int, int] | None:
    return (int(side.price[0]), int(side.quantity[0])) if len(side.price) else None


def _scale(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError(f"{value} is no number")
    return max(-exponent, 0)
