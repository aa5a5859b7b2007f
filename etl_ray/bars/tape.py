"""The trades of one product as arrays of exact integers: what bars are made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from etl_ray.bars.exact import Bools, Int64s, Integers, floats, integers_of

_COLUMNS = ("trade_id", "ts_event", "ts_available", "price", "size", "taker_side")


@dataclass(frozen=True)
class Tape:
    """Trades by (ts_event, trade_id), each once. Times are ns UTC; price and size are integers at one scale each."""

    trade_id: Int64s
    ts_event: Int64s
    ts_available: Int64s
    price: Integers
    price_scale: int
    size: Integers
    size_scale: int
    is_buy: Bools
    is_decimal: bool

    @classmethod
    def of(cls, trades: pl.DataFrame) -> Tape:
        """Take trades of one product; ValueError if a column is missing or null, or if they are out of order."""
        missing = [name for name in _COLUMNS if name not in trades.columns]
        if missing:
            raise ValueError(f"trades: expected the columns {', '.join(_COLUMNS)}, found none called {missing}")
        nulls = [name for name in _COLUMNS if trades[name].null_count()]
        if nulls:
            raise ValueError(f"trades: expected no null, found some in {nulls}")
        price, price_scale = _not_negative(trades["price"])
        size, size_scale = _not_negative(trades["size"])
        tape = cls(
            trade_id=_int64s(trades["trade_id"]),
            ts_event=_int64s(trades["ts_event"]),
            ts_available=_int64s(trades["ts_available"]),
            price=price,
            price_scale=price_scale,
            size=size,
            size_scale=size_scale,
            is_buy=(trades["taker_side"] == "buy").to_numpy(),
            is_decimal=trades["price"].dtype.is_decimal(),
        )
        tape._check_order()
        return tape

    def __len__(self) -> int:
        return len(self.trade_id)

    @cached_property
    def missing_before(self) -> Int64s:
        """How many ids are missing between the trade before and each trade; 0 for the first."""
        gaps = np.zeros(len(self), np.int64)
        np.subtract(self.trade_id[1:], self.trade_id[:-1], out=gaps[1:])
        gaps[1:] -= 1
        return np.maximum(gaps, 0, out=gaps)

    def prices(self, places: Int64s) -> np.ndarray:
        """Return the prices of the trades at `places` as floats."""
        return floats(self.price[places], self.price_scale)

    def _check_order(self) -> None:
        later = np.diff(self.ts_event)
        unsure = np.flatnonzero(later <= 0)
        wrong = unsure[(later[unsure] < 0) | (self.trade_id[unsure + 1] <= self.trade_id[unsure])]
        if len(wrong):
            k = int(wrong[0])
            pairs = [(int(self.ts_event[i]), int(self.trade_id[i])) for i in (k, k + 1)]
            raise ValueError(
                "trades: expected each trade_id once, in order of (ts_event, trade_id), "
                f"found {pairs[1]} behind {pairs[0]}"
            )


def _int64s(values: pl.Series) -> Int64s:
    return values.cast(pl.Int64).to_numpy()


def _not_negative(values: pl.Series) -> tuple[Integers, int]:
    if len(values) and bool((values < 0).any()):
        raise ValueError(f"trades: expected no {values.name} below 0, found {values.min()!r}")
    return integers_of(values)
