"""The rows of the table `book`: after each message, or at the ends of intervals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import groupby

from tests.reference.book_features import Features, Wanted, book_features, order_flow, rounded
from tests.reference.books import BookRow, book_rows
from tests.reference.holes import find_holes
from tests.reference.messages import Row
from tests.reference.recording import Recording
from tests.reference.values import utc_date

_DEFAULT = Wanted()


@dataclass(frozen=True)
class BookOptions:
    """What rows of `book` tell; `interval_ns` is 0 for a row after each message, `wanted` is None for no features."""

    depth: int = 10
    interval_ns: int = 0
    skips_empty: bool = False
    trusts_beat: bool = False
    decimal: bool = False
    wanted: Wanted | None = _DEFAULT


def book_table_rows(recording: Recording, options: BookOptions) -> dict[str, list[Row]]:
    """Return the rows of `book` by product, in arrival order."""
    full = None if options.wanted else options.depth
    of_products = defaultdict(list)
    for row in book_rows(recording, depth=full, trusts_beat=options.trusts_beat):
        of_products[row.product_id].append(row)
    holes = find_holes(recording)
    found: dict[str, list[Row]] = {}
    for product_id, rows in of_products.items():
        flows: list[Features] = [{} for _ in rows]
        if options.wanted is not None:
            befores = [None, *rows[:-1]]
            flows = [
                order_flow(row, before, holes[row.heard.connection], options.wanted)
                for row, before in zip(rows, befores, strict=True)
            ]
        both = list(zip(rows, flows, strict=True))
        found[product_id] = list(_intervals(both, options) if options.interval_ns else _messages(both, options))
    return found


def _messages(rows: list[tuple[BookRow, Features]], options: BookOptions) -> Iterable[Row]:
    for row, flow in rows:
        yield {**_state(row, options), **rounded(flow, is_verified=row.state == "verified")}


def _intervals(rows: list[tuple[BookRow, Features]], options: BookOptions) -> Iterable[Row]:
    """Yield the intervals of each stretch of rows of one connection, from that of its first row to that of its last."""
    length_ns = options.interval_ns
    for _, stretch in groupby(rows, key=lambda item: item[0].heard.connection):
        of_intervals = defaultdict(list)
        for row, flow in stretch:
            of_intervals[row.ts_align // length_ns].append((row, flow))
        last: BookRow | None = None
        for number in range(min(of_intervals), max(of_intervals) + 1):
            mine = of_intervals.get(number, [])
            if not mine and options.skips_empty:
                continue
            last = mine[-1][0] if mine else last
            assert last is not None
            state = _state(last, options) | {"date": utc_date(number * length_ns), "n_messages": len(mine)}
            state |= {"ts_start": number * length_ns, "ts_end": (number + 1) * length_ns}
            yield state | (_summed(last, mine, options.wanted) if options.wanted else {})


def _summed(last: BookRow, rows: list[tuple[BookRow, Features]], wanted: Wanted) -> Row:
    """Return the order flow of an interval: the sum of what its messages have."""
    flows = [dict.fromkeys(flow) if row.state != "verified" else flow for row, flow in rows]
    sums: Features = {}
    for name in ("ofi", *(f"ofi_level_{rank}" for rank in range(wanted.ofi_levels))):
        values = [value for flow in flows if (value := flow[name]) is not None]
        sums[name] = sum(values, Fraction(0)) if values else None
    n = sum(flow["ofi"] is not None for flow in flows)
    return {**rounded(sums, is_verified=last.state == "verified"), "ofi_n": n, "ofi_missing": len(flows) - n}


def _state(row: BookRow, options: BookOptions) -> Row:
    state = row.as_dict(options.depth)
    if not options.decimal:
        state = {name: float(value) if isinstance(value, Decimal) else value for name, value in state.items()}
    if options.wanted is not None:
        state |= rounded(book_features(row, options.wanted), is_verified=row.state == "verified")
    return state
