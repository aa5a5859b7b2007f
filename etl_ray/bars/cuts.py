"""Where bars begin and end in the tape."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import polars as pl

from etl_ray.bars.exact import FITS_BELOW, Bools, Int64s, Integers, is_small
from etl_ray.bars.spec import NS_PER_DAY, BarSpec, Reset
from etl_ray.bars.tape import Tape

NEVER = -(2**63)
"""No arrival: what is before all times."""


@dataclass(frozen=True)
class Cuts:
    """Bars with trades, in order: bar k has the trades from edges[k] to edges[k + 1], end exclusive. Times are ns."""

    edges: Int64s
    ts_start: Int64s
    ts_end: Int64s
    ts_available: Int64s
    is_complete: Bools

    def __len__(self) -> int:
        return len(self.ts_start)

    def between(self, first_ns: int, end_ns: int) -> Cuts:
        """Return the bars with first_ns <= ts_start < end_ns."""
        start, end = (int(k) for k in np.searchsorted(self.ts_start, (first_ns, end_ns)))
        end = max(start, end)
        rows = slice(start, end)
        return Cuts(
            edges=self.edges[start : end + 1],
            ts_start=self.ts_start[rows],
            ts_end=self.ts_end[rows],
            ts_available=self.ts_available[rows],
            is_complete=self.is_complete[rows],
        )


@dataclass(frozen=True)
class Carried:
    """Where a stream stands: the first `n_done` trades are in bars that are out; `ts_available` is that of the last."""

    n_done: int = 0
    ts_available: int = NEVER


def cut_by_time(tape: Tape, length_ns: int, *, first_ns: int, end_ns: int) -> Cuts:
    """Return the bars of `length_ns` that have trades and have ended."""
    start, end = (int(k) for k in np.searchsorted(tape.ts_event, _aligned((first_ns, end_ns), length_ns)))
    number = tape.ts_event[start:end] // length_ns
    begins = np.flatnonzero(number[1:] != number[:-1]) + 1
    edges = np.concatenate(([start], begins + start, [end])) if end > start else np.array([start])
    if end == len(tape):  # nothing is behind the last one
        edges = edges[:-1] if len(edges) > 1 else edges
    ts_start = number[edges[:-1] - start] * length_ns
    behind = edges[1:]
    return Cuts(
        edges=edges,
        ts_start=ts_start,
        ts_end=ts_start + length_ns,
        ts_available=np.maximum(_latest(tape, edges), tape.ts_available[behind]),
        is_complete=_contiguous(tape, edges, with_next=True),
    )


def empty_between(tape: Tape, length_ns: int, *, first_ns: int, end_ns: int) -> tuple[Int64s, Int64s]:
    """Return the starts of empty bars that are complete, and for each the place of the trade behind it."""
    first, end = _aligned((first_ns, end_ns), length_ns)
    number = tape.ts_event // length_ns
    known = np.abs(np.diff(tape.trade_id)) == 1
    from_number = np.maximum(number[:-1] + 1, first // length_ns)
    to_number = np.minimum(number[1:], end // length_ns)
    places = np.flatnonzero(known & (to_number > from_number))
    counts = to_number[places] - from_number[places]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return (np.repeat(from_number[places], counts) + within) * length_ns, np.repeat(places + 1, counts)


def cut_by_size(tape: Tape, spec: BarSpec, reset: Reset, carried: Carried) -> Cuts:
    """Return the bars by trades, quantity or notional, without a last one that may go on."""
    done = carried.n_done
    if len(tape) == done:
        none = np.zeros(0, np.int64)
        return Cuts(np.array([done]), none, none, none, np.zeros(0, np.bool_))
    restarts = tape.missing_before > 0
    if reset == "day":
        days = tape.ts_event // NS_PER_DAY
        restarts[1:] |= days[1:] != days[:-1]
    restarts[0] = True
    begins, reached = _closed(tape, spec, restarts, done)
    edges = np.append(np.flatnonzero(begins) + done, len(tape))
    full = reached[edges[1:] - 1 - done]
    if not full[-1]:
        edges, full = edges[:-1], full[:-1]
    latest = _latest_since_restart(tape, edges, restarts, carried)
    cut_short = np.flatnonzero(~full)
    latest[cut_short] = np.maximum(latest[cut_short], tape.ts_available[edges[cut_short + 1]])
    return Cuts(
        edges=edges,
        ts_start=tape.ts_event[edges[:-1]],
        ts_end=tape.ts_event[edges[1:] - 1],
        ts_available=latest,
        is_complete=full & _contiguous(tape, edges, with_next=False),
    )


def _aligned(times: tuple[int, int], length_ns: int) -> tuple[int, int]:
    """Return the first multiples of `length_ns` that are not before the times, or the end of time."""
    first, end = (min(-(-time // length_ns) * length_ns, 2**63 - 1) for time in times)
    return first, end


def _closed(tape: Tape, spec: BarSpec, restarts: Bools, done: int) -> tuple[Bools, Bools]:
    """Say of each trade from `done` on whether it begins a bar, and whether a bar has reached its size with it."""
    if spec.kind == "tick":
        size = int(spec.size)
        number = np.arange(len(tape) - done)
        anew = restarts[done:].copy()
        anew[0] = True
        position = number - np.maximum.accumulate(np.where(anew, number, 0))
        return position % size == 0, position % size == size - 1
    amounts, size = _amounts(tape, spec, done)
    begins, reached = np.zeros(len(amounts), np.bool_), np.zeros(len(amounts), np.bool_)
    from etl_ray.bars.kernel import close_bars

    close = close_bars if is_small(amounts) else close_bars.py_func
    close(amounts, restarts[done:], size, begins, reached)
    return begins, reached


def _amounts(tape: Tape, spec: BarSpec, done: int) -> tuple[Integers, int]:
    """Return what each trade adds, and the least sum of it that closes a bar, as integers at one scale."""
    size: Integers = tape.size[done:]
    scale = tape.size_scale + (tape.price_scale if spec.kind == "dollar" else 0)
    numerator, denominator = Decimal(spec.size).as_integer_ratio()
    closes = -(-numerator * 10**scale // denominator)
    if spec.kind == "volume":
        if is_small(size) and closes >= FITS_BELOW:
            size = size.astype(np.object_)
        return size, closes
    price: Integers = tape.price[done:]
    if is_small(price) and is_small(size):
        most = float(price.max()) * float(size.max())
        if most + closes < FITS_BELOW:
            return price * size, closes
    return price.astype(np.object_) * size, closes


def _latest(tape: Tape, edges: Int64s) -> Int64s:
    """Return the latest arrival of each bar's trades and of the trade before it."""
    if len(edges) == 1:
        return np.zeros(0, np.int64)
    latest: Int64s = np.maximum.reduceat(tape.ts_available[: edges[-1]], edges[:-1])
    before = edges[:-1] - 1
    return np.maximum(latest, np.where(before >= 0, tape.ts_available[before], NEVER))


def _latest_since_restart(tape: Tape, edges: Int64s, restarts: Bools, carried: Carried) -> Int64s:
    """Return the latest arrival since the restart before each bar, with the trade before that."""
    latest = _latest(tape, edges)
    if len(latest) and not restarts[edges[0]]:
        latest[0] = max(int(latest[0]), carried.ts_available)
    stretch = np.cumsum(restarts[edges[:-1]])
    frame = pl.DataFrame({"latest": latest, "stretch": stretch})
    return frame.select(pl.col("latest").cum_max().over("stretch"))["latest"].to_numpy().copy()


def _contiguous(tape: Tape, edges: Int64s, *, with_next: bool) -> Bools:
    """Say of each bar whether there is a trade before it and no id is missing from that one to its last (or next)."""
    if len(edges) == 1:
        return np.zeros(0, np.bool_)
    ids = tape.trade_id
    least: Int64s = np.minimum.reduceat(ids[: edges[-1]], edges[:-1])
    most: Int64s = np.maximum.reduceat(ids[: edges[-1]], edges[:-1])
    others = [edges[:-1] - 1, *([edges[1:]] if with_next else [])]
    for places in others:
        least, most = np.minimum(least, ids[places]), np.maximum(most, ids[places])
    found: Bools = (edges[:-1] > 0) & (most - least == np.diff(edges) + len(others) - 1)
    return found
