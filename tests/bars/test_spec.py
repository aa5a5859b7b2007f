"""Bars as text."""

from __future__ import annotations

from decimal import Decimal
from re import escape

import pytest

from etl_ray.bars import BarOptions, BarSpec, parse_bar

MINUTE_NS = 60 * 10**9


@pytest.mark.parametrize(
    ("text", "kind", "size", "name"),
    [
        ("1ms", "time", 10**6, "1ms"),
        ("100ms", "time", 10**8, "100ms"),
        ("1500ms", "time", 15 * 10**8, "1500ms"),
        ("1000ms", "time", 10**9, "1s"),
        ("60s", "time", MINUTE_NS, "1m"),
        ("1m", "time", MINUTE_NS, "1m"),
        ("90s", "time", 90 * 10**9, "90s"),
        ("60m", "time", 60 * MINUTE_NS, "1h"),
        ("24h", "time", 24 * 60 * MINUTE_NS, "24h"),
        ("tick:1", "tick", 1, "tick_1"),
        ("tick:1000", "tick", 1000, "tick_1000"),
        ("volume:10.50", "volume", Decimal("10.5"), "volume_10.5"),
        ("volume:0.000000000000000001", "volume", Decimal("1e-18"), "volume_0.000000000000000001"),
        ("dollar:1000000", "dollar", Decimal(10**6), "dollar_1000000"),
        ("dollar:100.00", "dollar", Decimal(100), "dollar_100"),
    ],
)
def test_a_bar_is_read_and_has_one_name(text: str, kind: str, size: int | Decimal, name: str) -> None:
    spec = parse_bar(text)
    assert (spec.kind, spec.size, spec.name) == (kind, size, name)
    assert type(spec.size) is type(size)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "bar '': expected a length of time from 1ms to 24h, such as 100ms, 90s, 5m or 1h, or tick:TRADES,"),
        ("1d", "bar '1d': expected a length of time"),
        ("-1m", "bar '-1m': expected a length of time"),
        ("1.5m", "bar '1.5m': expected a length of time"),
        ("ticks:5", "bar 'ticks:5': expected a length of time"),
        ("0s", "length of a time bar: expected whole milliseconds from 1ms to 24h, found 0 ns"),
        ("25h", "length of a time bar: expected whole milliseconds from 1ms to 24h, found 90000000000000 ns"),
        ("tick:0", "size of a tick bar: expected at least 1 trade and at most 2^63 - 1, found 0"),
        ("tick:9223372036854775808", "size of a tick bar: expected at least 1 trade and at most 2^63 - 1, found 9"),
        ("tick:1.5", "bar 'tick:1.5': expected a number of trades, such as tick:1000, found '1.5'"),
        ("volume:0.0", "size of a volume bar: expected a Decimal above 0, found Decimal('0.0')"),
        (
            "volume:1e3",
            "bar 'volume:1e3': expected a decimal of at most 20 digits and 18 decimals, such as volume:10.5",
        ),
        ("dollar:-5", "bar 'dollar:-5': expected a decimal of at most 20 digits and 18 decimals, such as dollar:10.5"),
        (
            "dollar:",
            "bar 'dollar:': expected a decimal of at most 20 digits and 18 decimals, such as dollar:10.5, found",
        ),
    ],
)
def test_what_is_no_bar_is_refused(text: str, error: str) -> None:
    with pytest.raises(ValueError, match=f"^{escape(error)}"):
        parse_bar(text)


def test_a_size_has_to_fit_its_kind() -> None:
    with pytest.raises(ValueError, match=escape("size of a volume bar: expected a Decimal above 0, found 5")):
        BarSpec("volume", 5)
    with pytest.raises(ValueError, match=escape("size of a tick bar: expected an integer, found Decimal('5')")):
        BarSpec("tick", Decimal(5))
    with pytest.raises(ValueError, match="expected whole milliseconds from 1ms to 24h, found 1500000 ns"):
        BarSpec("time", 1_500_000)


def test_the_grid_of_variation_has_to_advance() -> None:
    with pytest.raises(ValueError, match="rv_step_ns: expected at least 1 ns, found 0"):
        BarOptions(rv_step_ns=0)
