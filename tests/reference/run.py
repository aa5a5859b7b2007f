"""The whole job in plain Python: every table and every count of a run."""

from __future__ import annotations

import datetime
import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from etl_ray.tables import TABLES, Numbers, Table
from etl_ray.tables.book import BookColumns, book_table
from tests.reference.book_table import BookOptions
from tests.reference.books import book_rows, crossings
from tests.reference.candles import last_candles
from tests.reference.connections import Connections
from tests.reference.coverage import Crossing, coverage_rows
from tests.reference.holes import connection_rows
from tests.reference.job_books import job_book_rows, without_book
from tests.reference.messages import ERROR, PRIVATE, PUBLIC, TABLE_OF, Message, Row, read_message
from tests.reference.recording import Recording
from tests.reference.segments import Segment, find_segments, split_lines
from tests.reference.strict_json import NotJsonError
from tests.reference.trades import kept_trades, missing_trades
from tests.reference.values import InvalidError
from tests.reference.witness import candle_witness_rows, witness_rows

_CHANNEL_NAME = re.compile(rb'"channel"[ \t\r]*:[ \t\r]*"([A-Za-z0-9_]{1,64})"')
_MAX_RAW_BYTES = 65_536
_DEFAULT_BOOK = BookOptions()
_OWN_USDC_PRODUCTS = ("USDT-USDC", "EURC-USDC")
_TERMS = {
    "product_type": "product_type",
    "base_currency": "base_currency",
    "quote_currency": "quote_currency",
    "tick_size": "quote_increment",
    "lot_size": "base_increment",
    "min_market_funds": "min_market_funds",
    "display_name": "display_name",
    "status": "status",
    "status_message": "status_message",
}
"""Terms of a product in `instruments`, and the columns of `status` that they come from."""


@dataclass
class Counts:
    """What a run counts. `messages` are all valid ones per wire channel, errors as "error", whatever is selected."""

    lines: int = 0
    blank: int = 0
    rejected: int = 0
    ignored: int = 0
    out_of_range: int = 0
    accepted: int = 0
    bytes: int = 0
    unknown_keys: int = 0
    messages: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, object]:
        """Return all counts by name."""
        return vars(self) | {"messages": dict(self.messages)}


@dataclass
class Reference:
    """The true tables of a run, rows in arrival order, and its counts."""

    tables: dict[str, list[Row]]
    counts: Counts
    numbers: Numbers
    recording: Recording
    connections: list[Row]
    coverage: list[Row]
    book: BookOptions | None

    @property
    def schemas(self) -> dict[str, Table]:
        """Return all tables; that of books is the one that was asked for."""
        return TABLES if self.book is None else TABLES | {"book": book_table(_columns(self.book))}


@dataclass(frozen=True)
class Selection:
    """What a run was asked to write; None is everything."""

    channels: frozenset[str] | None
    products: frozenset[str] | None
    start_ns: int | None
    end_ns: int | None

    def has_channel(self, channel: str) -> bool:
        """Say whether a wire channel (errors: "errors") is selected."""
        return self.channels is None or ("errors" if channel == ERROR else channel) in self.channels

    def has_time(self, ts_server: int | None) -> bool:
        """Say whether a server time is in range; a message without one always is."""
        if ts_server is None:
            return True
        after_start = self.start_ns is None or ts_server >= self.start_ns
        return after_start and (self.end_ns is None or ts_server < self.end_ns)

    def is_asked(self, product: str, ts_server: int) -> bool:
        """Say whether a row of a product at a time is selected."""
        return self.has_product(product) and self.has_time(ts_server)

    def has_product(self, product: object) -> bool:
        """Say whether a row of `product` (None: of no product) is selected."""
        return self.products is None or product is None or product in self.products


def reference(
    paths: Iterable[Path],
    *,
    channels: Iterable[str] | None = None,
    products: Iterable[str] | None = None,
    start_ns: int | None = None,
    end_ns: int | None = None,
    numbers: Numbers = "float64",
    max_line_bytes: int = 16_000_000,
    trusts_beat: bool = False,
    book: BookOptions | None = _DEFAULT_BOOK,
) -> Reference:
    """Return what a run over `paths` must write; `channels` are wire names and "errors".

    `book` None is a run that rebuilds no books. `book_checkpoints` is left empty: it depends on how the output is cut.
    """
    if channels is not None:
        channels = frozenset(channels)
        unknown = channels - {*PUBLIC, "errors"}
        if unknown:
            raise ValueError(f"unknown channels {sorted(unknown)}")
    delivered = None if products is None else frozenset(_delivered(product) for product in products)
    run = _Run(Selection(channels, delivered, start_ns, end_ns), numbers, max_line_bytes)
    for segment in find_segments(paths):
        run.add_segment(segment)
    run.recording.finish()
    connections = connection_rows(run.recording)
    has_books = book is not None and run.selection.has_channel("l2_data")
    run.tables["market_trades"] = kept_trades(run.tables["market_trades"])
    run.tables["candles"] = last_candles(run.tables["candles"])
    run.tables["witness"] = candle_witness_rows(run.tables["candles"], run.tables["market_trades"])
    coverage = run.coverage_rows(trusts_beat=trusts_beat, has_books=has_books)
    run.tables |= {"connections": connections, "coverage": coverage}
    if book is not None and has_books:
        options = replace(book, decimal=numbers == "decimal", trusts_beat=trusts_beat)
        run.tables["book"] = job_book_rows(run.recording, options, run.selection.is_asked)
        if not options.interval_ns:
            run.tables["witness"] += witness_rows(run.tables["book"], run.tables["ticker"])
    run.tables["witness"].sort(key=lambda row: (row["product_id"], row["kind"], row["ts_start"]))
    run.tables["instruments"].sort(key=lambda row: (row["segment"], row["line"], row["product_id"]))
    for name, rows in run.tables.items():
        table = book_table(_columns(book)) if book is not None and name == "book" else TABLES[name]
        for row in rows:
            if row.keys() != set(table.names):
                raise AssertionError(f"{name}: wrong columns {sorted(row.keys() ^ set(table.names))}")
    return Reference(run.tables, run.counts, numbers, run.recording, connections, coverage, book)


def _columns(book: BookOptions) -> BookColumns:
    """Return what rows of the table tell under these options."""
    columns = BookColumns(depth=book.depth, intervals=book.interval_ns > 0, features=book.wanted is not None)
    return columns if book.wanted is None else replace(columns, **vars(book.wanted))


def _delivered(product: str) -> str:
    if product.endswith("-USDC") and product not in _OWN_USDC_PRODUCTS:
        return product.removesuffix("C")
    return product


class _Run:
    def __init__(self, selection: Selection, numbers: Numbers, max_line_bytes: int) -> None:
        self.selection = selection
        self.max_line_bytes = max_line_bytes
        self.decimal = numbers == "decimal"
        self.tables: dict[str, list[Row]] = {name: [] for name in TABLES}
        self.counts = Counts()
        self.connections = Connections()
        self.recording = Recording()
        self.terms: dict[object, tuple[object, ...]] = {}

    def add_segment(self, segment: Segment) -> None:
        """Add all lines of a segment."""
        self.counts.bytes += len(segment.raw)
        if segment.is_damaged:
            self.recording.damaged.append(segment.identity)
        for number, offset, line in split_lines(segment.raw):
            self.add_line(segment.identity, number, offset, line)

    def coverage_rows(self, *, trusts_beat: bool, has_books: bool) -> list[Row]:
        """Return the rows of `coverage`, which only the end of the recording tells."""
        crossed: list[Crossing] = []
        if has_books:
            refused = without_book(self.recording)
            books = book_rows(self.recording, depth=1, trusts_beat=trusts_beat)
            crossed = [one for one in crossings(self.recording, books) if one.product_id not in refused]
        selected = {TABLE_OF[name] for name in PUBLIC if self.selection.has_channel(name)}
        return [
            row
            for row in coverage_rows(
                self.recording,
                trusts_beat=trusts_beat,
                crossings=crossed,
                missing=missing_trades(self.tables["market_trades"], self.recording),
            )
            if row["channel"] in selected and self.selection.has_product(row["product_id"])
        ]

    def add_line(self, segment: str, number: int, offset: int, line: bytes) -> None:
        """Count a line and add its rows."""
        self.counts.lines += 1
        self.recording.add_line(segment, number)
        if len(line) > self.max_line_bytes:
            self.counts.rejected += 1
            seen = _reject(segment, number, offset, line[:_MAX_RAW_BYTES], "too long")
            self.tables["rejects"].append(seen | {"raw": None} | _extent(line))
            self.recording.rejected.append((segment, number))
            return
        if not line.strip(b" \t\r"):
            self.counts.blank += 1
            return
        try:
            message = read_message(line, decimal=self.decimal)
        except (NotJsonError, InvalidError) as error:
            self.counts.rejected += 1
            self.tables["rejects"].append(_reject(segment, number, offset, line, str(error)))
            self.recording.rejected.append((segment, number))
            return
        self.counts.messages[message.channel] += 1
        self.counts.unknown_keys += message.unknown_keys
        self._add_message(message, segment, number)

    def _add_message(self, message: Message, segment: str, number: int) -> None:
        connection_id = None
        if message.sequence_num is not None:
            place = f"{segment}:{number}"
            connection_id = self.connections.assign(
                message.sequence_num, message.first_product, message.first_heartbeat, place
            )
            self.recording.add_message(message, (segment, number), connection_id)
        changes = self._new_terms(message) if message.channel == "status" else []
        if message.channel in PRIVATE or not self.selection.has_channel(message.channel):
            self.counts.ignored += 1
            return
        names_selected = not message.products or any(map(self.selection.has_product, message.products))
        if not self.selection.has_time(message.ts_server) or not names_selected:
            self.counts.out_of_range += 1
            return
        self.counts.accepted += 1
        if message.channel == ERROR:
            common: Row = {"date": _date_in_name(segment), "ts_capture": message.ts_capture}
            self.tables["errors"].append({**common, **message.rows[0], "segment": segment, "line": number})
            return
        common = {
            "ts_server": message.ts_server,
            "ts_capture": message.ts_capture,
            "sequence_num": message.sequence_num,
            "connection_id": connection_id,
            "segment": segment,
            "line": number,
        }
        rows = [row for row in message.rows if self.selection.has_product(row.get("product_id"))]
        self.tables[TABLE_OF[message.channel]].extend(common | row for row in rows)
        for row in changes:
            if self.selection.has_product(row["product_id"]):
                terms = {name: row[column] for name, column in _TERMS.items()}
                lineage = {"valid_from": message.ts_server, "segment": segment, "line": number}
                self.tables["instruments"].append({"product_id": row["product_id"], **terms, **lineage})

    def _new_terms(self, message: Message) -> list[Row]:
        """Return the rows of a status message that change a product's terms."""
        changes = []
        for row in message.rows:
            terms = tuple(row[column] for column in _TERMS.values())
            if self.terms.get(row["product_id"]) != terms:
                self.terms[row["product_id"]] = terms
                changes.append(row)
        return changes


def _reject(segment: str, number: int, offset: int, line: bytes, reason: str) -> Row:
    names = [name.decode() for name in _CHANNEL_NAME.findall(line)]
    hides = any(text in line for text in (b"\\u", *(name.encode() for name in PRIVATE)))
    is_public = any(name in PUBLIC for name in names) and not hides
    return {
        "date": _date_in_name(segment),
        "segment": segment,
        "line": number,
        "byte_offset": offset,
        **_extent(line),
        "channel": names[0] if names else None,
        "reason": reason,
        "raw": line[:_MAX_RAW_BYTES] if is_public else None,
    }


def _extent(line: bytes) -> Row:
    return {"length": len(line), "sha256": hashlib.sha256(line).hexdigest()}


def _date_in_name(segment: str) -> str:
    for digits in re.findall(r"(?=([0-9]{8}))", segment):
        try:
            date = datetime.date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
        except ValueError:
            continue
        if 2010 <= date.year < 2100:
            return date.isoformat()
    return "unknown"
