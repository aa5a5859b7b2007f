"""Stage 1: a unit of raw lines becomes staged rows and a receipt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from etl_ray import storage
from etl_ray.errors import SegmentError
from etl_ray.orchestrators.messages import to_json
from etl_ray.orchestrators.numbered import NumberedWriter
from etl_ray.orchestrators.receipts import Counts, FirstReject, Receipt
from etl_ray.orchestrators.selection import Selection, Sorted, product_by_product, select_rows, sort_messages
from etl_ray.orchestrators.staged_books import BookStager
from etl_ray.orchestrators.staging import MESSAGE_INDEX, StagedWriter
from etl_ray.readers.blocks import Block, BlockBuffer, LongLine, read_blocks
from etl_ray.readers.segments import Unit
from etl_ray.scan import LineParser, Parsed
from etl_ray.scan.outcomes import error_columns, reject_columns
from etl_ray.tables import Numbers
from etl_ray.venues import VENUES
from etl_ray.venues.rows import NULL, Rows
from etl_ray.venues.shapes import Kind, Shape


@dataclass(frozen=True)
class NormalizeOptions:
    """How units are normalized. `tables` are the tables to write, `staging` is the URL below which pieces go.

    `books`: stage what books are rebuilt from.
    """

    venue: str
    tables: tuple[str, ...]
    selection: Selection
    numbers: Numbers
    partition_cols: Mapping[str, tuple[str, ...]]
    block_bytes: int
    max_line_bytes: int
    staging: str
    books: bool


class Normalizer:
    """Normalizes one unit after another with memory that is allocated once."""

    def __init__(self, options: NormalizeOptions) -> None:
        self.options = options
        self._venue = VENUES[options.venue]
        # What is found in a block is written before the next one is parsed.
        self._parser = LineParser(
            self._venue, options.numbers, block_bytes=options.block_bytes, own=False, exact=options.books
        )
        self._buffer = BlockBuffer()

    def run(self, unit: Unit) -> Receipt:
        """Write the staged files of a unit, then its receipt; return the receipt."""
        options = self.options
        blocks = _Blocks(
            unit, block_bytes=options.block_bytes, max_line_bytes=options.max_line_bytes, buffer=self._buffer
        )
        return self._staged(unit, blocks, None)

    def left_out(self, unit: Unit, reason: str) -> Receipt:
        """Write staged files of a unit as if it had no line, then its receipt; return the receipt."""
        return self._staged(unit, None, str(SegmentError(storage.redact(unit.segment.url), unit.start, reason)))

    def _staged(self, unit: Unit, blocks: _Blocks | None, damage: str | None) -> Receipt:
        options = self.options
        account = _Account((*self._venue.channels, *self._venue.private_channels), "errors" in options.tables)
        self._parser.begin_unit()
        with (
            StagedWriter(options.staging, unit.name, options.partition_cols) as writer,
            NumberedWriter(options.staging, unit.name) as numbered,
            BookStager(options.staging, unit.name) as books,
        ):
            try:
                for block in blocks or ():
                    for parsed in self._parse(block):
                        account.add(parsed, self._write(parsed, unit, writer=writer, numbered=numbered, books=books))
            except SegmentError as error:
                damage = str(error)
            files = writer.finish()
            numbers = numbered.finish(self._parser.symbols)
            book = books.finish() if options.books else None
        read_bytes = 0 if blocks is None else _unpacked_bytes(unit, blocks.end)
        receipt = Receipt(
            unit=unit.name,
            counts=account.counts + Counts(bytes=read_bytes),
            messages=dict(sorted(account.messages.items())),
            numbered=numbers,
            files=files,
            damage=damage,
            first_reject=account.first_reject,
            book=book,
            ts_min=account.ts_min,
            ts_max=account.ts_max,
        )
        receipt.counts.check(unit.name)
        storage.write_bytes(receipt_url(options.staging, unit.name), to_json(receipt), durable=False)
        return receipt

    def _parse(self, block: Block | LongLine) -> Iterator[Parsed]:
        if isinstance(block, Block):
            return self._parser.parse(block.data, block.size, block.offset)
        limit_bytes = self.options.max_line_bytes
        return iter(
            (
                self._parser.long_line(
                    block.offset, block.length, sha256=block.sha256, head=block.head, limit_bytes=limit_bytes
                ),
            )
        )

    def _write(
        self, parsed: Parsed, unit: Unit, *, writer: StagedWriter, numbered: NumberedWriter, books: BookStager
    ) -> Sorted:
        """Stage what is selected of a stretch of lines; return what became of its messages."""
        options = self.options
        sorted_messages = sort_messages(parsed, options.selection, self._venue)
        before = numbered.add(parsed)
        for shape in self._venue.shapes:
            rows = parsed.rows.get(shape.table)
            if rows is None:
                continue
            if options.books and shape.table == "level2":
                self._stage_books(rows, parsed, before, books)
            if shape.table == "status" and "instruments" in options.tables:
                writer.write("instruments", self._assembled("instruments", shape, rows, before))
            if shape.table in options.tables:
                rows = select_rows(
                    rows, _product_key(shape), parsed, accepted=sorted_messages.accepted, selection=options.selection
                )
                writer.write(shape.table, self._assembled(shape.table, shape, rows, before))
        date = unit.segment.date
        if parsed.errors and "errors" in options.tables:
            writer.write("errors", error_columns(parsed.errors, date))
        if parsed.rejects:
            writer.write("rejects", reject_columns(parsed.rejects, date))
        return sorted_messages

    def _assembled(self, table: str, shape: Shape, rows: Rows, before: int) -> dict[str, pa.Array]:
        """Return the columns of rows: by product if the table is parted so, and nothing has to be moved later."""
        key = _product_key(shape)
        if key is not None and "product_id" in self.options.partition_cols[table]:
            rows = product_by_product(rows, key)
        return {**self._venue.assemble[shape.table](rows), MESSAGE_INDEX: pa.array(rows.message + np.int32(before))}

    def _stage_books(self, rows: Rows, parsed: Parsed, before: int, books: BookStager) -> None:
        """Stage the books of the selected products, whatever range and channels are: these limit rows only."""
        everything = replace(self.options.selection, start_ns=None, end_ns=None)
        wanted = np.ones(len(parsed.messages), np.bool_)
        rows = select_rows(rows, "product_id", parsed, accepted=wanted, selection=everything)
        if len(rows):
            books.add(rows, before)


class _Blocks:
    """The blocks of a unit; `end` is how far into the unpacked segment they have come."""

    def __init__(self, unit: Unit, *, block_bytes: int, max_line_bytes: int, buffer: BlockBuffer) -> None:
        self.end = 0
        self._blocks = read_blocks(unit, block_bytes=block_bytes, max_line_bytes=max_line_bytes, buffer=buffer)

    def __iter__(self) -> Iterator[Block | LongLine]:
        try:
            self.end = yield from self._blocks
        except SegmentError as error:
            self.end = error.offset
            raise


class _Account:
    """Adds up what became of the lines of a unit."""

    def __init__(self, channels: tuple[str, ...], errors_selected: bool) -> None:
        self._channels = channels
        self._errors_selected = errors_selected
        self.counts = Counts()
        self.messages: Counter[str] = Counter()
        self.first_reject: FirstReject | None = None
        self.ts_min: int | None = None
        self.ts_max: int | None = None

    def add(self, parsed: Parsed, found: Sorted) -> None:
        errors = len(parsed.errors)
        self.counts += Counts(
            lines=parsed.lines,
            accepted=int(found.accepted.sum()) + (errors if self._errors_selected else 0),
            ignored=int(found.ignored.sum()) + (0 if self._errors_selected else errors),
            out_of_range=int(found.out_of_range.sum()),
            blank=parsed.blank,
            rejects=len(parsed.rejects),
            slow_lines=parsed.slow_lines,
            unknown_keys=parsed.unknown_keys,
        )
        per_channel = np.bincount(parsed.messages.channel, minlength=len(self._channels))
        self.messages.update({name: int(n) for name, n in zip(self._channels, per_channel, strict=True) if n})
        if errors:
            self.messages["error"] += errors
        known = parsed.messages.ts_server[parsed.messages.ts_server != NULL]
        if len(known):
            first, last = int(known.min()), int(known.max())
            self.ts_min = first if self.ts_min is None else min(self.ts_min, first)
            self.ts_max = last if self.ts_max is None else max(self.ts_max, last)
        if parsed.rejects and self.first_reject is None:
            self.first_reject = FirstReject(parsed.rejects[0].line, parsed.rejects[0].reason)


def receipt_url(staging: str, unit: str) -> str:
    """Return where the receipt of a unit is kept."""
    return storage.join(staging, "receipts", f"{unit}.json")


def _unpacked_bytes(unit: Unit, end: int) -> int:
    """Return how many unpacked bytes a unit has; `end` is where reading ended."""
    if unit.end is not None:  # the last line may reach into the next range, whose bytes are counted there
        return unit.end - unit.start
    return end


def _product_key(shape: Shape) -> str | None:
    return next((item.key for item in shape.event + shape.row if item.kind == Kind.PRODUCT), None)
