"""Random trades against the definitions, column by column; in parts as in one; and nothing from the future."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from math import isclose

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from etl_ray.bars import BarOptions, Tape, bars, context, parse_bar
from etl_ray.bars.columns import COLUMNS
from tests.bars.trades import END_NS, FIRST_NS, LOGS, MIDNIGHT_NS, NUMBERS, Case, cases, plain

FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=3_000, deadline=None, suppress_health_check=list(HealthCheck))


def number(value: object, *, decimal: bool) -> object:
    """Return an exact number as a column holds it."""
    assert isinstance(value, Fraction)
    if not decimal:
        return float(value)
    with localcontext(prec=60):
        return Decimal(value.numerator) / Decimal(value.denominator)


def check_against_definitions(case: Case) -> None:
    found, expected = plain(case.bars()), case.expected()
    assert tuple(found) == COLUMNS
    for name, values in found.items():
        wanted = [row[name] for row in expected]
        if name in NUMBERS:
            wanted = [number(value, decimal=case.decimal) for value in wanted]
        assert [value is None for value in values] == [value is None for value in wanted], name
        if name in LOGS:
            pairs = [pair for pair in zip(values, wanted, strict=True) if pair[0] is not None]
            assert [pair for pair in pairs if not isclose(*pair, rel_tol=1e-12)] == [], name
        else:
            assert values == wanted, name


def check_parts(case: Case, cuts: list[int], extra: int) -> None:
    """Make the bars in parts, each from no more trades than it needs and `extra` ones."""
    frame = case.frame
    edges = [FIRST_NS, *sorted(MIDNIGHT_NS + cut for cut in cuts), END_NS]
    parts = []
    for first_ns, end_ns in pairwise(edges):
        since, until = context(case.spec, case.options, first_ns=first_ns, end_ns=end_ns)
        within = frame.with_row_index().filter(pl.col("ts_event") >= since, pl.col("ts_event") < until)["index"]
        start = frame.filter(pl.col("ts_event") < since).height
        needed = frame[max(0, start - 1 - extra) : start + len(within) + 1 + extra]
        parts.append(bars(needed, case.spec, case.options, first_ns=first_ns, end_ns=end_ns))
    assert pl.concat(parts).equals(case.bars())


def check_no_future(case: Case, at: int, *, drop: bool) -> None:
    """Rows that are available at some time stay as they are, whatever arrives later."""
    frame = case.frame
    if not len(frame):
        return
    time = frame["ts_available"].sort()[at % len(frame)]
    late = pl.col("ts_available") > time
    double = [pl.when(late).then(pl.col(name) * 2).otherwise(pl.col(name)).alias(name) for name in ("price", "size")]
    other = frame.filter(~late) if drop else frame.with_columns(double).cast(dict(frame.schema))
    known = [row for row in rows_of(case.bars()) if row[COLUMNS.index("ts_available")] <= time]
    again = set(rows_of(bars(other, case.spec, case.options, first_ns=FIRST_NS, end_ns=END_NS)))
    assert [row for row in known if row not in again] == []


def rows_of(frame: pl.DataFrame) -> list[tuple[object, ...]]:
    return list(zip(*plain(frame).values(), strict=True))


offsets = st.lists(st.integers(-100, 100).map(lambda k: k * 60_000_000_000 // 7) | st.just(0), max_size=3)


@FEW
@given(cases())
@example(Case((), parse_bar("1m"), BarOptions(), False))
def test_bars_are_those_of_the_definitions(case: Case) -> None:
    check_against_definitions(case)


@FEW
@given(cases(), offsets, st.integers(0, 3))
def test_bars_in_parts_are_those_in_one(case: Case, cuts: list[int], extra: int) -> None:
    check_parts(case, cuts, extra)


@FEW
@given(cases(), st.integers(0, 100), st.booleans())
def test_what_arrives_later_changes_no_row_that_was_available(case: Case, at: int, drop: bool) -> None:
    check_no_future(case, at, drop=drop)


@pytest.mark.slow
@MANY
@given(cases())
def test_many_bars_are_those_of_the_definitions(case: Case) -> None:
    check_against_definitions(case)


@pytest.mark.slow
@MANY
@given(cases(), offsets, st.integers(0, 3))
def test_many_bars_in_parts_are_those_in_one(case: Case, cuts: list[int], extra: int) -> None:
    check_parts(case, cuts, extra)


@pytest.mark.slow
@MANY
@given(cases(), st.integers(0, 100), st.booleans())
def test_what_arrives_later_changes_no_row_of_many(case: Case, at: int, drop: bool) -> None:
    check_no_future(case, at, drop=drop)


@FEW
@given(cases())
def test_a_tape_gives_the_bars_of_its_trades(case: Case) -> None:
    tape = Tape.of(case.frame)
    again = bars(tape, case.spec, case.options, first_ns=FIRST_NS, end_ns=END_NS)
    assert again.equals(case.bars())
