"""Random integers that are the same on every platform, Python and numpy.

Only the raw 64-bit output of PCG64 is used, and integer arithmetic on it: numpy keeps that stream stable, which it does
not promise for its distributions, and logarithms differ in the last bit between C libraries.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat

import numpy as np
from numpy.random import PCG64, SeedSequence
from numpy.typing import NDArray

_BLOCK = 4096

# What a level draw asks for: its lowest bit is the side (0 bid, 1 ask), the bits above are the action.
ADD, REMOVE = 0, 1
LevelDraw = tuple[int, int, int, int]
Bits = NDArray[np.uint64]


def raw_draws(*key: int) -> Iterator[int]:
    """Yield 64 random bits at a time, without end, from the stream named by `key`."""
    bits = PCG64(SeedSequence(key))
    return chain.from_iterable(bits.random_raw(_BLOCK).tolist() for _ in repeat(None))


def raw_block(count: int, *key: int) -> Bits:
    """Return the first `count` draws of the stream named by `key`."""
    return PCG64(SeedSequence(key)).random_raw(count)


def level_draws(*key: int, levels: int, spacing_ticks: int, farthest_ticks: int, size_lots: int) -> Iterator[LevelDraw]:
    """Yield (code, rank, distance_ticks, size_lots) without end: what happens to which level of a book.

    The code is `action << 1 | side`; of four actions two change a size. Ranks count from the touch, distances from the
    fair price up to `farthest_ticks`; both crowd near the touch. Sizes reach over five decades up to `size_lots`.
    """
    bits = PCG64(SeedSequence(key))

    def block() -> Iterator[LevelDraw]:
        raw = bits.random_raw(_BLOCK)
        ranks = cubic_ranks(raw, levels=levels)
        within = ((raw >> np.uint64(24)) & np.uint64(0xFFFF)) * np.uint64(spacing_ticks) >> np.uint64(16)
        distances = ranks * np.uint64(spacing_ticks) + within
        return zip(
            ((raw >> np.uint64(40)) & np.uint64(7)).tolist(),
            ranks.tolist(),
            np.minimum(distances, np.uint64(farthest_ticks)).tolist(),
            log_uniform_sizes(raw, size_lots=size_lots).tolist(),
            strict=True,
        )

    return chain.from_iterable(block() for _ in repeat(None))


def cubic_ranks(raw: Bits, *, levels: int) -> Bits:
    """Turn the top 21 bits of each draw into a rank below `levels`, half of them in the first eighth."""
    uniform: Bits = raw >> np.uint64(43)
    cube: Bits = (uniform * uniform * uniform) >> np.uint64(42)
    return (cube * np.uint64(levels)) >> np.uint64(21)


def log_uniform_sizes(raw: Bits, *, size_lots: int) -> Bits:
    """Turn the low 20 bits of each draw into a size from 1 to about `size_lots`, each magnitude as likely."""
    shift = np.uint64(16) + ((raw >> np.uint64(16)) & np.uint64(15))
    return np.uint64(1) + (((raw & np.uint64(0xFFFF)) * np.uint64(size_lots)) >> shift)
