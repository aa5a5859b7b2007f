"""Columns that the kernel writes into: memory that is reserved once, and touched only as far as it is filled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from etl_ray.scan import kernel
from etl_ray.venues.rows import Int8s, Int32s, Int64s, Item

Float64s = npt.NDArray[np.float64]


class Allocator:
    """Allocates columns."""

    def column(self, size: int, dtype: type[Item]) -> npt.NDArray[Item]:
        """Return memory for `size` values."""
        return np.empty(size, dtype)


@dataclass(frozen=True)
class FieldColumns:
    """Where the values of a field go; those columns are empty that its kind does not need.

    A decimal is an integer with a scale, a float, or both; times and counts are `integers`, products `symbols`.
    """

    integers: Int64s
    scales: Int8s
    floats: Float64s
    choices: Int8s
    symbols: Int32s

    @staticmethod
    def of_kind(kind: int, size: int, allocator: Allocator) -> FieldColumns:
        """Return new columns for a kind of the kernel."""

        def sized(*kinds: int) -> int:
            return size if kind in kinds else 0

        column = allocator.column
        times = (kernel.TIME, kernel.GO_TIME, kernel.EPOCH_SECONDS)
        return FieldColumns(
            integers=column(sized(kernel.DECIMAL, kernel.EXACT, kernel.INTEGER, *times), np.int64),
            scales=column(sized(kernel.DECIMAL, kernel.EXACT), np.int8),
            floats=column(sized(kernel.FLOAT, kernel.EXACT), np.float64),
            choices=column(sized(kernel.CHOICE), np.int8),
            symbols=column(sized(kernel.PRODUCT), np.int32),
        )

    @property
    def address(self) -> int:
        """Where the values are, but for floats and scales; 0 if there are none."""
        return next((address(column) for column in (self.integers, self.choices, self.symbols) if len(column)), 0)


@dataclass(frozen=True)
class ShapeColumns:
    """The columns of a shape: of its events, of these repeated for each row, and of its rows."""

    event_message: Int32s
    message: Int32s
    event_index: Int32s
    row_index: Int32s
    event: tuple[FieldColumns, ...]
    repeated: tuple[FieldColumns, ...]
    row: tuple[FieldColumns, ...]


def address(column: npt.NDArray[np.generic]) -> int:
    """Return where a column begins; 0 if it is empty."""
    return column.ctypes.data if column.size else 0
