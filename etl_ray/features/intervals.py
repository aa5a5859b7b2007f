"""Which intervals have ended, which rows they hold, and when all of that was known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from etl_ray.features.exact import Bools, Int64s
from etl_ray.features.market import NEVER, Books, Market
from etl_ray.features.options import DAY_NS


@dataclass(frozen=True)
class Intervals:
    """Intervals that have ended, by time.

    Rows [`low`, `high`) of trades and of books are theirs; `ended` is when the first message at or behind their end had
    arrived.
    """

    ts_start: Int64s
    ts_end: Int64s
    trades_low: Int64s
    trades_high: Int64s
    books_low: Int64s
    books_high: Int64s
    ended: Int64s

    def __len__(self) -> int:
        """Return the number of intervals."""
        return len(self.ts_start)


def find_intervals(market: Market, *, interval_ns: int, first_ns: int, end_ns: int) -> Intervals:
    """Return the intervals that begin in [first_ns, end_ns), hold a row, and have ended by the end of the next date."""
    ts_event, clock = market.trades.ts_event, market.books.clock
    number = np.concatenate([_numbers(times, interval_ns) for times in (ts_event, clock)])
    number.sort(kind="stable")  # two runs that are sorted already
    ts_start = _numbers(number, 1) * interval_ns
    ts_start = ts_start[(ts_start >= first_ns) & (ts_start < end_ns)]
    ended = _ended(market, ts_start, interval_ns)
    has_ended = ended != NEVER
    ts_start, ended = ts_start[has_ended], ended[has_ended]
    ts_end = ts_start + interval_ns
    return Intervals(
        ts_start,
        ts_end,
        trades_low=np.searchsorted(ts_event, ts_start),
        trades_high=np.searchsorted(ts_event, ts_end),
        books_low=np.searchsorted(clock, ts_start),
        books_high=np.searchsorted(clock, ts_end),
        ended=ended,
    )


def arrivals(market: Market, intervals: Intervals) -> Int64s:
    """Return when the rows of intervals had arrived, the row that ended them, and what could have moved rows there."""
    trades = greatest_within(market.trades.arrival, intervals.trades_low, intervals.trades_high)
    books = greatest_within(market.books.arrival, intervals.books_low, intervals.books_high)
    known: Int64s = np.maximum.reduce([trades, books, _excluding(market.books, intervals), intervals.ended])
    return known


def greatest_within(values: Int64s, low: Int64s, high: Int64s) -> Int64s:
    """Return the greatest of values[low:high] for each pair, `NEVER` of none."""
    if not len(low):
        return np.full(0, NEVER)
    edges = np.column_stack([low, high]).ravel()
    found = np.maximum.reduceat(np.append(values, NEVER), edges)[::2]
    return np.where(low < high, found, NEVER)


def _numbers(times: Int64s, interval_ns: int) -> Int64s:
    """Return the different numbers of intervals of ascending times."""
    numbers = times // interval_ns
    found: Int64s = numbers[np.append(True, np.diff(numbers) != 0)[: len(numbers)]]
    return found


def _ended(market: Market, ts_start: Int64s, interval_ns: int) -> Int64s:
    """Return the first arrival of a message at or behind the end, up to the end of the next date."""
    times = np.concatenate([market.trades.ts_event, market.books.ts_align])
    arrival = np.concatenate([market.trades.arrival, market.books.arrival])
    order = np.argsort(times, kind="stable")
    times, arrival = times[order], arrival[order]
    ended = np.full(len(ts_start), NEVER)
    dates = ts_start // DAY_NS
    for date in np.unique(dates):
        mine = dates == date
        end = int(np.searchsorted(times, (date + 2) * DAY_NS))
        behind = np.searchsorted(times[:end], ts_start[mine] + interval_ns)
        first = np.append(np.minimum.accumulate(arrival[:end][::-1])[::-1], NEVER)
        ended[mine] = first[behind]
    return ended


def _excluding(books: Books, intervals: Intervals) -> Int64s:
    """Return the arrival of the row that closed each interval to later rows whose `ts_align` is before its end."""
    behind = intervals.books_high
    late: Bools = np.append(books.least_left, np.iinfo(np.int64).max)[behind] < intervals.ts_end
    return np.where(late, np.append(books.arrival, NEVER)[behind], NEVER)
