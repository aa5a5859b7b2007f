"""Each trade once: the section Trades of semantics.md."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from tests.reference.coverage import MissingTrades
from tests.reference.messages import Row
from tests.reference.recording import Recording


def kept_trades(delivered: list[Row]) -> list[Row]:
    """Return the rows of `market_trades`, by product, time and id, of all copies in arrival order."""
    copies: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in delivered:
        copies[str(row["product_id"]), _id(row)].append(row)
    first_update: dict[str, int] = {}
    for row in delivered:
        if not row["is_snapshot"]:
            product = str(row["product_id"])
            first_update[product] = min(_id(row), first_update.get(product, _id(row)))
    kept = []
    for (product, trade_id), rows in copies.items():
        updates = [row for row in rows if not row["is_snapshot"]]
        is_healed = not updates and product in first_update and first_update[product] < trade_id
        kept.append((updates or rows)[0] | {"is_healed": is_healed, "n_copies": len(rows)})
    return sorted(kept, key=lambda row: [row[name] for name in ("product_id", "ts_event", "trade_id")])  # type: ignore[arg-type]


def missing_trades(kept: list[Row], recording: Recording) -> list[MissingTrades]:
    """Return where ids are missing between kept trades."""
    positions = {heard.place: heard.position for heard in recording.messages}
    of_products: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(kept, key=_id):
        of_products[str(row["product_id"])].append(row)
    found = []
    for product, rows in of_products.items():
        for before, behind in pairwise(rows):
            count = _id(behind) - _id(before) - 1
            if count:
                edges = sorted(positions[str(row["segment"]), int(str(row["line"]))] for row in (before, behind))
                found.append(MissingTrades(product, edges[0], edges[1], count))
    return found


def _id(row: Row) -> int:
    trade_id = row["trade_id"]
    assert isinstance(trade_id, int)
    return trade_id
