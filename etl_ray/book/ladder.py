"""The memory of a replay: the ladder of levels, the slots of rows, and room for states."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from etl_ray.book.updates import Int64s

Item = TypeVar("Item", bound=np.generic)


class Ladder:
    """Buffers that the replays of one worker use one after the other: fresh memory costs more than what it is for."""

    def __init__(self) -> None:
        self._buffers: dict[str, npt.NDArray[np.generic]] = {}
        self.tenancies = 0
        """How many replays have had the buffers; they belong to the latest."""

    def room(self, name: str, shape: tuple[int, ...], dtype: type[Item]) -> npt.NDArray[Item]:
        """Return the array of this name, with this shape and any content; it lies where the last of its name lay."""
        size = int(np.prod(shape))
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < size:
            buffer = self._buffers[name] = np.empty(max(size, 64), dtype)
        return buffer[:size].view(dtype).reshape(shape)

    def levels(self, size: int) -> tuple[Int64s, Int64s, Int64s, Int64s]:
        """Return quantities and three levels of bits for `size` slots a side; the kernel puts something into them."""
        words = 2 * size // 64 + 1
        groups = words // 64 + 1
        return (
            self.room("quantities", (2 * size,), np.int64),
            self.room("bits_0", (words,), np.int64),
            self.room("bits_1", (groups,), np.int64),
            self.room("bits_2", (groups // 64 + 1,), np.int64),
        )
