"""Runs of consecutive sequence numbers within a unit: `docs/semantics.md`, Connections.

A unit does not know what came before it, so it records runs only. Joining them to connections is for those who see all
units (`etl_ray.scan.connections`); so that they can do it as if line by line, a run remembers how far the
other runs had come when it was opened.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from etl_ray.venues.rows import NULL, Int32s, Int64s, Messages

MAX_OPEN_RUNS = 1024
MAX_REMEMBERED = 64


@dataclass(frozen=True)
class Run:
    """A run as its unit saw it.

    `first_line` counts from 1 within the unit. `products` are all first products of its messages, `product` that of
    its first message. `others` are (run, last number) of the runs open when it was opened, the most recently extended
    first.
    """

    first_line: int
    first_number: int
    last_number: int
    product: str | None
    products: tuple[str, ...]
    others: tuple[tuple[int, int], ...]


class RunTracker:
    """Assigns the messages of a unit to runs, block after block."""

    def __init__(self) -> None:
        self._last = np.zeros(0, np.int64)
        self._carried = np.zeros((0, 0), np.bool_)
        self._recent = np.zeros(MAX_OPEN_RUNS, np.int32)
        self._state = np.zeros(2, np.int64)  # runs so far, open runs
        self._first: list[tuple[int, int, int]] = []
        self._others: list[tuple[tuple[int, int], ...]] = []

    def assign(self, messages: Messages, n_symbols: int) -> Int32s:
        """Return the run of each message, -1 where a private message has no valid number."""
        self._grow(len(self._last), n_symbols)
        run = np.empty(len(messages), np.int32)
        at = 0
        while at < len(messages):
            at = _extend(
                messages.sequence_num, messages.product, at, self._last, self._carried, self._recent, self._state, run
            )
            if at < len(messages):
                self._open(messages, at, n_symbols)
                run[at] = self._state[0] - 1
                at += 1
        return run

    def runs(self, symbols: tuple[str, ...]) -> tuple[Run, ...]:
        """Return all runs of the unit, in the order in which they were opened."""
        return tuple(
            Run(
                first_line=line,
                first_number=number,
                last_number=int(self._last[index]),
                product=None if product < 0 else symbols[product],
                products=tuple(symbols[symbol] for symbol in np.flatnonzero(self._carried[index])),
                others=others,
            )
            for index, ((line, number, product), others) in enumerate(zip(self._first, self._others, strict=True))
        )

    def recency(self) -> tuple[int, ...]:
        """Return the open runs, the most recently extended first."""
        return tuple(int(run) for run in self._recent[: self._state[1]])

    def _open(self, messages: Messages, at: int, n_symbols: int) -> None:
        index, n_open = int(self._state[0]), int(self._state[1])
        number, product = int(messages.sequence_num[at]), int(messages.product[at])
        recent = self._recent[: min(n_open, MAX_REMEMBERED)]
        self._others.append(tuple((int(run), int(self._last[run])) for run in recent))
        self._first.append((int(messages.line[at]), number, product))
        if index == len(self._last):
            self._grow(max(16, 2 * index), n_symbols)
        self._last[index] = number
        if product >= 0:
            self._carried[index, product] = True
        kept = min(n_open, MAX_OPEN_RUNS - 1)
        self._recent[1 : kept + 1] = self._recent[:kept].copy()
        self._recent[0] = index
        self._state[:] = index + 1, kept + 1

    def _grow(self, runs: int, symbols: int) -> None:
        known_runs, known_symbols = self._carried.shape
        if runs > known_runs or symbols > known_symbols:
            carried = np.zeros((max(runs, known_runs), max(symbols, known_symbols)), np.bool_)
            carried[:known_runs, :known_symbols] = self._carried
            self._carried = carried
            self._last = np.concatenate([self._last, np.zeros(len(carried) - known_runs, np.int64)])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _extend(  # noqa: PLR0913, PLR0917 (compiled code takes arrays)
    numbers: Int64s,
    products: Int32s,
    at: int,
    last: Int64s,
    carried: npt.NDArray[np.bool_],
    recent: Int32s,
    state: Int64s,
    run: Int32s,
) -> int:
    """Assign messages from `at` on to open runs; return the first message that opens a run, or their number."""
    for m in range(at, len(numbers)):
        number, product = numbers[m], products[m]
        if number == NULL:
            run[m] = -1
            continue
        found = -1
        if number > 0:
            for k in range(state[1]):
                candidate = recent[k]
                if last[candidate] == number - 1:
                    if product < 0 or carried[candidate, product]:
                        found = k
                        break
                    if found < 0:
                        found = k
        if found < 0:
            return m
        index = recent[found]
        for k in range(found, 0, -1):
            recent[k] = recent[k - 1]
        recent[0] = index
        last[index] = number
        if product >= 0:
            carried[index, product] = True
        run[m] = index
    return len(numbers)
