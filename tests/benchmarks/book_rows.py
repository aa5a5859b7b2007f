"""Level rows of recorded segments as arrays, one set a product: what the sides of the order book benchmark replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from etl_ray.book import ASK, BID, CLEAR, Updates
from etl_ray.scan import LineParser
from etl_ray.venues import VENUES

_PADDING = 64


@dataclass(frozen=True)
class ProductRows:
    """The rows of one product at one scale each for prices and quantities; every snapshot begins with a CLEAR row."""

    product: str
    updates: Updates
    price_scale: int
    quantity_scale: int

    @property
    def levels(self) -> int:
        """Return the number of rows that set a level, which is what a rate is counted in."""
        return int(np.count_nonzero(self.updates.side != CLEAR))


def read_rows(segments: Sequence[str]) -> list[ProductRows]:
    """Return the rows of all products, the one with the most rows first."""
    found: dict[str, list[np.ndarray]] = {}
    for number, path in enumerate(segments):
        for product, rows in _segment_rows(path, number).items():
            found.setdefault(product, []).append(rows)
    products = [_product_rows(product, np.concatenate(parts, axis=1)) for product, parts in found.items()]
    return sorted(products, key=lambda rows: -rows.levels)


def _segment_rows(path: str, number: int) -> dict[str, np.ndarray]:
    """Return the fields of `_product_rows` as a row of integers each, by product."""
    raw = Path(path).read_bytes()
    data = np.frombuffer(raw + bytes(_PADDING), np.uint8)
    parser = LineParser(VENUES["coinbase"], "float64", block_bytes=len(raw))
    found: dict[str, list[np.ndarray]] = {}
    for parsed in parser.parse(data, len(raw), 0):
        rows = parsed.rows["level2"]
        fields = (
            rows.messages.line[rows.message].astype(np.int64) + (number << 32),
            rows.event_index,
            rows.array("type") == 0,  # snapshot
            np.minimum(rows.array("side"), ASK),  # -1 in the row of an empty snapshot
            *rows.exact("price_level"),
            *rows.exact("new_quantity"),
        )
        columns = np.array(fields, np.int64)
        product = rows.array("product_id")
        for code in np.unique(product):
            found.setdefault(parsed.symbols[code], []).append(columns[:, product == code])
    return {name: np.concatenate(parts, axis=1) for name, parts in found.items()}


def _product_rows(product: str, columns: np.ndarray) -> ProductRows:
    message, event, is_snapshot, side, price, price_scale, quantity, quantity_scale = columns
    begins = np.flatnonzero((np.diff(message, prepend=-1) != 0) | (np.diff(event, prepend=-1) != 0))
    snapshots = begins[is_snapshot[begins] != 0]
    scales = int(price_scale.max()), int(quantity_scale.max())
    rows = [np.insert(values, snapshots, values[snapshots]) for values in (message, side)]
    rows += [np.insert(price * 10 ** (scales[0] - np.maximum(price_scale, 0)), snapshots, 0)]
    rows += [np.insert(quantity * 10 ** (scales[1] - np.maximum(quantity_scale, 0)), snapshots, 0)]
    rows[1][snapshots + np.arange(len(snapshots))] = CLEAR
    message, side, price, quantity = (values[rows[1] >= BID] for values in rows)
    offsets = np.append(np.flatnonzero(np.diff(message, prepend=-1)), len(message))
    return ProductRows(product, Updates(offsets, side.astype(np.int8), price, quantity), *scales)
