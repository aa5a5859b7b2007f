"""Trades for tests: written by hand, or random with all that recordings have."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import polars as pl
from hypothesis import strategies as st

from etl_ray.bars import BarOptions, BarSpec, bars, parse_bar
from tests.reference.bars import DAY_NS, Asked, Row, Trade, reference_bars

FIRST_NS, END_NS = 0, 2**62
MIDNIGHT_NS = 19_944 * DAY_NS  # 2024-08-09
LOGS = ("realized_variance", "bipower_variation", "amihud")
"""Columns that hold logarithms, which are not exact."""
NUMBERS = ("open", "high", "low", "close", "volume", "buy_volume", "sell_volume", "signed_volume")
UNITS = {1_000_000: "ms", 1_000_000_000: "s", 60_000_000_000: "m"}


@dataclass(frozen=True)
class Case:
    """Trades as text, and what is asked of them."""

    trades: tuple[tuple[int, int, int, str, str, str], ...]
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


def frame_of(trades: tuple[tuple[int, int, int, str, str, str], ...], *, decimal: bool = False) -> pl.DataFrame:
    """Return (trade_id, ts_event, ts_available, price, size, taker_side) as `bars` takes them."""
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


_PRICES = {
    "cents": st.integers(5_999_000, 6_001_000).map(lambda n: f"{n / 100:.2f}"),
    "few": st.sampled_from(["1.5", "1.6", "1.5000001"]),
    "tiny": st.integers(1, 10**6).map(lambda n: format(Decimal(n).scaleb(-18), "f")),
    "huge": st.integers(10**14, 10**15).map(str),
    "long": st.floats(0.5, 100.0).map(lambda x: format(Decimal(repr(x)), ".17f")),
    "with zeros": st.sampled_from(["0", "0.01", "100"]),
    "far apart": st.sampled_from(["0.000000000000000001", "123456789012345678", "1", "1000000000000000.5"]),
}
_SIZES = {
    "satoshis": st.integers(0, 10**9).map(lambda n: f"{n / 1e8:.8f}"),
    "ones": st.just("1"),
    "zeros": st.sampled_from(["0", "0.5", "2"]),
    "tiny": st.integers(0, 10**6).map(lambda n: format(Decimal(n).scaleb(-18), "f")),
    "huge": st.integers(10**14, 10**15).map(str),
    "long": st.floats(0.0, 10.0).map(lambda x: format(Decimal(repr(x)), ".17f")),
    "far apart": st.sampled_from(["0.000000000000000001", "123456789012345678", "0", "0.1"]),
}


@st.composite
def cases(draw: st.DrawFn, kinds: tuple[str, ...] = ("time", "tick", "volume", "dollar")) -> Case:
    """Draw trades with ties, pauses, missing and misplaced ids, late arrivals and any numbers, and bars of them."""
    unit = draw(st.sampled_from(list(UNITS)))
    trades = draw(trades_around_midnight(unit))
    kind = draw(st.sampled_from(kinds))
    spec = draw(_time_specs(unit) if kind == "time" else _sized_specs(kind, trades))
    options = BarOptions(
        fill=draw(st.booleans()),
        reset=draw(st.sampled_from(["day", "never"])),
        rv_step_ns=draw(st.sampled_from([unit, 5 * unit])),
        roll=draw(st.booleans()),
    )
    return Case(trades, spec, options, draw(st.booleans()))


@st.composite
def trades_around_midnight(draw: st.DrawFn, unit_ns: int) -> tuple[tuple[int, int, int, str, str, str], ...]:
    count = draw(st.integers(0, 3) | st.integers(0, 60))
    pauses = st.sampled_from([0, 0, 0, 1, unit_ns // 3, unit_ns, 5 * unit_ns, 30 * unit_ns])
    jumps = st.sampled_from([1] * 12 + [2, 7]) if draw(st.booleans()) else st.just(1)
    latencies = st.sampled_from([unit_ns // 10, unit_ns // 10, 0, -5, 3 * unit_ns, 40 * unit_ns])
    prices = draw(st.sampled_from(list(_PRICES.values())))
    sizes = draw(st.sampled_from(list(_SIZES.values())))
    ts = MIDNIGHT_NS - draw(st.integers(0, 100)) * unit_ns
    number = draw(st.integers(0, 10**12))
    clocks, numbers = [], []
    for _ in range(count):
        ts += draw(pauses)
        number += draw(jumps)
        clocks.append(ts)
        numbers.append(number)
    if count > 1:
        for k in draw(st.lists(st.integers(0, count - 2), max_size=2)):
            numbers[k], numbers[k + 1] = numbers[k + 1], numbers[k]
    rows = [
        (i, ts, ts + draw(latencies), draw(prices), draw(sizes), draw(st.sampled_from(["buy", "sell"])))
        for i, ts in zip(numbers, clocks, strict=True)
    ]
    return tuple(sorted(rows, key=lambda row: (row[1], row[0])))


def _time_specs(unit_ns: int) -> st.SearchStrategy[BarSpec]:
    lengths = st.sampled_from([1, 7, 10, 60, 90]).map(lambda k: parse_bar(f"{k}{UNITS[unit_ns]}"))
    return lengths | st.just(parse_bar("24h"))


def _sized_specs(kind: str, trades: tuple[tuple[int, int, int, str, str, str], ...]) -> st.SearchStrategy[BarSpec]:
    if kind == "tick":
        return st.integers(1, 8).map(lambda size: parse_bar(f"tick:{size}"))
    amounts = {Decimal(t[4]) * (Decimal(t[3]) if kind == "dollar" else 1) for t in trades} | {Decimal("0.1")}
    usual = sorted(amount for amount in amounts if amount > 0)
    factors = st.sampled_from(["0.5", "1", "3", "3.0000000001", "1000000000"])
    picked = st.tuples(st.sampled_from(usual), factors)
    return picked.map(lambda pair: BarSpec("volume" if kind == "volume" else "dollar", pair[0] * Decimal(pair[1])))
