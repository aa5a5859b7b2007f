"""Trades for tests: written by hand, or random with all that recordings have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate
from random import Random

import polars as pl
from hypothesis import strategies as st

from etl_ray.bars import BarOptions, BarSpec, bars, parse_bar
from tests.reference.bars import DAY_NS, Asked, Row, Trade, reference_bars

FIRST_NS, END_NS = 0, 2**62
MIDNIGHT_NS = 19_944 * DAY_NS  # 2024-08-09
LOGS = ("realized_variance", "bipower_variation", "amihud")
"""Columns that hold logarithms, which are not exact."""
NUMBERS = ("open", "high", "low", "close", "volume", "buy_volume", "sell_volume", "signed_volume")
Trades = tuple[tuple[int, int, int, str, str, str], ...]
"""By (ts_event, trade_id): trade_id, ts_event, ts_available, price, size, taker_side."""
UNITS = {1_000_000: "ms", 1_000_000_000: "s", 60_000_000_000: "m"}


@dataclass(frozen=True)
class Case:
    """Trades as text, and what is asked of them."""

    trades: Trades
    spec: BarSpec
    options: BarOptions
    decimal: bool

    @property
    def frame(self) -> pl.DataFrame:
        return frame_of(self.trades, decimal=self.decimal)

    def bars(self) -> pl.DataFrame:
        return bars(self.frame, self.spec, self.options, first_ns=FIRST_NS, end_ns=END_NS)

    def expected(self) -> list[Row]:
        def number(text: str) -> Fraction:
            return Fraction(Decimal(text) if self.decimal else Decimal(repr(float(text))))

        trades = [Trade(*times, number(price), number(size), side) for *times, price, size, side in self.trades]
        options = self.options
        asked = Asked(
            self.spec.kind,
            self.spec.name,
            Fraction(self.spec.size),
            options.fill,
            options.reset,
            options.rv_step_ns,
            options.roll,
        )
        return reference_bars(trades, asked)


def frame_of(trades: Trades, *, decimal: bool = False) -> pl.DataFrame:
    """Return trades as `bars` takes them."""
    number = pl.Decimal(38, 18) if decimal else pl.Float64
    read = Decimal if decimal else float
    names = ("trade_id", "ts_event", "ts_available", "price", "size", "taker_side")
    columns = list(zip(*trades, strict=True)) or [()] * len(names)
    types = (pl.Int64, pl.Int64, pl.Int64, number, number, pl.String)
    values = [
        [read(text) for text in column] if name in ("price", "size") else column
        for name, column in zip(names, columns, strict=True)
    ]
    series = [pl.Series(*args) for args in zip(names, values, types, strict=True)]
    return pl.DataFrame(series)


def trades_of(text: str) -> pl.DataFrame:
    """Read a trade a line: id, seconds since midnight, price, size, side; each arrives after a tenth of a second."""
    trades = []
    for line in text.strip().splitlines():
        number, seconds, price, size, side = line.split()
        ts = MIDNIGHT_NS + int(Decimal(seconds) * 10**9)
        trades.append((int(number), ts, ts + 10**8, price, size, side))
    return frame_of(tuple(trades))


def seconds(*times: str | int | None) -> list[int | None]:
    """Return times since midnight in ns."""
    return [None if time is None else MIDNIGHT_NS + int(Decimal(time) * 10**9) for time in times]


def plain(frame: pl.DataFrame) -> dict[str, list[object]]:
    """Return the columns as lists, times as ns."""
    times = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime)]
    return frame.with_columns(pl.col(times).cast(pl.Int64)).to_dict(as_series=False)


Drawn = Callable[[Random], str]
"""Draws a number as text."""

_ANY_SCALE = ("0.000000000000000001", "123456789012345678", "1", "1000000000000000.5")
_PRICES: dict[str, Drawn] = {
    "cents": lambda random: f"{random.randint(5_999_000, 6_001_000) / 100:.2f}",
    "few": lambda random: random.choice(["1.5", "1.6", "1.5000001"]),
    "tiny": lambda random: format(Decimal(random.randint(1, 10**6)).scaleb(-18), "f"),
    "huge": lambda random: str(random.randint(10**14, 10**15)),
    "long": lambda random: f"{random.uniform(0.5, 100):.17f}",
    "nearly tenths": lambda random: random.choice(["0.1", "0.100000000000000001"]),
    "with zeros": lambda random: random.choice(["0", "0.01", "100"]),
    "far apart": lambda random: random.choice(_ANY_SCALE),
}
_SIZES: dict[str, Drawn] = {
    "satoshis": lambda random: f"{random.randint(0, 10**9) / 1e8:.8f}",
    "ones": lambda random: "1",
    "zeros": lambda random: random.choice(["0", "0.5", "2"]),
    "tiny": lambda random: format(Decimal(random.randint(0, 10**6)).scaleb(-18), "f"),
    "huge": lambda random: str(random.randint(10**14, 10**15)),
    "long": lambda random: f"{random.uniform(0, 10):.17f}",
    "nearly tenths": lambda random: random.choice(["0.1", "0.100000000000000001"]),
    "beyond 15 digits": lambda random: format(Decimal(repr(2.0**56 + random.randint(0, 10**9))), "f"),
    "far apart": lambda random: random.choice(["0", *_ANY_SCALE]),
}


@st.composite
def cases(draw: st.DrawFn, kinds: tuple[str, ...] = ("time", "time", "tick", "volume", "dollar")) -> Case:
    """Draw trades with ties, pauses, missing and misplaced ids, late arrivals and any numbers, and bars of them."""
    unit = draw(st.sampled_from(list(UNITS)))
    trades = draw(trades_around_midnight(unit))
    kind = draw(st.sampled_from(kinds))
    spec = draw(_time_specs(unit) if kind == "time" else _sized_specs(kind, trades))
    options = BarOptions(
        fill=draw(st.booleans()),
        reset=draw(st.sampled_from(["day", "never"])),
        rv_step_ns=draw(st.sampled_from([unit, unit, 5 * unit])),
        roll=draw(st.booleans()),
    )
    return Case(trades, spec, options, draw(st.booleans()))


@st.composite
def trades_around_midnight(draw: st.DrawFn, unit_ns: int) -> Trades:
    """Draw what kind of trades, and leave the trades themselves to a generator: drawn one by one they are too few."""
    count = draw(st.sampled_from([0, 1, 3, 10, 90, 90, 90]))
    random = Random(draw(st.integers(0, 2**32)))
    pauses = draw(
        st.sampled_from(
            [
                [0, 0, 0, 1, unit_ns // 3, unit_ns, 5 * unit_ns, 30 * unit_ns],
                [0, 1, unit_ns // 3, unit_ns, 3 * unit_ns],
                [0, 0, 1, unit_ns // 100],
            ]
        )
    )
    jumps = draw(st.sampled_from([[1], [1], [1] * 60 + [2, 7]]))
    latencies = [unit_ns // 10, unit_ns // 10, unit_ns // 10, 0, -5, 3 * unit_ns, 40 * unit_ns]
    prices, sizes = (draw(st.sampled_from(list(found.values()))) for found in (_PRICES, _SIZES))
    clocks = list(accumulate(random.choices(pauses, k=count), initial=MIDNIGHT_NS - random.randint(0, 100) * unit_ns))
    numbers = list(accumulate(random.choices(jumps, k=count), initial=random.randint(0, 10**12)))
    for k in random.choices(range(count), k=draw(st.sampled_from([0, 0, 0, 3]))) if count else []:
        numbers[k], numbers[k + 1] = numbers[k + 1], numbers[k]
    rows = [
        (number, ts, ts + random.choice(latencies), prices(random), sizes(random), random.choice(["buy", "sell"]))
        for number, ts in zip(numbers[1:], clocks[1:], strict=True)
    ]
    return tuple(sorted(rows, key=lambda row: (row[1], row[0])))


def _time_specs(unit_ns: int) -> st.SearchStrategy[BarSpec]:
    lengths = st.sampled_from([1, 7, 10, 12, 60]).map(lambda k: parse_bar(f"{k}{UNITS[unit_ns]}"))
    return st.one_of(lengths, lengths, st.just(parse_bar("24h")))


def _sized_specs(kind: str, trades: Trades) -> st.SearchStrategy[BarSpec]:
    if kind == "tick":
        return st.sampled_from([1, 2, 7, 30]).map(lambda size: parse_bar(f"tick:{size}"))
    amounts = {Decimal(t[4]) * (Decimal(t[3]) if kind == "dollar" else 1) for t in trades} | {Decimal("0.1")}
    usual = sorted(amount for amount in amounts if amount > 0)
    factors = st.sampled_from(["0.5", "1", "3", "30.0000000001", "1000000000"])
    picked = st.tuples(st.sampled_from(usual), factors)
    return picked.map(lambda pair: BarSpec("volume" if kind == "volume" else "dollar", pair[0] * Decimal(pair[1])))
