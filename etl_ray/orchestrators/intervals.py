"""Rows of `book` at fixed intervals: the last state before each interval's end, told by the message that ends it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from etl_ray.tables.coverage import STATES
from etl_ray.venues.rows import Bools, Int64s, dates, timestamps

LONGEST_EMPTY_NS = 3_600_000_000_000
_ROWS_AT_ONCE = 65_536


@dataclass(frozen=True)
class Ticks:
    """What intervals are cut by, per message: clock and arrival (ns), connection, whether it is published."""

    clock: Int64s
    arrival: Int64s
    owner: Int64s
    published: Bools


@dataclass
class _Open:
    """The interval in progress: its number, how many rows it has, of how many a flow is known, and sums of flows."""

    number: int
    messages: int
    unverified: int
    known: np.ndarray
    sums: np.ndarray


class Intervals:
    """Cuts rows of messages into intervals of `interval_ns`, aligned to the epoch.

    They are the messages of a shard and then, `ahead`, of what follows. A row belongs to the shard in which its
    interval began or, where the interval is empty, to that which has the state that it repeats. `begun` is the interval
    in progress in front of the first message, of which therefore somebody else tells (None: there is none). `silent`
    are spans (from, to, ns) by connection: an empty interval within one gives no row. `flows` are the columns that are
    summed.
    """

    def __init__(
        self,
        interval_ns: int,
        *,
        begun: int | None,
        skip_empty: bool,
        silent: Mapping[int, tuple[tuple[int, int], ...]],
        flows: tuple[str, ...],
    ) -> None:
        self._interval_ns = interval_ns
        self._begun = begun
        self._skip_empty = skip_empty
        self._silent = silent
        self._flows = flows
        self._open: _Open | None = None if begun is None else self._opened(begun)
        self._last: pa.Table | None = None
        self._last_owner = -1
        self._is_last_own = False
        self._left: int | None = None

    @property
    def owes(self) -> bool:
        """Whether what follows has to be seen: the end of the interval that began here, or of the state from here."""
        if self._open is None:
            return False
        left = self._open.number if self._left is None else self._left
        return self._is_last_own or left == self._open.number != self._begun

    def add(self, rows: pa.Table, ticks: Ticks, *, ahead: bool = False) -> Iterator[pa.Table]:
        """Take the next messages, of which `rows` are those published; yield the rows of the intervals that end."""
        numbers = ticks.clock // self._interval_ns
        if self._open is None:
            self._open = self._opened(int(numbers[0]))
        if ahead and self._left is None:
            self._left = self._open.number
        before = np.r_[self._open.number, numbers[:-1]]
        closing = np.flatnonzero(numbers > before)
        ended = np.r_[self._open.number, numbers[closing[:-1]]] if len(closing) else np.empty(0, np.int64)
        row_numbers = numbers[ticks.published]
        row_owners = ticks.owner[ticks.published]
        groups = np.searchsorted(ended, row_numbers)  # the last one is the interval in progress at the end
        counts, unverified, known, sums = self._summed(self._open, rows, groups, len(ended) + 1)
        # The state of an interval without messages is that of the last one before, which may be from earlier chunks.
        states = rows if self._last is None else pa.concat_tables([self._last, rows])
        owners = row_owners if self._last is None else np.r_[self._last_owner, row_owners]
        earlier = int(self._last is not None)
        if len(closing) and len(states):
            last = np.searchsorted(row_numbers, ended, "right") - 1 + earlier
            following = numbers[closing]
            emitted = (last >= 0) & (ended != (self._begun if self._begun is not None else -1))
            if ahead:
                repeats_own = (counts[: len(ended)] == 0) & (last < earlier) & self._is_last_own
                emitted &= repeats_own | ((ended == self._left) & (counts[: len(ended)] > 0))
            yield from self._rows_of(
                states, owners, ticks, (ended, following, closing, last, counts, unverified, known, sums), emitted
            )
        self._open = _Open(int(numbers[-1]), int(counts[-1]), int(unverified[-1]), known[-1].copy(), sums[-1].copy())
        if len(states):
            self._last, self._last_owner = states.slice(len(states) - 1), int(owners[-1])
            self._is_last_own = not ahead or (self._is_last_own and not len(rows))

    def _opened(self, number: int) -> _Open:
        width = len(self._flows)
        return _Open(number, 0, 0, np.zeros(width, np.int64), np.zeros(width))

    def _summed(
        self, begun: _Open, rows: pa.Table, groups: Int64s, count: int
    ) -> tuple[Int64s, Int64s, np.ndarray, np.ndarray]:
        """Return per interval the rows, those not verified, and by flow the known ones and their sum.

        Sums are taken row by row, so that they do not depend on how rows are cut into chunks.
        """
        counts, unverified = np.zeros(count, np.int64), np.zeros(count, np.int64)
        known, sums = np.zeros((count, len(self._flows)), np.int64), np.zeros((count, len(self._flows)))
        counts[0], unverified[0] = begun.messages, begun.unverified
        known[0], sums[0] = begun.known, begun.sums
        np.add.at(counts, groups, 1)
        verified = pc.equal(rows.column("book_state").cast(pa.string()), STATES[0]).to_numpy()
        np.add.at(unverified, groups, ~verified)
        for k, name in enumerate(self._flows):
            values = rows.column(name).to_numpy()
            there = ~np.isnan(values)
            np.add.at(known[:, k], groups[there], 1)
            np.add.at(sums[:, k], groups[there], values[there])
        return counts, unverified, known, sums

    def _rows_of(
        self,
        states: pa.Table,
        owners: Int64s,
        ticks: Ticks,
        found: tuple[np.ndarray, ...],
        emitted: Bools,
    ) -> Iterator[pa.Table]:
        ended, following, closing, last, counts, unverified, known, sums = (values[: len(emitted)] for values in found)
        filled = (counts > 0).astype(np.int64)
        empty = following - ended - filled
        dropped = self._skip_empty | (owners[np.maximum(last, 0)] != ticks.owner[closing])
        dropped |= empty * self._interval_ns > LONGEST_EMPTY_NS
        repeats = np.where(emitted, filled + np.where(dropped, 0, empty), 0)
        group = np.repeat(np.arange(len(ended)), repeats)
        step = np.arange(len(group)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        kept = ~self._in_silence(owners[last[group]], ended[group] + step, (step > 0) | (counts[group] == 0))
        group, step = group[kept], step[kept]
        for begin in range(0, len(group), _ROWS_AT_ONCE):
            g, s = group[begin : begin + _ROWS_AT_ONCE], step[begin : begin + _ROWS_AT_ONCE]
            own = s == 0
            start = (ended[g] + s) * self._interval_ns
            table = states.take(pa.array(last[g]))
            columns = dict(zip(table.column_names, table.columns, strict=True))
            columns |= {
                "date": dates(start),
                "ts_start": timestamps(start),
                "ts_end": timestamps(start + self._interval_ns),
                "n_messages": pa.array(np.where(own, counts[g], 0)),
                "ts_available": timestamps(ticks.arrival[closing[g]]),
            }
            clean = own & (unverified[g] == 0)
            for k, name in enumerate(self._flows):
                valid = clean & (known[g, k] > 0)
                columns[name] = pa.array(np.where(valid, sums[g, k], 0.0), mask=~valid)
            if self._flows:
                columns["ofi_n"] = pa.array(np.where(own, known[g, 0], 0))
                columns["ofi_missing"] = pa.array(np.where(own, counts[g] - known[g, 0], 0))
            yield pa.table(columns)

    def _in_silence(self, owners: Int64s, numbers: Int64s, empty: Bools) -> Bools:
        """Tell which empty intervals lie within a silence of their connection."""
        silent = np.zeros(len(numbers), np.bool_)
        for connection, spans in self._silent.items():
            mine = empty & (owners == connection)
            if not mine.any():
                continue
            begins = np.array([begin for begin, _ in spans])
            ends = np.array([end for _, end in spans])
            start = numbers * self._interval_ns
            k = np.searchsorted(begins, start, "right") - 1
            silent |= mine & (k >= 0) & (start + self._interval_ns <= ends[k])
        return silent
