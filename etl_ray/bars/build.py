"""From trades to bars."""

from __future__ import annotations

import polars as pl

from etl_ray.bars.columns import COLUMNS, with_trades, without_trades
from etl_ray.bars.cuts import Carried, Cuts, cut_by_size, cut_by_time, empty_between
from etl_ray.bars.spec import NS_PER_DAY, BarOptions, BarSpec
from etl_ray.bars.tape import Tape
from etl_ray.tables.bars import BARS

BEGINNING_NS, END_NS = -(2**63), 2**63 - 1
"""Earlier and later than all trades."""


def bars(
    trades: pl.DataFrame | Tape, spec: BarSpec, options: BarOptions, *, first_ns: int, end_ns: int
) -> pl.DataFrame:
    """Return the bars of one product with first_ns <= ts_start < end_ns, by (ts_start, first_trade_id).

    `trades` are those of `context`, by (ts_event, trade_id), each once; a `Tape` of them saves time if several kinds of
    bars are made. The columns are those of the table but for product_id, times as Datetime(ns, UTC), prices and sizes
    as they came. ValueError if trades are out of order, SchemaError if a sum of decimals does not fit the table.
    """
    tape = trades if isinstance(trades, Tape) else Tape.of(trades)
    if spec.kind != "time":
        cuts = cut_by_size(tape, spec, options.reset, Carried())
        return rows(tape, cuts.between(first_ns, end_ns), spec, options)
    length_ns = int(spec.size)
    found = rows(tape, cut_by_time(tape, length_ns, first_ns=first_ns, end_ns=end_ns), spec, options)
    if not options.fill:
        return found
    starts, behind = empty_between(tape, length_ns, first_ns=first_ns, end_ns=end_ns)
    if not len(starts):
        return found
    return pl.concat((found, without_trades(tape, starts, behind, spec, options))).sort("ts_start")


def context(spec: BarSpec, options: BarOptions, *, first_ns: int, end_ns: int) -> tuple[int, int]:
    """Return the span of ts_event, end exclusive, of the trades that `bars` needs for these times.

    It needs the last trade before the span and the first behind it too. Without reset the span is all there is.
    """
    if spec.kind != "time" and options.reset == "never":
        return BEGINNING_NS, END_NS
    step = int(spec.size) if spec.kind == "time" else NS_PER_DAY
    return (first_ns if spec.kind == "time" else first_ns // step * step), -(-end_ns // step) * step


def rows(tape: Tape, cuts: Cuts, spec: BarSpec, options: BarOptions) -> pl.DataFrame:
    """Return the rows of bars that have trades."""
    return with_trades(tape, cuts, spec, options) if len(cuts) else _no_rows(tape.is_decimal)


def _no_rows(is_decimal: bool) -> pl.DataFrame:
    schema = BARS.schema("decimal" if is_decimal else "float64")
    empty = pl.DataFrame(pl.from_arrow(schema.empty_table()))
    return empty.select(COLUMNS)
