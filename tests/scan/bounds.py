"""Scans data that ends where memory ends: a read beyond the padding kills the process.

`python -m tests.scan.bounds PADDING` is what the tests run; it says how many pieces were scanned.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from random import Random

import numpy as np
import numpy.typing as npt

from etl_ray.scan import kernel
from etl_ray.scan.plan import Workspace
from tests.scan.fuzz import seeds
from tests.scan.mutations import mutate
from tests.scan.outcome import COINBASE
from tests.scan.wire import plain_lines

SIZE = 64 * mmap.PAGESIZE


def memory_before_a_wall() -> npt.NDArray[np.uint8]:
    """Return zeros behind whose last one no byte can be read."""
    mapped = mmap.mmap(-1, SIZE + mmap.PAGESIZE)
    memory = np.frombuffer(mapped, np.uint8)
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    if protect(memory.ctypes.data + SIZE, mmap.PAGESIZE, 0):
        raise OSError(ctypes.get_errno(), "mprotect failed")
    return memory[:SIZE]


class Scanner:
    """Scans pieces, each with `padding` zeros behind it and then the wall."""

    def __init__(self, padding: int) -> None:
        self.padding = padding
        self.pieces = 0
        self._memory = memory_before_a_wall()
        self._work = Workspace(COINBASE, "float64", SIZE)

    def scan(self, piece: bytes) -> None:
        """Scan a piece; the kernel has to look at all of it."""
        work, memory = self._work, self._memory
        end = SIZE - self.padding
        start = end - len(piece)
        memory[start:end] = np.frombuffer(piece, np.uint8)
        work.next_columns()
        position = kernel.scan_block(
            memory.ctypes.data + start,
            0,
            len(piece),
            1,
            work.context.ctypes.data,
        )
        if position < len(piece):
            raise AssertionError(f"stopped at {position} of {piece!r}")
        if work.count(kernel.N_SYMBOLS) > 1000:
            work.reset()
        self.pieces += 1


def main() -> None:
    """Scan every line cut after each of its bytes, alone and behind another line, then mutated ones."""
    scanner = Scanner(int(sys.argv[1]))
    lines = plain_lines()
    for before, line in zip([lines[-1], *lines], lines, strict=False):
        for end in range(len(line) + 1):
            scanner.scan(line[:end])
            scanner.scan(before + b"\n" + line[:end])
    random = Random(1)
    first = seeds()
    for _ in range(5000):
        line = mutate(random, first)
        scanner.scan(line)
        scanner.scan(line[: random.randrange(len(line) + 1)])
    print(scanner.pieces)


if __name__ == "__main__":
    main()
