"""Parsed messages and rows as columns: what parsers hand to the functions that assemble tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from etl_ray.tables.schema import SYMBOL, TIME, Numbers

Item = TypeVar("Item", bound=np.generic)
Int8s = npt.NDArray[np.int8]
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

UNSCALED, SCALE = ".unscaled", ".scale"
"""What is added to the key of an exact number for its integer and its scale."""
NS_PER_DAY = 86_400_000_000_000
_COUNTED_DAYS = 4096
NULL = -(2**63)
"""What stands for null among int64 values: no time and no count of a venue is that low."""


@dataclass(frozen=True)
class Messages:
    """Valid messages in line order, one entry each.

    `line` counts from 1 within the unit; `channel` is an index into the names that the parser was built with;
    times are ns UTC, null where NULL; `product` is the symbol of the first product, -1 if there is none.
    """

    line: Int64s
    channel: Int8s
    sequence_num: Int64s
    ts_server: Int64s
    ts_capture: Int64s
    product: Int32s

    def __len__(self) -> int:
        return len(self.line)


@dataclass(frozen=True)
class Rows:
    """The rows of one shape, in arrival order, as columns of equal length.

    `message` indexes `messages`. `fields` holds row and event fields by key: numbers and text as Arrow arrays, times
    as int64 ns, choices as int8 codes (-1: null), products as int32 indexes into `symbols` (-1: null). An exact number
    is there as integer and scale too: see `exact`.
    """

    messages: Messages
    symbols: tuple[str, ...]
    message: Int32s
    event_index: Int32s
    row_index: Int32s
    fields: Mapping[str, npt.NDArray[np.generic] | pa.Array]
    numbers: Numbers

    def __len__(self) -> int:
        return len(self.message)

    def take(self, index: Int64s) -> Rows:
        """Return the rows at `index`, in that order."""
        rows = in_arrow(index)
        return Rows(
            messages=self.messages,
            symbols=self.symbols,
            message=self.message[index],
            event_index=self.event_index[index],
            row_index=self.row_index[index],
            fields={key: _taken(values, index, rows) for key, values in self.fields.items()},
            numbers=self.numbers,
        )

    def array(self, key: str) -> npt.NDArray[np.generic]:
        """Return a time, choice, integer or product field as NumPy values."""
        values = self.fields[key]
        if not isinstance(values, np.ndarray):
            raise TypeError(f"field {key!r} is an Arrow array")
        return values

    def ints(self, key: str) -> Int64s:
        """Return a field as int64."""
        return self.array(key).astype(np.int64, copy=False)

    def exact(self, key: str) -> tuple[Int64s, Int8s]:
        """Return an exact number field as integers and their scales: value = integer / 10**scale; -1 where null."""
        return self.ints(key + UNSCALED), self.array(key + SCALE).astype(np.int8, copy=False)

    def arrow(self, key: str) -> pa.Array:
        """Return a number or text field as an Arrow array."""
        values = self.fields[key]
        return values if isinstance(values, pa.Array) else in_arrow(values)

    def time(self, key: str) -> pa.Array:
        """Return a time field as timestamps."""
        return timestamps(self.ints(key))

    def symbol(self, key: str, words: tuple[str, ...]) -> pa.Array:
        """Return a choice or product field as dictionary of `words`, null where the code is -1."""
        return dictionary(self.array(key).astype(np.int32, copy=False), words)

    def common(self) -> dict[str, pa.Array]:
        """Return the columns that every raw table has: the message's times and number, and the order."""
        messages, index = self.messages, in_arrow(self.message)
        of_message = {
            "ts_server": timestamps(messages.ts_server),
            "ts_capture": timestamps(messages.ts_capture),
            "sequence_num": in_arrow(messages.sequence_num),
            "line": in_arrow(messages.line),
        }
        return {
            # A row's message is one of `messages`, so nothing has to be checked.
            **{name: pc.take(values, index, boundscheck=False) for name, values in of_message.items()},
            "event_index": in_arrow(self.event_index),
            "row_index": in_arrow(self.row_index),
        }

    def server_dates(self) -> pa.Array:
        """Return the UTC date of each row's `ts_server` as `dates` does."""
        times = self.messages.ts_server
        if _is_one_day(times):
            return dates(np.broadcast_to(times[:1], len(self)))
        return dates(times[self.message])


def _taken(
    values: npt.NDArray[np.generic] | pa.Array, index: Int64s, same: pa.Array
) -> npt.NDArray[np.generic] | pa.Array:
    return values.take(same) if isinstance(values, pa.Array) else values.take(index)


def in_arrow(values: npt.NDArray[np.generic], mask: Bools | None = None) -> pa.Array:
    """Return values as an Arrow array of their own type, null where `mask`.

    Told the type, Arrow does not ask pandas what it might be, which takes longer than all else for a block.
    """
    return pa.array(values, pa.from_numpy_dtype(values.dtype), mask=mask)


def read_only(values: npt.NDArray[Item]) -> npt.NDArray[Item]:
    """Return a contiguous view that cannot be written: of one kind of array, so that loops are compiled once."""
    view = np.ascontiguousarray(values).view()
    view.flags.writeable = False
    return view


def timestamps(values: Int64s) -> pa.Array:
    """Return int64 ns as timestamps, null where NULL."""
    array = in_arrow(values)
    if len(values) and values.min() == NULL:  # the least of all
        array = pc.if_else(in_arrow(values != NULL), array, pa.scalar(None, pa.int64()))
    return array.view(TIME)


def passed(since: Int64s, until: Int64s) -> pa.Array:
    """Return how long it is from one time to another, as int64 ns; null where either is NULL."""
    null = (since == NULL) | (until == NULL)
    return in_arrow(np.where(null, 0, until) - np.where(null, 0, since), null)


def dictionary(codes: Int32s, words: tuple[str, ...]) -> pa.Array:
    """Return `codes` as dictionary<int32, string> of `words`, null where the code is -1."""
    lowest, highest = (int(codes.min()), int(codes.max())) if len(codes) else (0, -1)
    if highest >= len(words):
        raise IndexError(f"expected codes of {len(words)} words, found {highest}")
    indices = in_arrow(codes, codes < 0 if lowest < 0 else None)
    found = pa.DictionaryArray.from_arrays(indices, _words(words), safe=False)
    return found if found.type == SYMBOL else found.cast(SYMBOL)


@lru_cache(maxsize=16)  # the symbols of a unit come with each of its blocks
def _words(words: tuple[str, ...]) -> pa.Array:
    return pa.array(words, pa.string())


def dates(times: Int64s) -> pa.Array:
    """Return the UTC date of each time (ns) as dictionary<int32, string> of YYYY-MM-DD."""
    if _is_one_day(times):  # nearly always, and much faster
        return dictionary(np.zeros(len(times), np.int32), (str(np.datetime64(int(times[0]) // NS_PER_DAY, "D")),))
    days = times // NS_PER_DAY
    first = int(days.min()) if len(days) else 0
    if len(days) and int(days.max()) - first < _COUNTED_DAYS:  # no need to sort
        counts = np.bincount(days - first)
        found, codes = np.flatnonzero(counts) + first, (np.cumsum(counts > 0) - 1)[days - first]
    else:
        found, codes = np.unique(days, return_inverse=True)
    words = tuple(str(np.datetime64(int(day), "D")) for day in found)
    return dictionary(codes.astype(np.int32), words)


def _is_one_day(times: Int64s) -> bool:
    return len(times) > 0 and int(times.min()) // NS_PER_DAY == int(times.max()) // NS_PER_DAY
