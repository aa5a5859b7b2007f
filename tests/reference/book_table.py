"""The rows of the table `book`: after each message, or at the ends of intervals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import partial

from tests.reference.book_features import Wanted, book_features, order_flow, rounded
from tests.reference.books import BookRow, Features, book_rows
from tests.reference.coverage import find_silences
from tests.reference.holes import find_holes
from tests.reference.messages import Row
from tests.reference.recording import Recording
from tests.reference.values import NS_PER_SECOND, utc_date

_DEFAULT = Wanted()
_LONGEST_EMPTY_NS = 3600 * NS_PER_SECOND


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
    wanted = options.wanted
    measure = None if wanted is None else partial(book_features, wanted=wanted)
    of_products = defaultdict(list)
    depth = max(options.depth, 0 if wanted is None else wanted.ofi_levels)
    for row in book_rows(recording, depth=depth, trusts_beat=options.trusts_beat, measure=measure):
        of_products[row.product_id].append(row)
    maker = _Maker(recording, options)
    return {
        product_id: list(maker.intervals(rows) if options.interval_ns else maker.messages(rows))
        for product_id, rows in of_products.items()
    }


class _Maker:
    def __init__(self, recording: Recording, options: BookOptions) -> None:
        self._options = options
        self._holes = find_holes(recording)
        self._silences = {name: find_silences(messages) for name, messages in recording.connections.items()}

    def messages(self, rows: list[BookRow]) -> Iterable[Row]:
        """Yield a row after each published message."""
        for row in rows:
            if row.is_published:
                flow = rounded(self._flow(row), is_verified=row.state == "verified")
                yield {**_state(row, self._options), **flow}

    def intervals(self, rows: list[BookRow]) -> Iterable[Row]:
        """Yield a row for each interval that has ended."""
        length_ns = self._options.interval_ns
        clock = None
        mine: list[BookRow] = []  # published ones of the interval
        last: BookRow | None = None
        for row in rows:
            before, clock = clock, max(row.clock, row.clock if clock is None else clock)
            if before is not None and clock // length_ns > before // length_ns:
                if last is not None:
                    yield from self._ended(before // length_ns, clock // length_ns, last, mine, row)
                mine = []
            if row.is_published:
                mine.append(row)
                last = row
        # The last interval has not ended.

    def _ended(self, first: int, end: int, last: BookRow, mine: list[BookRow], ending: BookRow) -> Iterable[Row]:
        """Yield the intervals from `first` to before `end`, of which all but the first are empty."""
        empty = range(first + 1 if mine else first, end)
        if mine:
            yield self._interval(first, last, mine, ending)
        too_many = len(empty) * self._options.interval_ns > _LONGEST_EMPTY_NS
        if self._options.skips_empty or too_many or ending.heard.connection != last.heard.connection:
            return
        for number in empty:
            if not self._is_silent(number, last.heard.connection):
                yield self._interval(number, last, [], ending)

    def _is_silent(self, number: int, connection: str) -> bool:
        """Say whether an interval is within a silence."""
        length_ns = self._options.interval_ns
        return any(
            earlier.ts_server <= number * length_ns and (number + 1) * length_ns <= later.ts_server
            for earlier, later in self._silences[connection]
            if earlier.ts_server is not None and later.ts_server is not None
        )

    def _interval(self, number: int, last: BookRow, mine: list[BookRow], ending: BookRow) -> Row:
        length_ns, wanted = self._options.interval_ns, self._options.wanted
        message = ending.heard.message
        times = {
            "date": utc_date(number * length_ns),
            "ts_start": number * length_ns,
            "ts_end": (number + 1) * length_ns,
            "ts_available": message.ts_server if message.ts_capture is None else message.ts_capture,
        }
        flow = {} if wanted is None else _summed([(row, self._flow(row)) for row in mine], wanted)
        return {**_state(last, self._options), **times, "n_messages": len(mine), **flow}

    def _flow(self, row: BookRow) -> Features:
        wanted = self._options.wanted
        return {} if wanted is None else order_flow(row, self._holes[row.heard.connection], wanted)


def _summed(rows: list[tuple[BookRow, Features]], wanted: Wanted) -> Row:
    """Return the order flow of an interval: the sums of what its messages have."""
    is_verified = all(row.state == "verified" for row, _ in rows)
    flows = [dict.fromkeys(flow) if row.state != "verified" else flow for row, flow in rows]
    sums: Features = {}
    for name in ("ofi", *(f"ofi_level_{rank}" for rank in range(wanted.ofi_levels))):
        values = [value for flow in flows if (value := flow[name]) is not None]
        sums[name] = sum(values, Fraction(0)) if values else None
    n = sum(flow["ofi"] is not None for flow in flows)
    return {**rounded(sums, is_verified=is_verified), "ofi_n": n, "ofi_missing": len(flows) - n}


def _state(row: BookRow, options: BookOptions) -> Row:
    state = row.as_dict(options.depth)
    if not options.decimal:
        state = {name: float(value) if isinstance(value, Decimal) else value for name, value in state.items()}
    return state | rounded(row.features, is_verified=row.state == "verified")
