"""Which messages and rows a run writes. What is valid, and what numbers are checked, does not depend on it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from etl_ray.scan import Parsed
from etl_ray.venues.rows import SCALE, UNSCALED, Bools, Rows
from etl_ray.venues.shapes import Venue


@dataclass(frozen=True)
class Selection:
    """What is selected: wire `channels`, `products` (empty: all), and ts_server in [start_ns, end_ns) (None: open)."""

    channels: tuple[str, ...]
    products: tuple[str, ...] = ()
    start_ns: int | None = None
    end_ns: int | None = None


@dataclass(frozen=True)
class Sorted:
    """The messages of a stretch, sorted by what becomes of them; one entry per message."""

    ignored: Bools
    out_of_range: Bools
    accepted: Bools


def sort_messages(parsed: Parsed, selection: Selection, venue: Venue) -> Sorted:
    """Tell accepted messages from ignored ones and those out of range."""
    names = (*venue.channels, *venue.private_channels)
    wanted = np.array([name in selection.channels for name in names], np.bool_)
    messages = parsed.messages
    ignored = ~wanted[messages.channel]
    outside = np.zeros(len(messages), np.bool_)
    if selection.start_ns is not None:
        outside |= messages.ts_server < selection.start_ns
    if selection.end_ns is not None:
        outside |= messages.ts_server >= selection.end_ns
    if selection.products:
        named = np.zeros(len(messages), np.bool_)
        named[parsed.mentions.message] = True
        chosen = np.zeros(len(messages), np.bool_)
        chosen[parsed.mentions.message[_chosen(parsed, selection)[parsed.mentions.product]]] = True
        outside |= named & ~chosen
    outside &= ~ignored
    return Sorted(ignored, outside, ~ignored & ~outside)


def select_rows(rows: Rows, product_key: str | None, parsed: Parsed, *, accepted: Bools, selection: Selection) -> Rows:
    """Return the rows of accepted messages and selected products."""
    kept = accepted[rows.message]
    if selection.products and product_key is not None:
        kept &= _chosen(parsed, selection)[rows.array(product_key)]
    return rows if bool(kept.all()) else rows.take(np.flatnonzero(kept))


def product_by_product(rows: Rows, key: str) -> Rows:
    """Return the same rows, those of each product together, in arrival order among themselves.

    Without the integers behind exact numbers, of which tables know nothing.
    """
    codes = rows.ints(key)
    rows = replace(
        rows, fields={name: values for name, values in rows.fields.items() if not name.endswith((UNSCALED, SCALE))}
    )
    if bool((codes[1:] >= codes[:-1]).all()):
        return rows
    narrow = codes.astype(np.int16) if int(codes.max()) < 2**15 else codes  # radix sort where there are few
    return rows.take(np.argsort(narrow, kind="stable"))


def _chosen(parsed: Parsed, selection: Selection) -> Bools:
    """Return for each symbol whether it is selected; one more entry, for the index -1, is False."""
    return np.array([*(symbol in selection.products for symbol in parsed.symbols), False], np.bool_)
