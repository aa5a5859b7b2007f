"""Which staged pieces are kept: of old segments those that any run needs; the others can be made of them again."""

from __future__ import annotations

from collections.abc import Iterable

from etl_ray.orchestrators.receipts import Receipt
from etl_ray.venues.rows import NS_PER_DAY

_PRUNED = ("level2/", "ticker/", "heartbeats/", "status/", "subscriptions/", "book/operations/")
"""Rows that are cut by arrival: of what stays as it is none are read again. Other pieces meet later ones."""


def is_prunable(path: str) -> bool:
    """Say whether a piece, by its path below the staging directory, is not needed as long as its rows stay."""
    return path.startswith(_PRUNED)


def kept_from_ns(receipts: Iterable[Receipt], keep_days: int) -> int | None:
    """Return the time (ns UTC) from which on units keep all their pieces: of so many days of data; None: all do."""
    latest = max((receipt.ts_max for receipt in receipts if receipt.ts_max is not None), default=None)
    return None if latest is None else (latest // NS_PER_DAY + 1 - keep_days) * NS_PER_DAY
