"""The table `book` of a run: which products have a book, and which of its rows are asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from decimal import Context, Decimal

from tests.reference.book_table import BookOptions, book_table_rows
from tests.reference.messages import Row
from tests.reference.recording import Recording

_MAX_PRICE = 2**62 - 1
_MAX_QUANTITY = 2**63 - 1
_EXACT = Context(prec=80)


def without_book(recording: Recording) -> set[str]:
    """Return the products whose prices or quantities do not fit as integers at the scale of the finest of them."""
    prices: dict[str, set[Decimal]] = defaultdict(set)
    quantities: dict[str, set[Decimal]] = defaultdict(set)
    for heard in recording.messages:
        for event in heard.message.book_events:
            prices[event.product_id] |= {level.price for level in event.levels}
            quantities[event.product_id] |= {level.quantity for level in event.levels}
    return {
        product
        for product in prices
        if not _fit(prices[product], _MAX_PRICE) or not _fit(quantities[product], _MAX_QUANTITY)
    }


def _fit(values: Iterable[Decimal], limit: int) -> bool:
    ratios = [value.as_integer_ratio() for value in values]
    scale = next(scale for scale in range(19) if all(10**scale % below == 0 for _, below in ratios))
    return all(above * 10**scale // below <= limit for above, below in ratios)


def job_book_rows(recording: Recording, options: BookOptions, is_asked: Callable[[str, int], bool]) -> list[Row]:
    """Return the rows of `book`, products one after the other; `is_asked` says it of a product and a `ts_server`."""
    refused = without_book(recording)
    found = []
    for product, rows in book_table_rows(recording, options).items():
        for row in rows if product not in refused else ():
            ts_server = row["ts_server"]
            assert isinstance(ts_server, int)
            if is_asked(product, ts_server):
                found.append({name: _stored(value) for name, value in row.items()})
    return found


def _stored(value: object) -> object:
    """Return a decimal without the zeros at its end, for which there may be no room; other values as they are."""
    return value.normalize(_EXACT) if isinstance(value, Decimal) else value
