"""`LineParser`: whole lines of a segment in, messages and rows as columns out. The one door to the scanner.

The kernel takes what it understands; the lines that it hands back go to the strict parser, and both are put together
in line order. Which of the two read a line cannot be seen in the result, but for the count `slow_lines`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from etl_ray.scan import kernel
from etl_ray.scan.columns import Scanned, StrictRow, merge_rows, strict_fields
from etl_ray.scan.parsed import ErrorLine, Mentions, Parsed, Reject, make_reject
from etl_ray.scan.plan import Workspace, scannable
from etl_ray.scan.strict import PrivateMessage, PublicMessage, RejectedLineError, VenueError, parse_line
from etl_ray.tables.schema import Numbers
from etl_ray.venues.rows import NULL, Int32s, Int64s, Item, Messages, Rows
from etl_ray.venues.shapes import Shape, Venue

_BLANK = b" \t\r"


@dataclass
class _Strict:
    """What the strict parser found among the slow lines of one stretch."""

    messages: list[tuple[int, int, int, int, int, int]] = field(default_factory=list)
    rows: dict[str, list[StrictRow]] = field(default_factory=dict)
    mentions: list[tuple[int, int]] = field(default_factory=list)
    errors: list[ErrorLine] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    unknown_keys: int = 0


class LineParser:
    """Parses one unit after another, block by block, with memory that is allocated once per `block_bytes`.

    What it returns is its caller's own, or with `own=False` valid only until the next result is asked for, which saves
    the copies. Without `exact`, exact numbers are not there as integers and scales too.
    """

    def __init__(
        self, venue: Venue, numbers: Numbers, *, block_bytes: int, own: bool = True, exact: bool = True
    ) -> None:
        self.venue = venue
        self.numbers: Numbers = numbers
        self.channels = (*venue.channels, *venue.private_channels)
        self._shapes = scannable(venue)
        self._own = own
        self._exact = exact
        self._workspace = Workspace(venue, numbers, block_bytes, exact=exact)
        self.begin_unit()

    @property
    def symbols(self) -> tuple[str, ...]:
        """Products of the unit so far, in the order of their symbols."""
        return tuple(self._symbols)

    def begin_unit(self) -> None:
        """Forget the unit before: symbols are numbered anew, lines count from 1."""
        self._workspace.reset()
        self._symbols: list[str] = []
        self._code: dict[str, int] = {}
        self._kernel_codes: Int32s = np.zeros(0, np.int32)
        self._next_line = 1

    def parse(self, data: npt.NDArray[np.uint8], size: int, offset: int) -> Iterator[Parsed]:
        """Parse the whole lines in data[:size], which begin at byte `offset` of the segment.

        `data` needs 64 zero bytes after `size`. Mostly one result comes of it; more if lines are very many and short.
        """
        if size > self._workspace.block_bytes:
            self._workspace = Workspace(self.venue, self.numbers, size, exact=self._exact)
            self._kernel_codes = np.zeros(0, np.int32)
        position = 0
        while position < size:
            self._workspace.next_columns()
            position = self._scan(data, position, size)
            yield self._collect(data, offset)

    def skip_line(self) -> None:
        """Count a line that is not parsed."""
        self._next_line += 1

    def long_line(self, offset: int, length: int, *, sha256: str, head: bytes, limit_bytes: int) -> Parsed:
        """Return the result for one line that is too long to be looked at."""
        reason = f"expected a line of at most {limit_bytes:,} bytes, found {length:,}"
        seen = make_reject(self._next_line, offset, head, reason=reason, venue=self.venue)
        # What lies beyond the head is unknown and might be private, so nothing of the text is kept.
        reject = Reject(self._next_line, offset, length, sha256, seen.channel, reason, None)
        self._next_line += 1
        none = _messages([])
        mentions = Mentions(np.zeros(0, np.int32), np.zeros(0, np.int32))
        return Parsed(1, 0, 1, 0, none, {}, mentions, (), (reject,), self.symbols)

    def _scan(self, data: npt.NDArray[np.uint8], position: int, size: int) -> int:
        work = self._workspace
        return int(
            kernel.scan_block(
                data.ctypes.data,
                position,
                size,
                self._next_line,
                work.context.ctypes.data,
            )
        )

    def _intern(self, name: str) -> int:
        code = self._code.setdefault(name, len(self._symbols))
        if code == len(self._symbols):
            self._symbols.append(name)
        return code

    def _collect(self, data: npt.NDArray[np.uint8], offset: int) -> Parsed:
        work = self._workspace
        names = work.symbols(len(self._kernel_codes))
        fresh = np.array([self._intern(name) for name in names], np.int32)
        self._kernel_codes = np.concatenate([self._kernel_codes, fresh])
        strict, strict_blank = self._parse_slow(data, offset)
        scanned = Scanned(work, self._kernel_codes, own=self._own, exact=self._exact)
        messages, rank = _merge_messages(scanned.messages(), strict)
        rows: dict[str, Rows] = {}
        for shape in self.venue.shapes:
            found = self._rows(shape, scanned, strict, messages, rank)
            if found is not None:
                rows[shape.table] = found
        lines = work.count(kernel.N_LINES)
        self._next_line += lines
        return Parsed(
            lines=lines,
            blank=work.count(kernel.N_BLANK) + strict_blank,
            slow_lines=work.count(kernel.N_SLOW) - strict_blank,
            unknown_keys=strict.unknown_keys,
            messages=messages,
            rows=rows,
            mentions=self._mentions(scanned, strict, rank),
            errors=tuple(strict.errors),
            rejects=tuple(strict.rejects),
            symbols=self.symbols,
        )

    def _parse_slow(self, data: npt.NDArray[np.uint8], offset: int) -> tuple[_Strict, int]:
        """Give the slow lines to the strict parser; return what it found and how many were blank after all."""
        work = self._workspace
        found = _Strict()
        blank = 0
        for line, start, end in work.slow[:, : work.count(kernel.N_SLOW)].T.tolist():
            raw = data[start:end].tobytes()
            if not raw.strip(_BLANK):
                blank += 1
                continue
            try:
                message = parse_line(raw, self.venue, self.numbers)
            except RejectedLineError as error:
                found.rejects.append(make_reject(line, offset + start, raw, reason=error.reason, venue=self.venue))
                continue
            self._add(found, line, message)
        return found, blank

    def _add(self, found: _Strict, line: int, message: PublicMessage | PrivateMessage | VenueError) -> None:
        if isinstance(message, VenueError):
            found.errors.append(ErrorLine(line, message.ts_capture, message.message))
            found.unknown_keys += message.unknown_keys
            return
        channel = self.channels.index(message.channel)
        index = len(found.messages)
        if isinstance(message, PrivateMessage):
            number = NULL if message.sequence_num is None else message.sequence_num
            found.messages.append((line, channel, number, NULL, NULL, -1))
            return
        product = -1 if message.product is None else self._intern(message.product)
        found.messages.append((line, channel, message.sequence_num, message.ts_server, message.ts_capture, product))
        found.unknown_keys += message.unknown_keys
        found.mentions += [(index, self._intern(name)) for name in sorted(message.mentions)]
        found.rows.setdefault(message.shape.table, []).extend((index, *row) for row in message.rows)

    def _rows(self, shape: Shape, scanned: Scanned, strict: _Strict, messages: Messages, rank: _Rank) -> Rows | None:
        parts = []
        if shape in self._shapes:
            index = self._shapes.index(shape)
            if self._workspace.shape_count(kernel.N_ROWS, index):
                message, *order, fields = scanned.rows(shape, index)
                parts.append((rank.scanned(message), order[0], order[1], fields))
        slow = strict.rows.get(shape.table)
        if slow:
            message, *order, fields = strict_fields(
                slow, shape, code=self._intern, numbers=self.numbers, exact=self._exact
            )
            parts.append((rank.strict(message), order[0], order[1], fields))
        return merge_rows(messages, self.symbols, self.numbers, parts) if parts else None

    def _mentions(self, scanned: Scanned, strict: _Strict, rank: _Rank) -> Mentions:
        """Return which products the messages name."""
        pairs = np.array(strict.mentions, np.int32).reshape(len(strict.mentions), 2)
        message, product = [rank.strict(pairs[:, 0])], [pairs[:, 1]]
        for index, shape in enumerate(self._shapes):
            for named, products in scanned.mentions(shape, index):
                message.append(rank.scanned(named))
                product.append(products)
        return Mentions(np.concatenate(message), np.concatenate(product))


class _Rank:
    """Where messages of both kinds go when they are put together in line order."""

    def __init__(self, scanned: Int64s, strict: Int64s) -> None:
        """Take the lines of both, each in order."""
        self._alone = len(strict) == 0  # nearly always
        self._strict = _positions(strict, scanned)
        self._scanned = self._strict if self._alone else _positions(scanned, strict)

    def scanned(self, message: Int32s) -> Int32s:
        """Return where scanned messages went."""
        return message if self._alone else self._scanned[message]

    def strict(self, message: Int32s) -> Int32s:
        """Return where messages of the strict parser went."""
        return self._strict[message]

    def merge(self, scanned: npt.NDArray[Item], strict: npt.NDArray[Item]) -> npt.NDArray[Item]:
        """Return a column of all messages."""
        if self._alone:
            return scanned
        merged = np.empty(len(scanned) + len(strict), scanned.dtype)
        merged[self._scanned], merged[self._strict] = scanned, strict
        return merged


def _positions(own: Int64s, other: Int64s) -> Int32s:
    return (np.arange(len(own)) + np.searchsorted(other, own)).astype(np.int32)


def _merge_messages(scanned: Messages, strict: _Strict) -> tuple[Messages, _Rank]:
    """Return all messages in line order, and where each went."""
    found = _messages(strict.messages)
    rank = _Rank(scanned.line, found.line)
    merged = Messages(
        line=rank.merge(scanned.line, found.line),
        channel=rank.merge(scanned.channel, found.channel),
        sequence_num=rank.merge(scanned.sequence_num, found.sequence_num),
        ts_server=rank.merge(scanned.ts_server, found.ts_server),
        ts_capture=rank.merge(scanned.ts_capture, found.ts_capture),
        product=rank.merge(scanned.product, found.product),
    )
    return merged, rank


def _messages(found: Sequence[tuple[int, int, int, int, int, int]]) -> Messages:
    columns = np.array(found, np.int64).reshape(len(found), 6).T
    return Messages(
        line=columns[0],
        channel=columns[1].astype(np.int8),
        sequence_num=columns[2],
        ts_server=columns[3],
        ts_capture=columns[4],
        product=columns[5].astype(np.int32),
    )
