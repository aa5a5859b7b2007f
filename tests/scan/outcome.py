"""All that a parser finds in a stretch of bytes, in a form in which two outcomes are compared value for value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from etl_ray.scan import LineParser, Parsed
from etl_ray.tables.schema import DECIMAL, Numbers
from etl_ray.venues import VENUES, Venue
from etl_ray.venues.shapes import Shape

PADDING = 64
COINBASE = VENUES["coinbase"]
Outcome = dict[str, pa.Table]
"""Tables by name: those of the venue, and `messages`, `mentions`, `errors`, `rejects` and `counts`."""


class UnscannableShape(Shape):
    """A shape that the kernel is not told of, so that each of its lines goes to the strict parser."""

    @property
    def scannable(self) -> bool:
        return False


def strict_only(venue: Venue = COINBASE) -> Venue:
    """Return the same venue without a single shape that the kernel can read."""
    shapes = tuple(
        UnscannableShape(**{name: getattr(shape, name) for name in Shape.__dataclass_fields__})
        for shape in venue.shapes
    )
    return replace(venue, shapes=shapes)


def padded(data: bytes) -> npt.NDArray[np.uint8]:
    """Return the bytes with the zeros behind them that a parser needs."""
    return np.frombuffer(data + bytes(PADDING), np.uint8)


def parse(parser: LineParser, data: bytes, offset: int = 0) -> list[Parsed]:
    """Return what the parser finds in whole lines."""
    return list(parser.parse(padded(data), len(data), offset))


def parse_once(data: bytes, *, numbers: Numbers = "float64", venue: Venue = COINBASE) -> Outcome:
    """Return the outcome of one block, parsed by a parser of its own."""
    return outcome(parse(LineParser(venue, numbers, block_bytes=max(len(data), 1)), data), venue)


def outcome(found: Iterable[Parsed], venue: Venue = COINBASE) -> Outcome:
    """Return what was found, symbols resolved, stretches put together."""
    parts: dict[str, list[pa.Table]] = {}
    counts = np.zeros(3, np.int64)
    for parsed in found:
        counts += (parsed.lines, parsed.blank, parsed.unknown_keys)
        tables = {"messages": _messages(parsed), "mentions": _mentions(parsed)}
        for name, rows in parsed.rows.items():
            if len(rows):
                tables[name] = pa.table(venue.assemble[name](rows))
        for name, records in (("errors", parsed.errors), ("rejects", parsed.rejects)):
            if records:
                tables[name] = pa.Table.from_pylist([asdict(record) for record in records])
        for name, table in tables.items():
            parts.setdefault(name, []).append(table)
    tables = {name: plain(pa.concat_tables([plain(part) for part in found])) for name, found in parts.items()}
    return {"counts": pa.table({"lines, blank, unknown keys": counts}), **dict(sorted(tables.items()))}


def _messages(parsed: Parsed) -> pa.Table:
    found = parsed.messages
    columns = {name: getattr(found, name) for name in ("line", "channel", "sequence_num", "ts_server", "ts_capture")}
    return pa.table({**columns, "product": _names(found.product, parsed)})


def _mentions(parsed: Parsed) -> pa.Table:
    """Return each (line, product) once."""
    pairs = np.unique(np.stack([parsed.mentions.message, parsed.mentions.product], axis=1), axis=0)
    table = pa.table({"line": parsed.messages.line[pairs[:, 0]], "product": _names(pairs[:, 1], parsed)})
    return table.sort_by([("line", "ascending"), ("product", "ascending")])


def _names(symbols: npt.NDArray[np.int32], parsed: Parsed) -> pa.Array:
    return pa.array([*parsed.symbols, None], pa.string()).take(pa.array(symbols % (len(parsed.symbols) + 1)))


def plain(table: pa.Table) -> pa.Table:
    """Return the table with dictionaries resolved and floats as their bits: 0.0 and -0.0 are not the same."""
    columns = {}
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if pa.types.is_dictionary(column.type):
            column = column.cast(pa.string())
        elif pa.types.is_null(column.type):
            column = column.cast(pa.binary() if name == "raw" else pa.string())
        elif pa.types.is_floating(column.type):
            column = column.view(pa.int64())
        columns[name] = column
    return pa.table(columns)


def difference(one: Outcome, other: Outcome) -> str | None:
    """Describe the first difference between two outcomes; None if they are equal."""
    if one.keys() != other.keys():
        return f"one has {sorted(one)}, the other {sorted(other)}"
    for name, table in one.items():
        if table.schema != other[name].schema:
            return f"{name}: {table.schema} / {other[name].schema}"
        if table.equals(other[name]):
            continue
        rows = zip(table.to_pylist(), other[name].to_pylist(), strict=False)
        unequal = next(((left, right) for left, right in rows if left != right), None)
        return f"{name}: {len(table)} and {len(other[name])} rows; first that differs: {unequal}"
    return None


def numbers_of(table: pa.Table, name: str) -> pa.Array:
    """Return a number column of an outcome as numbers again."""
    column = table.column(name).combine_chunks()
    return column if column.type == DECIMAL else pc.cast(column, pa.int64()).view(pa.float64())
