"""Random trades and books of a few dates, as frames and as the reference takes them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

import polars as pl

from etl_ray.features import FeatureOptions
from tests.reference.cross import DAY_NS, BookState, Recording, Row, Trade, Wanted

SECOND_NS = 10**9
FIRST_DATE = 20_000
DATES = 3
FIRST_NS, END_NS = FIRST_DATE * DAY_NS, (FIRST_DATE + DATES + 1) * DAY_NS
DECIMAL = pl.Decimal(38, 18)
STATES = ("verified", "verified", "verified", "verified", "unverifiable", "suspect", "no_snapshot")
APPROXIMATE = {"effective_spread_bps_mean", "effective_spread_bps_median"}
"""Computed of rounded numbers."""


@dataclass(frozen=True)
class Flow:
    """Trades by (ts_event, trade_id), and books in order of arrival."""

    trades: Sequence[Trade]
    books: Sequence[BookState]

    def frames(self, *, decimal: bool = False, has_ofi: bool = True) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the frames of trades and of `book`."""
        book = book_frame(self.books, DECIMAL if decimal else pl.Float64())
        return trade_frame(self.trades, DECIMAL if decimal else pl.Float64()), book if has_ofi else book.drop("ofi")


def trade_frame(trades: Sequence[Trade], number: pl.DataType) -> pl.DataFrame:
    columns = {
        "trade_id": pl.Series([one.trade_id for one in trades], dtype=pl.Int64),
        "ts_event": pl.Series([one.ts_event for one in trades], dtype=pl.Int64),
        "ts_available": pl.Series([one.arrival for one in trades], dtype=pl.Int64),
        "price": numbers([one.price for one in trades], number),
        "size": numbers([one.size for one in trades], number),
        "taker_side": pl.Series([one.side for one in trades], dtype=pl.String),
    }
    return pl.DataFrame(columns)


def book_frame(books: Sequence[BookState], number: pl.DataType) -> pl.DataFrame:
    columns = {
        "ts_align": pl.Series([one.ts_align for one in books], dtype=pl.Int64),
        "ts_available": pl.Series([one.arrival for one in books], dtype=pl.Int64),
        "book_state": pl.Series([one.state for one in books], dtype=pl.String),
        "crossed": pl.Series([one.crossed for one in books], dtype=pl.Boolean),
        "bid_price_0": numbers([one.bid for one in books], number),
        "bid_size_0": numbers([one.bid_size for one in books], number),
        "ask_price_0": numbers([one.ask for one in books], number),
        "ask_size_0": numbers([one.ask_size for one in books], number),
        "ofi": numbers([one.ofi for one in books], pl.Float64()),
    }
    return pl.DataFrame(columns)


def numbers(values: Sequence[Fraction | None], kind: pl.DataType) -> pl.Series:
    if kind == pl.Float64():
        return pl.Series([None if one is None else float(one) for one in values], dtype=kind)
    exact = [None if one is None else Decimal(one.numerator) / Decimal(one.denominator) for one in values]
    return pl.Series(exact, dtype=DECIMAL)


def wanted(options: FeatureOptions) -> Wanted:
    """Return options as the reference takes them."""
    return Wanted(
        options.interval_ns,
        options.max_book_age_ns,
        ("verified", "unverifiable") if options.admit_unverifiable else ("verified",),
        options.kyle_step_ns,
        options.kyle_window_ns,
        options.kyle_min_n,
        None if options.vpin_bucket is None else Fraction(options.vpin_bucket),
        options.vpin_n,
    )


def recording(flow: Flow, options: FeatureOptions) -> Recording:
    return Recording(flow.trades, flow.books, wanted(options))


def assert_rows(found: pl.DataFrame, expected: list[Row]) -> None:
    """Compare all columns of all rows: exactly, but for what is computed of rounded numbers."""
    assert found.height == len(expected)
    for row, (got, want) in enumerate(zip(found.to_dicts(), expected, strict=True)):
        assert list(got) == list(want)
        for name, value in want.items():
            assert is_equal(name, got[name], value), (row, name, got[name], value, want)


def is_equal(name: str, got: object, want: object) -> bool:
    if not isinstance(want, Fraction):
        return got == want and type(got) is type(want)
    if isinstance(got, Decimal):
        return Fraction(got) == want
    if not isinstance(got, float):
        return False
    if name in APPROXIMATE:
        return abs(Fraction(got) - want) <= Fraction(1, 10**9) * max(1, abs(want))
    try:
        return got == float(want)
    except OverflowError:
        return got == (float("inf") if want > 0 else float("-inf"))


def random_flow(seed: int) -> Flow:
    """Return up to 60 trades and 80 books around the midnights of some dates: ties, steps back, losses, late rows."""
    draw = random.Random(seed)
    is_calm = draw.random() < 0.5
    grid_ns = draw.choice([SECOND_NS // 4, SECOND_NS, 7])
    midnights = draw.choice([1, 2, DATES + 1])
    times = sorted(_time(draw, grid_ns, midnights) for _ in range(draw.choice([0, 1, 5, 60, 60])))
    aligned = sorted(_time(draw, grid_ns, midnights) for _ in range(draw.choice([0, 1, 5, 80, 80])))
    for k in range(len(aligned)):
        if draw.random() < 0.1:
            aligned[k] += draw.choice([-3, -1, 1, 2]) * draw.choice([grid_ns, SECOND_NS])
    flow = Flow(_trades(draw, times, is_calm=is_calm), _books(draw, aligned, is_calm=is_calm))
    slow = draw.choice(["both", "trades", "books", "none"])
    trades = [
        replace(one, arrival=one.ts_event + _delay(draw, is_slow=slow in ("both", "trades"))) for one in flow.trades
    ]
    books = [replace(one, arrival=one.ts_align + _delay(draw, is_slow=slow in ("both", "books"))) for one in flow.books]
    return Flow(trades, books)


def _time(draw: random.Random, grid_ns: int, midnights: int) -> int:
    """Return a time in front of one of the last so many midnights, or behind it."""
    date = FIRST_DATE + DATES - draw.randrange(midnights)
    offset = draw.randrange(6 * SECOND_NS // grid_ns if grid_ns > 7 else 60) * grid_ns
    return date * DAY_NS + (offset if draw.random() < 0.5 else -offset - grid_ns)


def _trades(draw: random.Random, times: list[int], *, is_calm: bool) -> list[Trade]:
    trades = []
    trade_id = 1000
    for time in times:
        trade_id += 1 if is_calm or draw.random() < 0.9 else draw.randrange(2, 4)
        price = Fraction(10_000 + draw.randrange(-40, 40), 100)
        size = Fraction(draw.choice([0, 1, 5, 10, 25, 100]), draw.choice([10, 100]))
        if draw.random() < 0.2:
            size = Fraction(draw.randrange(10**9), 10**8)
        trades.append(Trade(trade_id, time, time, price, size, draw.choice(["buy", "sell"])))
    return trades


def _books(draw: random.Random, aligned: list[int], *, is_calm: bool) -> list[BookState]:
    return [
        _book(draw, time, state="verified" if is_calm else draw.choice(STATES), is_calm=is_calm) for time in aligned
    ]


def _book(draw: random.Random, time: int, *, state: str, is_calm: bool) -> BookState:
    bid = Fraction(9_990 + draw.randrange(-20, 20), 100)
    crossed = not is_calm and draw.random() < 0.05
    ask = bid + Fraction(draw.randrange(0, 20), 100) * (-1 if crossed else 1)
    sides: list[Fraction | None] = [bid, _size(draw), ask, _size(draw)]
    if not is_calm and draw.random() < 0.1:
        sides = draw.choice([[None, None, *sides[2:]], [*sides[:2], None, None], [None] * 4])
        crossed = False
    ofi = None if draw.random() < 0.2 else Fraction(draw.randrange(-(10**9), 10**9), 10**8)
    return BookState(time, time, state, crossed, sides[0], sides[1], sides[2], sides[3], ofi)


def _size(draw: random.Random) -> Fraction:
    return Fraction(draw.randrange(1, 10**6), 10**4)


def _delay(draw: random.Random, *, is_slow: bool) -> int:
    slow = draw.choice([draw.randrange(3 * SECOND_NS), draw.randrange(-SECOND_NS, DAY_NS // 4)])
    return draw.choice([0, 1, 50_000_000, slow if is_slow else 2])


def random_options(seed: int) -> FeatureOptions:
    """Return options that are small enough for few rows."""
    draw = random.Random(seed)
    step_ns = draw.choice([SECOND_NS, SECOND_NS // 2, 3 * SECOND_NS])
    return FeatureOptions(
        interval_ns=draw.choice([SECOND_NS, SECOND_NS // 4, 7 * SECOND_NS, 60 * SECOND_NS, DAY_NS]),
        max_book_age_ns=draw.choice([0, SECOND_NS // 5, SECOND_NS, DAY_NS]),
        admit_unverifiable=draw.random() < 0.3,
        kyle_step_ns=step_ns,
        kyle_window_ns=step_ns * draw.choice([2, 3, 6]),
        kyle_min_n=2,
        vpin_bucket=draw.choice([None, None, Decimal("0.75"), Decimal("1.234567890123"), Decimal(20)]),
        vpin_n=draw.choice([1, 2, 5, 30]),
    )


def after(flow: Flow, time: int, *, seed: int) -> Flow:
    """Return a flow in which the values, not the times and ids, of all that arrives after `time` are others."""
    draw = random.Random(seed)
    trades = [
        one if one.arrival <= time else replace(one, price=one.price + draw.randrange(1, 9), size=one.size * 3 + 1)
        for one in flow.trades
    ]
    books = []
    for one in flow.books:
        other = _book(draw, one.ts_align, state=draw.choice(STATES), is_calm=False)
        books.append(one if one.arrival <= time else replace(other, arrival=one.arrival))
    return Flow(trades, books)


def until(flow: Flow, time: int) -> Flow:
    """Return what has arrived by `time`."""
    return Flow([one for one in flow.trades if one.arrival <= time], [one for one in flow.books if one.arrival <= time])
