"""What a ticker implies, in fractions: slow and plain."""

from __future__ import annotations

from decimal import Context, Decimal
from fractions import Fraction

Figures = dict[str, object]
_EXACT = Context(prec=200)


def ticker_figures(row: Figures) -> Figures:
    """Return mid_price, spread, spread_bps and range_24h of a row of tickers."""
    bid, ask, low, high = (row[name] for name in ("best_bid", "best_ask", "low_24h", "high_24h"))
    found: Figures = dict.fromkeys(("mid_price", "spread", "spread_bps", "range_24h"))
    if bid is not None and ask is not None:
        mid, spread = (_fraction(bid) + _fraction(ask)) / 2, _fraction(ask) - _fraction(bid)
        found["mid_price"], found["spread"] = _stored(mid, bid), _stored(spread, bid)
        found["spread_bps"] = float(10_000 * spread / mid) if mid else None
    if low is not None and high is not None:
        found["range_24h"] = _stored(_fraction(high) - _fraction(low), low)
    return found


def _fraction(value: object) -> Fraction:
    """Return a decimal, or the shortest decimal that rounds to a float."""
    return Fraction(value) if isinstance(value, Decimal) else Fraction(repr(value))


def _stored(value: Fraction, like: object) -> float | Decimal | None:
    if isinstance(like, float):
        return float(value)
    unscaled = value * 10**18
    if unscaled.denominator != 1 or abs(unscaled) >= 10**38:
        return None
    return Decimal(unscaled.numerator).scaleb(-18, _EXACT)
