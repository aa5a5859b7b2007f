"""VPIN: how one-sided the last buckets of equal volume were, with the takers' exact sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from etl_ray.features.exact import (
    Float64s,
    Int64s,
    Integers,
    distinct,
    exact_integer,
    plus,
    quotient,
    running_sums,
    times,
    whole_parts,
)
from etl_ray.features.market import NEVER, Market, Trades
from etl_ray.features.options import BUCKETS_PER_DAY, DAY_NS, FeatureOptions


@dataclass(frozen=True)
class Toxicity:
    """VPIN, NaN where there is none; how many buckets it is of; and when all that it needs was known (ns)."""

    vpin: Float64s
    n: Int64s
    known: Int64s


@dataclass(frozen=True)
class _Volumes:
    """Running sums over trades of their volume and of what was bought less what was sold, in the units of buckets."""

    total: Integers
    signed: Integers


@dataclass(frozen=True)
class _Buckets:
    """The buckets of a UTC date, of `capacity` units each: running sums over its trades, and the trades' signs."""

    capacity: int
    total: Integers
    signed: Integers
    sign: Int64s

    def imbalances(self, last: Integers, n: int) -> tuple[Integers, Integers]:
        """Return the numbers (from 1, ascending) of up to `n` buckets up to each of `last`, and running |Vb - Vs|."""
        reach: Integers = np.subtract.outer(distinct(last), np.arange(n)).ravel()
        wanted = distinct(reach[np.asarray(reach > 0, np.bool_)])
        before = times(self._signed_at(times(plus(wanted, np.full(len(wanted), -1)), self.capacity)), -1)
        return wanted, running_sums(np.abs(plus(self._signed_at(times(wanted, self.capacity)), before)))

    def _signed_at(self, volume: Integers) -> Integers:
        """Return what was bought less what was sold until so much was traded: a trade that goes beyond it is split."""
        behind = np.searchsorted(self.total, volume, side="left")
        before = np.maximum(behind - 1, 0)
        part = times(plus(volume, times(self.total[before], -1)), np.append(self.sign, 0)[before])
        return plus(self.signed[before], part)


def vpin(market: Market, ts_end: Int64s, options: FeatureOptions) -> Toxicity:
    """Return VPIN as known at each of `ts_end` (ascending): of buckets that were complete before."""
    found = Toxicity(np.full(len(ts_end), np.nan), np.zeros(len(ts_end), np.int64), np.full(len(ts_end), NEVER))
    volumes, fixed = _volumes(market, options)
    dates = (ts_end - 1) // DAY_NS
    for date in np.unique(dates):
        mine = np.flatnonzero(dates == date)
        buckets, before = (_buckets(market.trades, volumes, int(date) - back, fixed) for back in (0, 1))
        if buckets is not None:
            rows = np.searchsorted(market.trades.ts_event, ts_end[mine])
            volume = volumes.total[rows] - volumes.total[_row(market.trades, int(date))]
            complete = whole_parts(volume, buckets.capacity)
            found.vpin[mine], found.n[mine] = _trailing(buckets, before, complete, options.vpin_n)
        found.known[mine] = _known(market.trades, int(date), ts_end[mine], is_fixed=fixed is not None)
    return found


def _trailing(buckets: _Buckets, before: _Buckets | None, complete: Integers, n: int) -> tuple[Float64s, Int64s]:
    """Return VPIN over the last `n` of the buckets that are complete and of those of the date before."""
    mine = np.minimum(complete, n).astype(np.int64)
    numbers, running = buckets.imbalances(complete, n)
    imbalance: Integers = (
        running[np.searchsorted(numbers, complete, "right")]
        - running[np.searchsorted(numbers, complete - mine, "right")]
    )
    volume = times(mine, buckets.capacity)
    others = np.zeros(len(mine), np.int64)
    if before is not None:
        there = whole_parts(before.total[-1:], before.capacity)
        others = np.minimum(n - mine, np.minimum(there, n).astype(np.int64))
        _, running = before.imbalances(there, n)
        imbalance = plus(imbalance, running[-1] - running[len(running) - 1 - others])
        volume = plus(volume, times(others, before.capacity))
    value = quotient(imbalance, volume)
    value[mine + others < n] = np.nan
    return value, mine + others


def _volumes(market: Market, options: FeatureOptions) -> tuple[_Volumes, int | None]:
    """Return volumes in units of which a bucket has a whole number, and that number if it is fixed."""
    size, fixed = market.trades.size, None
    if options.vpin_bucket is None:
        size = times(size, BUCKETS_PER_DAY)
    else:
        bucket, scale = exact_integer(options.vpin_bucket)
        fixed = bucket * 10 ** max(0, market.size_scale - scale)
        size = times(size, 10 ** max(0, scale - market.size_scale))
    return _Volumes(running_sums(size), running_sums(times(size, market.trades.sign))), fixed


def _buckets(trades: Trades, volumes: _Volumes, date: int, fixed: int | None) -> _Buckets | None:
    """Return the buckets of a date; None if their size is not known."""
    low, high = _row(trades, date), _row(trades, date + 1)
    capacity = _volume_of_day(trades, volumes, date - 1) // BUCKETS_PER_DAY if fixed is None else fixed
    if not capacity:
        return None
    total, signed = (sums[low : high + 1] - sums[low] for sums in (volumes.total, volumes.signed))
    return _Buckets(capacity, total, signed, trades.sign[low:high])


def _volume_of_day(trades: Trades, volumes: _Volumes, date: int) -> int:
    """Return the volume of a date in units, 0 if no trade stands before or behind it, or an id is missing between."""
    low, high = _row(trades, date), _row(trades, date + 1)
    if low == 0 or high == len(trades.trade_id):
        return 0
    ids = trades.trade_id[low - 1 : high + 1]
    if int(ids.max()) - int(ids.min()) + 1 != len(ids):
        return 0
    return int(volumes.total[high] - volumes.total[low])


def _known(trades: Trades, date: int, ts_end: Int64s, *, is_fixed: bool) -> Int64s:
    """Return when all trades were known that decide on VPIN: those that say how large buckets are, and all behind."""
    rows = np.searchsorted(trades.ts_event, ts_end)
    first = _row(trades, date - 1)
    if not is_fixed:
        first = max(_row(trades, date - 2) - 1, 0)
        rows = np.maximum(rows, min(_row(trades, date) + 1, len(trades.arrival)))
    latest = np.maximum.accumulate(np.append(NEVER, trades.arrival[first:]))
    return latest[rows - first]


def _row(trades: Trades, date: int) -> int:
    """Return the first trade of a date or behind it."""
    return int(np.searchsorted(trades.ts_event, date * DAY_NS))
