"""Runs of consecutive sequence numbers within a unit: `docs/semantics.md`, Connections.

A unit does not know what came before it, so it records runs only. Joining them to connections is for those who see all
units (`etl_ray.scan.connections`); so that they can do it as if line by line, a run remembers how far the
other runs had come when it was opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numba import njit

from etl_ray.venues.rows import NULL, Int32s, Int64s, Messages

MAX_OPEN_RUNS = 1024
MAX_REMEMBERED = 64


@dataclass(frozen=True)
class Run:
    """A run as its unit saw it.

    `first_line` counts from 1 within the unit. `product` is the first product of its first message, `owner` the run
    that held the latest message of that product before, if the unit had any. `others` are (run, last number) of the
    runs open when it was opened, the most recently extended first.
    """

    first_line: int
    first_number: int
    last_number: int
    product: str | None
    owner: int | None
    others: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class UnitRuns:
    """All runs of a unit, in the order in which they were opened.

    `recency` are the open ones, the most recently extended first; `owners` maps each first product to the run that
    holds its latest message.
    """

    runs: tuple[Run, ...]
    recency: tuple[int, ...]
    owners: Mapping[str, int]


class RunTracker:
    """Assigns the messages of a unit to runs, block after block."""

    def __init__(self) -> None:
        self._last = np.zeros(16, np.int64)
        self._owner = np.zeros(0, np.int32)
        self._recent = np.zeros(MAX_OPEN_RUNS, np.int32)
        self._state = np.zeros(2, np.int64)  # runs so far, open runs
        self._first: list[tuple[int, int, int, int | None]] = []
        self._others: list[tuple[tuple[int, int], ...]] = []

    def assign(self, messages: Messages, n_symbols: int) -> Int32s:
        """Return the run of each message, -1 where a private message has no valid number."""
        if n_symbols > len(self._owner):
            fresh = np.full(n_symbols - len(self._owner), -1, np.int32)
            self._owner = np.concatenate([self._owner, fresh])
        run = np.empty(len(messages), np.int32)
        at = 0
        while at < len(messages):
            at = _extend(
                messages.sequence_num, messages.product, at, self._last, self._owner, self._recent, self._state, run
            )
            if at < len(messages):
                run[at] = self._open(int(messages.line[at]), int(messages.sequence_num[at]), int(messages.product[at]))
                at += 1
        return run

    def result(self, symbols: tuple[str, ...]) -> UnitRuns:
        """Return the runs of the unit, whose products are `symbols`."""
        runs = tuple(
            Run(
                first_line=line,
                first_number=number,
                last_number=int(self._last[index]),
                product=None if product < 0 else symbols[product],
                owner=owner,
                others=self._others[index],
            )
            for index, (line, number, product, owner) in enumerate(self._first)
        )
        return UnitRuns(
            runs=runs,
            recency=tuple(int(run) for run in self._recent[: self._state[1]]),
            owners={symbols[symbol]: int(run) for symbol, run in enumerate(self._owner) if run >= 0},
        )

    def _open(self, line: int, number: int, product: int) -> int:
        """Open a run with a message; return the run."""
        index, n_open = int(self._state[0]), int(self._state[1])
        recent = self._recent[: min(n_open, MAX_REMEMBERED)]
        self._others.append(tuple((int(run), int(self._last[run])) for run in recent))
        owner = int(self._owner[product]) if product >= 0 else -1
        self._first.append((line, number, product, owner if owner >= 0 else None))
        if index == len(self._last):
            self._last = np.concatenate([self._last, np.zeros(index, np.int64)])
        self._last[index] = number
        if product >= 0:
            self._owner[product] = index
        kept = min(n_open, MAX_OPEN_RUNS - 1)
        self._recent[1 : kept + 1] = self._recent[:kept].copy()
        self._recent[0] = index
        self._state[:] = index + 1, kept + 1
        return index


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _extend(  # noqa: PLR0913, PLR0917 (compiled code takes arrays)
    numbers: Int64s,
    products: Int32s,
    at: int,
    last: Int64s,
    owner: Int32s,
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
                    if product < 0 or owner[product] == candidate:
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
            owner[product] = index
        run[m] = index
    return len(numbers)
