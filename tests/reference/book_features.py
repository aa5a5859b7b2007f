"""Features of a book in exact fractions, rounded once at the end. Null is None."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate

from tests.reference.books import BookRow, Levels
from tests.reference.holes import Hole

Features = dict[str, Fraction | None]


@dataclass(frozen=True)
class Wanted:
    """Which features: of how many levels, within how many basis points, for which notionals, of how many ranks."""

    imbalance: tuple[int, ...] = (1, 5, 10)
    bps: tuple[int, ...] = (5, 10, 25)
    notionals: tuple[int, ...] = (10_000, 100_000)
    ofi_levels: int = 5


def book_features(row: BookRow, wanted: Wanted) -> Features:
    """Return what can be said of a full book by itself, whatever its state is."""
    bids, asks = _exact(row.bids), _exact(row.asks)
    found: Features = dict.fromkeys(("mid", "spread", "spread_bps", "weighted_mid"))
    mid = None
    if bids and asks:
        (bid, bid_size), (ask, ask_size) = bids[0], asks[0]
        mid, share = (bid + ask) / 2, bid_size / (bid_size + ask_size)
        found |= {"mid": mid, "spread": ask - bid, "weighted_mid": share * ask + (1 - share) * bid}
        found["spread_bps"] = 10_000 * (ask - bid) / mid if mid else None
    for k in wanted.imbalance:
        of_bids, of_asks = (sum((size for _, size in side[:k]), Fraction(0)) for side in (bids, asks))
        has_all = min(len(bids), len(asks)) >= k
        found[f"imbalance_{k}"] = (of_bids - of_asks) / (of_bids + of_asks) if has_all else None
    for bps in wanted.bps:
        for side, levels in (("bid", bids), ("ask", asks)):
            near = [size for price, size in levels if mid is not None and abs(price - mid) * 10_000 <= bps * mid]
            found[f"depth_{side}_{bps}bps"] = None if mid is None else sum(near, Fraction(0))
    for notional in wanted.notionals:
        found[f"sweep_bid_{notional}"] = _sweep(bids, notional)
        found[f"sweep_ask_{notional}"] = _sweep(asks, notional)
    return found


def order_flow(row: BookRow, holes: Sequence[Hole], wanted: Wanted) -> Features:
    """Return `ofi` and `ofi_level_<m>` of a row against the one before it on its connection, whatever their states are.

    `holes` are those of the row's connection.
    """
    ranks = range(wanted.ofi_levels)
    found: Features = dict.fromkeys(("ofi", *(f"ofi_level_{rank}" for rank in ranks)))
    before = row.before
    if before is None or row.is_snapshot:
        return found
    for hole in holes:
        is_between = before.heard.position < hole.behind.position <= row.heard.position
        if is_between and (hole.cause != "explained" or hole.is_on_beat):
            return found
    if any(one.is_crossed or not one.bids or not one.asks for one in (before, row)):
        return found
    found["ofi"] = _imbalance_of_rank(row, before, 0)
    return found | {f"ofi_level_{rank}": _imbalance_of_rank(row, before, rank) for rank in ranks}


def _imbalance_of_rank(row: BookRow, before: BookRow, rank: int) -> Fraction | None:
    if min(len(side) for side in (row.bids, row.asks, before.bids, before.asks)) <= rank:
        return None
    (bid, bid_size), (ask, ask_size) = _exact(row.bids)[rank], _exact(row.asks)[rank]
    (bid_was, bid_size_was), (ask_was, ask_size_was) = _exact(before.bids)[rank], _exact(before.asks)[rank]
    return (
        (bid >= bid_was) * bid_size
        - (bid <= bid_was) * bid_size_was
        - (ask <= ask_was) * ask_size
        + (ask >= ask_was) * ask_size_was
    )


def rounded(features: Mapping[str, Fraction | None], *, is_verified: bool) -> dict[str, float | None]:
    """Return features as they are stored: null unless the book is verified."""
    return {name: None if value is None or not is_verified else float(value) for name, value in features.items()}


def _sweep(levels: list[tuple[Fraction, Fraction]], notional: int) -> Fraction | None:
    """Return the average price of filling a notional, None if the levels do not reach."""
    worth = accumulate(price * size for price, size in levels)
    filled = Fraction(0)
    missing = Fraction(notional)
    for (price, size), so_far in zip(levels, worth, strict=True):
        if so_far >= notional:
            return notional / (filled + missing / price)
        filled += size
        missing = notional - so_far
    return None


def _exact(levels: Levels) -> list[tuple[Fraction, Fraction]]:
    return [(Fraction(price), Fraction(size)) for price, size in levels]
