"""Bars by their definitions, slowly: plain Python, fractions, and logarithms of 50 digits."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from itertools import pairwise

DAY_NS = 86_400 * 10**9
_CONTEXT = Context(prec=50)
_PI = Decimal("3.14159265358979323846264338327950288419716939937511")
Value = str | int | bool | float | Fraction | None
Row = dict[str, Value]


@dataclass(frozen=True)
class Trade:
    trade_id: int
    ts_event: int
    ts_available: int
    price: Fraction
    size: Fraction
    taker_side: str

    @property
    def day(self) -> int:
        return self.ts_event // DAY_NS


@dataclass(frozen=True)
class Asked:
    """Which bars: `size` is ns, trades, base or quote units."""

    kind: str
    name: str
    size: Fraction
    fill: bool = False
    reset: str = "day"
    rv_step_ns: int = 5 * 10**9
    roll: bool = False


@dataclass(frozen=True)
class Piece:
    """A bar by the places of its first and last trade, whether it reached its size, and the place of its restart."""

    first: int
    last: int
    full: bool
    since: int


def reference_bars(trades: Sequence[Trade], asked: Asked) -> list[Row]:
    """Return all bars that these trades make, without a selection by time."""
    trades = sorted(trades, key=lambda trade: (trade.ts_event, trade.trade_id))
    if asked.kind == "time":
        return _time_bars(trades, asked)
    return [_sized_bar(trades, piece, asked) for piece in _pieces(trades, asked)]


def _time_bars(trades: list[Trade], asked: Asked) -> list[Row]:
    length = int(asked.size)
    rows = []
    number = trades[0].ts_event // length if trades else 0
    while trades and (number + 1) * length <= trades[-1].ts_event:
        start, end = number * length, (number + 1) * length
        inside = [k for k, trade in enumerate(trades) if start <= trade.ts_event < end]
        before = [k for k, trade in enumerate(trades) if trade.ts_event < start]
        behind = next(k for k, trade in enumerate(trades) if trade.ts_event >= end)
        around = ([before[-1]] if before else []) + inside + [behind]
        complete = bool(before) and _contiguous([trades[k] for k in around])
        if inside or (asked.fill and complete):
            row = _amounts(trades, inside, before[-1] if before else None, asked)
            row |= _start(asked, start) | {"ts_end": end, "is_complete": complete}
            row["ts_available"] = max(trades[k].ts_available for k in around)
            row |= _variations(trades, start, asked, complete)
            rows.append(row)
        number += 1
    return rows


def _pieces(trades: list[Trade], asked: Asked) -> list[Piece]:
    """Return where bars by size begin and end, without a last one that may go on."""
    adds: dict[str, Callable[[Trade], Fraction]] = {
        "tick": lambda trade: Fraction(1),
        "volume": lambda trade: trade.size,
        "dollar": lambda trade: trade.size * trade.price,
    }
    pieces: list[Piece] = []
    first, total, since = 0, Fraction(0), 0
    for k, trade in enumerate(trades):
        anew = k > 0 and (_missing(trades, k) > 0 or (asked.reset == "day" and trade.day != trades[k - 1].day))
        if anew:
            if first < k:
                pieces.append(Piece(first, k - 1, False, since))
            first, total, since = k, Fraction(0), k
        total += adds[asked.kind](trade)
        if total >= asked.size:
            pieces.append(Piece(first, k, True, since))
            first, total = k + 1, Fraction(0)
    return pieces


def _sized_bar(trades: list[Trade], piece: Piece, asked: Asked) -> Row:
    before = piece.first - 1 if piece.first > 0 else None
    row = _amounts(trades, list(range(piece.first, piece.last + 1)), before, asked)
    used = trades[max(0, piece.since - 1) : piece.last + (1 if piece.full else 2)]
    contiguous = before is not None and _contiguous(trades[before : piece.last + 1])
    return row | {
        **_start(asked, trades[piece.first].ts_event),
        "ts_end": trades[piece.last].ts_event,
        "ts_available": max(trade.ts_available for trade in used),
        "is_complete": piece.full and contiguous,
        **dict.fromkeys(("realized_variance", "bipower_variation", "rv_n")),
    }


def _start(asked: Asked, start: int) -> Row:
    date = datetime.date(1970, 1, 1) + datetime.timedelta(days=start // DAY_NS)
    return {"bar": asked.name, "date": date.isoformat(), "ts_start": start}


def _missing(trades: list[Trade], k: int) -> int:
    return max(0, trades[k].trade_id - trades[k - 1].trade_id - 1) if k else 0


def _contiguous(trades: list[Trade]) -> bool:
    ids = sorted(trade.trade_id for trade in trades)
    return ids == list(range(ids[0], ids[0] + len(ids)))


def _amounts(trades: list[Trade], inside: list[int], before: int | None, asked: Asked) -> Row:
    own = [trades[k] for k in inside]
    close = own[-1].price if own else trades[before or 0].price
    prices = [trade.price for trade in own] or [close]
    volume, bought, sold = (
        sum((trade.size for trade in own if trade.taker_side in sides), Fraction(0))
        for sides in (("buy", "sell"), ("buy",), ("sell",))
    )
    quoted = sum((trade.price * trade.size for trade in own), Fraction(0))
    missing = sum(_missing(trades, k) for k in inside)
    amihud = None
    previous = trades[before].price if before is not None else Fraction(0)
    if float(quoted) and not missing and previous and close:
        amihud = float(abs(_log(close / previous)) / Decimal(float(quoted)))
    return {
        "open": prices[0],
        "high": max(prices),
        "low": min(prices),
        "close": close,
        "volume": volume,
        "quote_volume": float(quoted),
        "vwap": float(quoted / volume) if volume else None,
        "trades": len(own),
        "buy_volume": bought,
        "sell_volume": sold,
        "signed_volume": bought - sold,
        "trade_imbalance": float((bought - sold) / volume) if volume else None,
        "first_trade_id": own[0].trade_id if own else None,
        "last_trade_id": own[-1].trade_id if own else None,
        "ts_first_trade": own[0].ts_event if own else None,
        "ts_last_trade": own[-1].ts_event if own else None,
        "trades_missing": missing,
        "amihud": amihud,
        "roll_spread": _roll(own) if asked.roll else None,
    }


def _variations(trades: list[Trade], start: int, asked: Asked, complete: bool) -> Row:
    none: Row = dict.fromkeys(("realized_variance", "bipower_variation", "rv_n"))
    n, rest = divmod(int(asked.size), asked.rv_step_ns)
    if rest or not complete:
        return none
    grid = [start + k * asked.rv_step_ns for k in range(n + 1)]
    prices = [[trade.price for trade in trades if trade.ts_event < time][-1] for time in grid]
    if 0 in prices:
        return none
    returns = [_log(later / earlier) for earlier, later in pairwise(prices)]
    if n < 10:
        return none | {"rv_n": n}
    pairs = sum((abs(a) * abs(b) for a, b in pairwise(returns)), Decimal(0))
    return {
        "realized_variance": float(sum((r * r for r in returns), Decimal(0))),
        "bipower_variation": float(_CONTEXT.multiply(_PI / 2 * n / (n - 1), pairs)),
        "rv_n": n,
    }


def _log(ratio: Fraction) -> Decimal:
    quotient = _CONTEXT.divide(Decimal(ratio.numerator), Decimal(ratio.denominator))
    return _CONTEXT.ln(quotient)


def _roll(own: list[Trade]) -> float | None:
    """Return Roll's measure from the last prices of runs of trades of one time and side."""
    prices = [
        trade.price
        for trade, after in zip(own, [*own, None][1:], strict=True)
        if after is None or (trade.ts_event, trade.taker_side) != (after.ts_event, after.taker_side)
    ]
    changes = [later - earlier for earlier, later in pairwise(prices)]
    pairs = list(zip(changes[1:], changes, strict=False))
    if len(pairs) < 20:
        return None
    means = [sum((pair[side] for pair in pairs), Fraction(0)) / len(pairs) for side in (0, 1)]
    scatter = sum(((x - means[0]) * (y - means[1]) for x, y in pairs), Fraction(0))
    covariance = scatter / (len(pairs) - 1)
    return 2 * math.sqrt(-covariance) if covariance < 0 else None
