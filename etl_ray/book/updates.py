"""What order books are made of: rows that each set the quantity of one level, grouped into messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from etl_ray.book.kernel import ASK, BID, CLEAR, MAX_PRICE, first_wrong_row

__all__ = ["ASK", "BID", "CLEAR", "MAX_PRICE", "Bools", "Float64s", "Int8s", "Int32s", "Int64s", "Updates"]

Int8s = npt.NDArray[np.int8]
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

Item = TypeVar("Item", bound=np.generic)


@dataclass(frozen=True)
class Updates:
    """Messages of one product on one connection, in order; those of message m are the rows offsets[m] to offsets[m+1].

    A row sets the quantity of the level (`side` BID or ASK, `price`), 0 removes it, and of several the last counts; a
    row with side CLEAR empties the book, as a snapshot does first. Price (0 to 2**62 - 1) and quantity (0 to 2**63 - 1)
    are integers at the scales of the product.
    """

    offsets: Int64s
    side: Int8s
    price: Int64s
    quantity: Int64s

    def __len__(self) -> int:
        """Return the number of messages."""
        return len(self.offsets) - 1


def frozen(values: npt.ArrayLike, dtype: type[Item]) -> npt.NDArray[Item]:
    """Return a contiguous read-only view: one kind of array, so that every kernel is compiled once."""
    array = np.asarray(values)
    if array.size == 0:
        array = array.astype(dtype)  # an empty list has no type
    view = np.ascontiguousarray(array.astype(dtype, casting="same_kind", copy=False)).view()
    view.flags.writeable = False
    return view


def checked_rows(side: npt.ArrayLike, price: npt.ArrayLike, quantity: npt.ArrayLike) -> tuple[Int8s, Int64s, Int64s]:
    """Return rows as kernels take them; raises ValueError for what is no row of a book."""
    rows = frozen(side, np.int8), frozen(price, np.int64), frozen(quantity, np.int64)
    if not len(rows[0]) == len(rows[1]) == len(rows[2]):
        raise ValueError(
            f"rows need a side, a price and a quantity each, not {[len(column) for column in rows]} of them"
        )
    wrong = int(first_wrong_row(*rows))
    if wrong >= 0:
        values = ", ".join(str(column[wrong]) for column in rows)
        raise ValueError(
            f"row {wrong}: side, price and quantity are {values}; expected a side of {BID} (bid), {ASK} (ask) or "
            f"{CLEAR} (clear), a price of 0 to {MAX_PRICE} and a quantity that is not negative"
        )
    return rows
