"""Which bars: `BarSpec`, its text form, and what all bars of a call have in common."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Kind = Literal["time", "tick", "volume", "dollar"]
Reset = Literal["day", "never"]

NS_PER_DAY = 86_400_000_000_000
_UNITS_NS = {"h": 3_600_000_000_000, "m": 60_000_000_000, "s": 1_000_000_000, "ms": 1_000_000}
_MAX_TRADES = 2**63 - 1
_DURATION = re.compile(r"([0-9]{1,18})(ms|s|m|h)")
_SIZED = re.compile(r"(tick|volume|dollar):(.*)", re.DOTALL)
_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,18})?")


@dataclass(frozen=True)
class BarSpec:
    """What closes a bar: `size` is ns for time, a number of trades for tick, base or quote units for volume and dollar.

    Raises ValueError if the size does not fit the kind.
    """

    kind: Kind
    size: int | Decimal

    def __post_init__(self) -> None:
        if self.kind in ("volume", "dollar"):
            if not (isinstance(self.size, Decimal) and self.size.is_finite() and self.size > 0):
                raise ValueError(f"size of a {self.kind} bar: expected a Decimal above 0, found {self.size!r}")
        elif not isinstance(self.size, int):
            raise ValueError(f"size of a {self.kind} bar: expected an integer, found {self.size!r}")
        elif self.kind == "time" and not (
            _UNITS_NS["ms"] <= self.size <= NS_PER_DAY and self.size % _UNITS_NS["ms"] == 0
        ):
            raise ValueError(f"length of a time bar: expected whole milliseconds from 1ms to 24h, found {self.size} ns")
        elif not 1 <= self.size <= _MAX_TRADES:
            raise ValueError(f"size of a tick bar: expected at least 1 trade and at most 2^63 - 1, found {self.size}")

    @property
    def name(self) -> str:
        """The one name of these bars in the column `bar`, such as 1m, tick_1000, volume_10.5."""
        if self.kind != "time":
            size = format(self.size, "f")
            return f"{self.kind}_{size.rstrip('0').rstrip('.') if '.' in size else size}"
        return next(f"{self.size // ns}{unit}" for unit, ns in _UNITS_NS.items() if self.size % ns == 0)


@dataclass(frozen=True)
class BarOptions:
    """What bars tell. `fill`: empty bars too; `roll`: the column roll_spread; `rv_step_ns`: grid of realized variance.

    `reset` says when bars by trades, quantity or notional begin anew: at each UTC date, or never but at missing trades.
    """

    fill: bool = False
    reset: Reset = "day"
    rv_step_ns: int = 5_000_000_000
    roll: bool = False

    def __post_init__(self) -> None:
        if self.rv_step_ns < 1:
            raise ValueError(f"rv_step_ns: expected at least 1 ns, found {self.rv_step_ns}")


def parse_bar(text: str) -> BarSpec:
    """Read 1m, tick:1000, volume:10.5 or dollar:1000000; ValueError says what was expected and found."""
    sized = _SIZED.fullmatch(text)
    if sized is None:
        return BarSpec("time", parse_duration_ns(text))
    kind, size = sized.groups()
    if kind == "tick":
        if not re.fullmatch("[0-9]{1,19}", size):
            raise ValueError(f"bar {text!r}: expected a number of trades, such as tick:1000, found {size!r}")
        return BarSpec("tick", int(size))
    if not _DECIMAL.fullmatch(size):
        raise ValueError(
            f"bar {text!r}: expected a decimal of at most 20 digits and 18 decimals, such as {kind}:10.5, "
            f"found {size!r}"
        )
    return BarSpec("volume" if kind == "volume" else "dollar", Decimal(size))


def parse_duration_ns(text: str) -> int:
    """Read 100ms, 90s, 5m or 24h as ns."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(
            f"bar {text!r}: expected a length of time from 1ms to 24h, such as 100ms, 90s, 5m or 1h, or tick:TRADES, "
            "volume:BASE or dollar:QUOTE"
        )
    return int(found[1]) * _UNITS_NS[found[2]]
