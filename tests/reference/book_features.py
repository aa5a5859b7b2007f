"""Features of a book, exact, rounded once at the end. Null is None."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, localcontext
from fractions import Fraction
from itertools import islice, takewhile

from tests.reference.books import Book, BookRow, Features, Level
from tests.reference.holes import Hole

_EXACT = Context(prec=200, traps=[Inexact])
"""No result is ever rounded."""


@dataclass(frozen=True)
class Wanted:
    """Which features: of how many levels, within how many basis points, for which notionals, of how many ranks."""

    imbalance: tuple[int, ...] = (1, 5, 10)
    bps: tuple[int, ...] = (5, 10, 25)
    notionals: tuple[int, ...] = (10_000, 100_000)
    ofi_levels: int = 5


def book_features(book: Book, wanted: Wanted) -> Features:
    """Return what can be said of a whole book by itself, whatever its state is."""
    with localcontext(_EXACT):
        return _features(book, wanted)


def _features(book: Book, wanted: Wanted) -> Features:
    deepest = max(wanted.imbalance, default=1)
    bids, asks = (list(islice(side, deepest)) for side in (book.best_bids(), book.best_asks()))
    found: Features = dict.fromkeys(("mid", "spread", "spread_bps", "weighted_mid"))
    mid = None
    if bids and asks:
        (bid, bid_size), (ask, ask_size) = bids[0], asks[0]
        mid = (bid + ask) / 2
        share = Fraction(bid_size) / Fraction(bid_size + ask_size)
        found |= {"mid": Fraction(mid), "spread": Fraction(ask - bid)}
        found["weighted_mid"] = share * Fraction(ask) + (1 - share) * Fraction(bid)
        found["spread_bps"] = 10_000 * Fraction(ask - bid) / Fraction(mid) if mid else None
    for k in wanted.imbalance:
        of_bids, of_asks = (Fraction(sum(size for _, size in side[:k])) for side in (bids, asks))
        has_all = min(len(bids), len(asks)) >= k
        found[f"imbalance_{k}"] = (of_bids - of_asks) / (of_bids + of_asks) if has_all else None
    for bps in wanted.bps:
        found[f"depth_bid_{bps}bps"] = None if mid is None else _depth(book.best_bids(), mid, bps)
        found[f"depth_ask_{bps}bps"] = None if mid is None else _depth(book.best_asks(), mid, bps)
    for notional in wanted.notionals:
        found[f"sweep_bid_{notional}"] = _sweep(book.best_bids(), notional)
        found[f"sweep_ask_{notional}"] = _sweep(book.best_asks(), notional)
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
    (bid, bid_size), (ask, ask_size) = row.bids[rank], row.asks[rank]
    (bid_was, bid_size_was), (ask_was, ask_size_was) = before.bids[rank], before.asks[rank]
    with localcontext(_EXACT):
        return Fraction(
            (bid >= bid_was) * bid_size
            - (bid <= bid_was) * bid_size_was
            - (ask <= ask_was) * ask_size
            + (ask >= ask_was) * ask_size_was
        )


def rounded(features: Mapping[str, Fraction | None], *, is_verified: bool) -> dict[str, float | None]:
    """Return features as they are stored: null unless the book is verified."""
    return {name: None if value is None or not is_verified else float(value) for name, value in features.items()}


def _depth(levels: Iterable[Level], mid: Decimal, bps: int) -> Fraction:
    """Return the quantity within some basis points of mid; in a book that is not crossed further levels are further."""
    reach = mid * bps / 10_000
    return Fraction(sum(size for _, size in takewhile(lambda level: abs(level[0] - mid) <= reach, levels)))


def _sweep(levels: Iterable[Level], notional: int) -> Fraction | None:
    """Return the average price of filling a notional, None if the levels do not reach."""
    filled, missing = Decimal(0), Decimal(notional)
    for price, size in levels:
        if price * size >= missing:
            return notional / (Fraction(filled) + Fraction(missing) / Fraction(price))
        filled += size
        missing -= price * size
    return None
