"""Which staged pieces are kept: of old segments those that any run needs; the others can be made of them again."""

from __future__ import annotations

from collections.abc import Iterable

from etl_ray.orchestrators.receipts import Pieces, Receipt, UnitFacts
from etl_ray.orchestrators.staging import PRUNABLE
from etl_ray.venues.rows import NS_PER_DAY

_PRUNED = (f"{PRUNABLE}/", "book/operations/")


def is_prunable(path: str) -> bool:
    """Say whether a piece, by its path below the staging directory, is not needed as long as its rows stay."""
    return path.startswith(_PRUNED)


def sizes_of(receipt: Receipt) -> dict[str, int]:
    """Return the sizes of a unit's staged files, by path below the staging directory."""
    sizes = {file.path: file.bytes for file in receipt.files}
    sizes[receipt.numbered.path] = receipt.numbered.bytes
    return sizes | (receipt.book.sizes if receipt.book else {})


def facts_of(receipt: Receipt) -> UnitFacts:
    """Return what a run asks of every receipt."""
    kept, prunable = Pieces(), Pieces()
    for path, size in sizes_of(receipt).items():
        if is_prunable(path):
            prunable += Pieces(1, size)
        else:
            kept += Pieces(1, size)
    return UnitFacts(
        counts=receipt.counts,
        messages=receipt.messages,
        damage=receipt.damage,
        first_reject=receipt.first_reject,
        ts_min=receipt.ts_min,
        ts_max=receipt.ts_max,
        kept=kept,
        prunable=prunable,
    )


def kept_from_ns(facts: Iterable[UnitFacts], keep_days: int) -> int | None:
    """Return the time (ns UTC) from which on units keep all their pieces: of so many days of data; None: all do."""
    latest = max((item.ts_max for item in facts if item.ts_max is not None), default=None)
    return None if latest is None else (latest // NS_PER_DAY + 1 - keep_days) * NS_PER_DAY
