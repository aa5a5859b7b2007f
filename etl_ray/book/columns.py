"""States of a book as columns of the table `book`: its levels and features."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from etl_ray.book.features import book_features, ofi_levels
from etl_ray.book.numbers import to_decimals, to_float64
from etl_ray.book.replay import ReplayOptions, States
from etl_ray.book.updates import Bools, Int64s
from etl_ray.tables.book import BookColumns
from etl_ray.tables.schema import DECIMAL, Numbers


class StateColumns:
    """Makes columns of states whose integers have `price_scale` and `quantity_scale` decimals."""

    def __init__(self, columns: BookColumns, numbers: Numbers, *, price_scale: int, quantity_scale: int) -> None:
        self._columns = columns
        self._numbers: Numbers = numbers
        self._price_scale, self._quantity_scale = price_scale, quantity_scale

    def levels(self, states: States) -> dict[str, pa.Array]:
        """Return the columns of the best levels, null where there is none."""
        columns = {}
        for side, name in enumerate(("bid", "ask")):
            prices = (states.bid_price, states.ask_price)[side]
            quantities = (states.bid_quantity, states.ask_quantity)[side]
            for what, values, scale in (
                ("price", prices, self._price_scale),
                ("size", quantities, self._quantity_scale),
            ):
                for level in range(self._columns.depth):
                    absent = states.n_levels[:, side] <= level
                    columns[f"{name}_{what}_{level}"] = stored_numbers(values[:, level], scale, absent, self._numbers)
        return columns

    def features(self, states: States, known: Bools, *, previous: States | None, breaks: Bools) -> dict[str, pa.Array]:
        """Return the feature columns, null where not `known`; for `previous` and `breaks` see `ofi_levels`."""
        scales = {"price_scale": self._price_scale, "quantity_scale": self._quantity_scale}
        found = book_features(states, replay_options(self._columns), imbalance_levels=self._columns.imbalance, **scales)
        flows = ofi_levels(
            states,
            quantity_scale=self._quantity_scale,
            previous=previous,
            breaks=breaks,
            levels=max(1, self._columns.ofi_levels),
        )
        found["ofi"] = flows[:, 0]
        for level in range(self._columns.ofi_levels):
            found[f"ofi_level_{level}"] = flows[:, level]
        return {name: pa.array(values, mask=~known | np.isnan(values)) for name, values in found.items()}


def replay_options(columns: BookColumns) -> ReplayOptions:
    """Return what has to be replayed for these columns."""
    if not columns.features:
        return ReplayOptions(columns.depth)
    depth = max(columns.depth, columns.ofi_levels, *columns.imbalance, 1)
    return ReplayOptions(depth, columns.bps, tuple(float(n) for n in columns.notionals))


def stored_numbers(values: Int64s, scale: int, absent: Bools, numbers: Numbers) -> pa.Array:
    """Return values / 10**scale as the run stores numbers, null where absent."""
    mask = absent if bool(absent.any()) else None
    values = np.ascontiguousarray(values)
    if numbers == "float64":
        return pa.array(to_float64(values, scale), mask=mask)
    found = to_decimals(values, scale)
    if mask is None:
        return found
    validity = pa.py_buffer(np.packbits(~mask, bitorder="little"))
    return pa.Array.from_buffers(DECIMAL, len(values), [validity, found.buffers()[1]])
