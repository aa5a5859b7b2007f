"""The columns of bars: what their trades come to."""

from __future__ import annotations

import numpy as np
import polars as pl

from etl_ray.bars.cuts import Cuts
from etl_ray.bars.exact import (
    Float64s,
    Int64s,
    Integers,
    floats,
    numbers,
    product_sums,
    ratios,
    sums,
    times,
)
from etl_ray.bars.roll import roll_spreads
from etl_ray.bars.spec import NS_PER_DAY, BarOptions, BarSpec
from etl_ray.bars.tape import Tape
from etl_ray.bars.variation import Variation, log_ratios, no_variation, still, variations
from etl_ray.tables.bars import BARS

_TIME = pl.Datetime("ns", "UTC")


def with_trades(tape: Tape, cuts: Cuts, spec: BarSpec, options: BarOptions) -> pl.DataFrame:
    """Return the rows of bars that have trades."""
    start, end = int(cuts.edges[0]), int(cuts.edges[-1])
    starts, first, last = cuts.edges[:-1] - start, cuts.edges[:-1], cuts.edges[1:] - 1
    price, size = tape.price[start:end], tape.size[start:end]
    high, low = np.maximum.reduceat(price, starts), np.minimum.reduceat(price, starts)
    volume, bought = sums(size, starts), sums(size * tape.is_buy[start:end], starts)
    sold = volume - bought
    signed = bought - sold
    quoted = product_sums(price, size, starts, most=(high, volume))
    quote_volume = floats(quoted, tape.price_scale + tape.size_scale)
    missing = np.add.reduceat(tape.missing_before[start:end], starts)
    variation = no_variation(len(cuts))
    if spec.kind == "time":
        variation = variations(tape, cuts, length_ns=int(spec.size), step_ns=options.rv_step_ns)
    amounts: dict[str, tuple[Integers, int]] = {
        "open": (tape.price[first], tape.price_scale),
        "high": (high, tape.price_scale),
        "low": (low, tape.price_scale),
        "close": (tape.price[last], tape.price_scale),
        "volume": (volume, tape.size_scale),
        "buy_volume": (bought, tape.size_scale),
        "sell_volume": (sold, tape.size_scale),
        "signed_volume": (signed, tape.size_scale),
    }
    columns = {
        **_clocks(spec, cuts.ts_start, cuts.ts_end, cuts.ts_available),
        **{name: numbers(name, *amount, decimal=tape.is_decimal) for name, amount in amounts.items()},
        "quote_volume": quote_volume,
        "vwap": _known(ratios(quoted, times(volume, 10**tape.price_scale))),
        "trades": np.diff(cuts.edges),
        "trade_imbalance": _known(ratios(signed, volume)),
        "first_trade_id": tape.trade_id[first],
        "last_trade_id": tape.trade_id[last],
        "ts_first_trade": _times(tape.ts_event[first]),
        "ts_last_trade": _times(tape.ts_event[last]),
        "trades_missing": missing,
        "is_complete": cuts.is_complete,
        **_of_variation(variation),
        "amihud": _known(_amihud(tape, cuts.edges, quote_volume, missing)),
        "roll_spread": _known(roll_spreads(tape, cuts.edges) if options.roll else np.full(len(cuts), np.nan)),
    }
    return pl.DataFrame({name: columns[name] for name in COLUMNS})


def without_trades(tape: Tape, starts: Int64s, behind: Int64s, spec: BarSpec, options: BarOptions) -> pl.DataFrame:
    """Return the rows of empty, complete time bars; `behind` has the place of the trade behind each."""
    length_ns = int(spec.size)
    close = numbers("close", tape.price[behind - 1], tape.price_scale, decimal=tape.is_decimal)
    nothing = numbers("volume", np.zeros(len(starts), np.int64), 0, decimal=tape.is_decimal)
    none = pl.Series(values=[None], dtype=pl.Int64).new_from_index(0, len(starts))
    unknown, never = none.cast(pl.Float64), none.cast(_TIME)
    zero = np.zeros(len(starts), np.int64)
    available = np.maximum(tape.ts_available[behind - 1], tape.ts_available[behind])
    prices_are_0 = tape.price[behind - 1] == 0
    columns = {
        **_clocks(spec, starts, starts + length_ns, available),
        **dict.fromkeys(("open", "high", "low", "close"), close),
        **dict.fromkeys(("volume", "buy_volume", "sell_volume", "signed_volume"), nothing),
        "quote_volume": np.zeros(len(starts)),
        **dict.fromkeys(("vwap", "trade_imbalance", "amihud", "roll_spread"), unknown),
        **dict.fromkeys(("trades", "trades_missing"), zero),
        **dict.fromkeys(("first_trade_id", "last_trade_id"), none),
        **dict.fromkeys(("ts_first_trade", "ts_last_trade"), never),
        "is_complete": np.ones(len(starts), np.bool_),
        **_of_variation(still(~prices_are_0, length_ns=length_ns, step_ns=options.rv_step_ns)),
    }
    return pl.DataFrame({name: columns[name] for name in COLUMNS})


COLUMNS = tuple(name for name in BARS.names if name != "product_id")
"""The columns of `bars()`, in order."""


def _clocks(spec: BarSpec, ts_start: Int64s, ts_end: Int64s, ts_available: Int64s) -> dict[str, pl.Series]:
    days = ts_start // NS_PER_DAY
    changes = np.diff(days, prepend=-1) != 0
    dates = pl.Series([str(np.datetime64(int(day), "D")) for day in days[changes]], dtype=pl.Categorical)
    return {
        "bar": pl.Series([spec.name], dtype=pl.Categorical).new_from_index(0, len(ts_start)),
        "date": dates.gather(np.cumsum(changes) - 1),
        "ts_start": _times(ts_start),
        "ts_end": _times(ts_end),
        "ts_available": _times(ts_available),
    }


def _times(values: Int64s) -> pl.Series:
    return pl.Series(values).cast(_TIME)


def _known(values: Float64s) -> pl.Series:
    """Return floats with null for NaN."""
    return pl.Series(values, nan_to_null=True)


def _of_variation(variation: Variation) -> dict[str, pl.Series]:
    n = variation.n
    return {
        "realized_variance": _known(variation.realized),
        "bipower_variation": _known(variation.bipower),
        "rv_n": pl.Series(n).replace(0, None),
    }


def _amihud(tape: Tape, edges: Int64s, quote_volume: Float64s, missing: Int64s) -> Float64s:
    """Return |ln(close / previous close)| / quote volume, NaN where there is none."""
    before = edges[:-1] - 1
    change = np.abs(log_ratios(tape, edges[1:] - 1, np.maximum(before, 0)))
    known = (before >= 0) & (missing == 0) & (quote_volume > 0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        found: Float64s = np.where(known, change / quote_volume, np.nan)
    found[~np.isfinite(found)] = np.nan  # a price is 0
    return found
