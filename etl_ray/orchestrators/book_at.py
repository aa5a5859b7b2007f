"""`book_at`: the exact book at any instant, from the nearest checkpoint and the rows behind it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from etl_ray import storage
from etl_ray.config import format_time, time_ns
from etl_ray.errors import ConfigError
from etl_ray.orchestrators.coverage_at import BookCoverage, BookStretch
from etl_ray.orchestrators.manifest import Ledger, Manifest
from etl_ray.orchestrators.stored_books import Message, StoredBooks, checked_numbers
from etl_ray.tables import Numbers


class Level(NamedTuple):
    """A price level: price in the quote currency, size in the base currency, exact."""

    price: Decimal
    size: Decimal


@dataclass(frozen=True)
class BookAt:
    """The full book of a product at the instant `ts`, or why there is none.

    Times are ns UTC. `book_state`, `cause` and `connection_id` are those of `coverage`, from `since` to `until` (None:
    open); in `no_data` there is no book. `sequence_num`, `segment`, `line` and `ts_server` are of the last message that
    was applied, None if there was none. `bids` and `asks` are best first; `numbers` says how the run stores them.
    """

    product_id: str
    ts: int
    book_state: str
    cause: str | None
    since: int | None
    until: int | None
    connection_id: str | None
    segment: str | None
    line: int | None
    sequence_num: int | None
    ts_server: int | None
    numbers: Numbers
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]

    def as_dict(self) -> dict[str, object]:
        """Return all fields for JSON: times as RFC 3339, levels as [price, size], decimals as text."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("ts", "since", "until", "ts_server"):
            plain[name] = None if plain[name] is None else format_time(plain[name])
        for name in ("bids", "asks"):
            plain[name] = [[self._number(price), self._number(size)] for price, size in plain[name]]
        return plain

    def _number(self, value: Decimal) -> str | float:
        return f"{value:f}" if self.numbers == "decimal" else float(value)


def book_at(output: str, product: str, time: str | int, depth: int | None = None) -> BookAt:
    """Return the book behind the last message, in arrival order, that the venue had sent by `time`.

    `time` is ns UTC, a date or RFC 3339. `depth` limits the levels a side. The book is that of the connection which
    `coverage` names there, and so is its state: both are seen from the end of the recording. ConfigError if OUTPUT has
    no books, or not of the product or time; StorageError if files are missing or damaged.
    """
    ts = _ns(time)
    if depth is not None and depth < 1:
        raise ConfigError(f"depth is {depth}; expected at least 1")
    ledger = Ledger(storage.canonical(output))
    manifest = ledger.latest()
    if manifest is None:
        raise ConfigError(f"{storage.redact(output)} holds no committed run; expected the OUTPUT of etl-ray run")
    numbers = checked_numbers(manifest, storage.redact(output))
    coverage = BookCoverage(ledger.output, manifest, product)
    _check_range(manifest, ts, coverage.at(ts))
    with ExitStack() as opened:
        stored = StoredBooks(ledger.output, manifest, product, numbers=numbers, opened=opened)
        stretch, message = _last_message(stored, coverage, ts)
        levels = None if message is None else stored.book(str(stretch.connection_id), message)
    return BookAt(
        product_id=product,
        ts=ts,
        book_state=stretch.state,
        cause=stretch.cause,
        since=stretch.since,
        until=stretch.until,
        connection_id=stretch.connection_id,
        segment=None if message is None else message.place.segment,
        line=None if message is None else message.place.line,
        sequence_num=None if message is None else message.sequence_num,
        ts_server=None if message is None else message.ts_server,
        numbers=numbers,
        bids=() if levels is None else _side(levels, is_bid=True, depth=depth),
        asks=() if levels is None else _side(levels, is_bid=False, depth=depth),
    )


def _ns(time: str | int) -> int:
    ns = time if isinstance(time, int) else int(time) if time.isascii() and time.isdigit() else time_ns(time)
    if ns is None or not 0 <= ns < 2**63:
        raise ConfigError(
            f"time is {time!r}; expected a date (2025-11-26), a time with its zone (2025-11-26T14:00:00.123456789Z) "
            "or ns since 1970"
        )
    return ns


def _check_range(manifest: Manifest, ts: int, stretch: BookStretch) -> None:
    """Raise ConfigError if there is a book, but no row was written at `ts`."""
    start, end = manifest.start_ns, manifest.end_ns
    outside = (start is not None and ts < start) or (end is not None and ts >= end)
    if outside and stretch.connection_id is not None:
        limits = [f"--{name} {format_time(limit)}" for name, limit in (("start", start), ("end", end)) if limit]
        raise ConfigError(
            f"OUTPUT was made with {' '.join(limits)}, so it has no rows of level2 for {format_time(ts)}: "
            "ask for a time within, or run again without these"
        )


def _last_message(stored: StoredBooks, coverage: BookCoverage, ts: int) -> tuple[BookStretch, Message | None]:
    """Return the stretch at `ts`, and the last message of its connection by then; None in `no_data`."""
    stretch = coverage.at(ts)
    if stretch.connection_id is None:
        return stretch, None
    message = stored.last_message(stretch.connection_id, ts)
    # Where the clock has stepped back, the last message may stand behind stretches that begin later.
    actual = stretch if message is None else coverage.at(ts, message.place)
    if actual.connection_id is None:
        return actual, None
    if actual.connection_id != stretch.connection_id:
        message = stored.last_message(actual.connection_id, ts)
    if message is None:
        stored.check_beginning(actual.connection_id)
    return actual, message


def _side(levels: pa.Table, *, is_bid: bool, depth: int | None) -> tuple[Level, ...]:
    """Return the levels of a side, best first."""
    side = levels.filter(pc.equal(levels.column("is_bid"), is_bid))
    side = side.sort_by([("price", "descending" if is_bid else "ascending")]).slice(0, depth)
    prices, sizes = (side.column(name).to_pylist() for name in ("price", "quantity"))
    return tuple(Level(_decimal(price), _decimal(size)) for price, size in zip(prices, sizes, strict=True))


def _decimal(value: float | Decimal) -> Decimal:
    """Return a stored number as decimal without zeros at its end: of a float the shortest that is nearest to it."""
    text = f"{value if isinstance(value, Decimal) else Decimal(repr(value)):f}"
    return Decimal(text.rstrip("0").rstrip(".") if "." in text else text)
