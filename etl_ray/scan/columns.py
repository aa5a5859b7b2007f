"""Rows as columns, from either side: what the kernel scanned, and what the strict parser returned line by line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from etl_ray.scan import kernel
from etl_ray.scan.buffers import FieldColumns
from etl_ray.scan.numbers import to_decimals, to_floats
from etl_ray.scan.plan import Workspace
from etl_ray.scan.values import Value
from etl_ray.tables.schema import NUMBER, Column, Numbers
from etl_ray.venues.rows import SCALE, UNSCALED, Int32s, Int64s, Item, Messages, Rows
from etl_ray.venues.shapes import Field, Kind, Shape

Values: TypeAlias = npt.NDArray[np.generic] | pa.Array
StrictRow: TypeAlias = tuple[int, int, int, tuple[Value, ...], tuple[Value, ...]]
"""Message, event_index, row_index, event values, row values."""


class Scanned:
    """What the kernel has written into the columns of a workspace.

    `own`: arrays are copies; else they are valid until the workspace is used again. `codes` turns the kernel's symbols
    into those of the unit.
    """

    def __init__(self, workspace: Workspace, codes: Int32s, *, own: bool, exact: bool) -> None:
        self._workspace = workspace
        self._codes = codes
        self._own = own
        self._exact = exact
        self._same_codes = bool((codes == np.arange(len(codes), dtype=np.int32)).all())
        workspace.round_large()

    def taken(self, column: npt.NDArray[Item], count: int) -> npt.NDArray[Item]:
        """Return the first `count` values of a column."""
        return column[:count].copy() if self._own else column[:count]

    def products(self, column: Int32s, count: int) -> Int32s:
        """Return the first `count` symbols of a column as those of the unit; -1 remains."""
        if self._same_codes:
            return self.taken(column, count)
        return np.append(self._codes, np.int32(-1))[column[:count]]

    def messages(self) -> Messages:
        """Return the messages."""
        work = self._workspace
        count = work.count(kernel.N_MESSAGES)
        return Messages(
            line=self.taken(work.line, count),
            channel=self.taken(work.channel, count),
            sequence_num=self.taken(work.sequence_num, count),
            ts_server=self.taken(work.ts_server, count),
            ts_capture=self.taken(work.ts_capture, count),
            product=self.products(work.first_product, count),
        )

    def rows(self, shape: Shape, index: int) -> tuple[Int32s, Int32s, Int32s, dict[str, Values]]:
        """Return message, event_index, row_index and fields of the rows of a shape, number `index` of the kernel."""
        columns, count = self._workspace.shapes[index], self._workspace.shape_count(kernel.N_ROWS, index)
        fields: dict[str, Values] = {}
        for declared, found in ((shape.event, columns.repeated), (shape.row, columns.row)):
            for field, column in zip(declared, found, strict=True):
                if field.kind != Kind.ANY:
                    fields[field.key] = self._values(field, column, count)
                if field.exact and self._exact:
                    fields[field.key + UNSCALED] = self.taken(column.integers, count)
                    fields[field.key + SCALE] = self.taken(column.scales, count)
        message, event_index, row_index = (
            self.taken(column, count) for column in (columns.message, columns.event_index, columns.row_index)
        )
        return message, event_index, row_index, fields

    def _values(self, field: Field, column: FieldColumns, count: int) -> Values:
        if field.kind == Kind.PRODUCT:
            return self.products(column.symbols, count)
        if field.kind == Kind.CHOICE:
            return self.taken(column.choices, count)
        if field.kind != Kind.NUMBER:
            return self.taken(column.integers, count)
        if len(column.floats):
            return to_floats(self.taken(column.floats, count), nullable=field.nullable)
        return to_decimals(column.integers[:count], column.scales[:count])

    def mentions(self, shape: Shape, index: int) -> list[tuple[Int32s, Int32s]]:
        """Return messages and the products that they name: by their events where these name one, else by their rows."""
        columns, work = self._workspace.shapes[index], self._workspace
        events, rows = (work.shape_count(slot, index) for slot in (kernel.N_EVENTS, kernel.N_ROWS))
        return [
            (message[:count], self.products(column.symbols, count))
            for declared, found, message, count in (
                (shape.event, columns.event, columns.event_message, events),
                (shape.row, columns.row, columns.message, rows),
            )
            for field, column in zip(declared, found, strict=True)
            if field.kind == Kind.PRODUCT
        ]


def strict_fields(
    rows: Sequence[StrictRow], shape: Shape, *, code: Callable[[str], int], numbers: Numbers, exact: bool
) -> tuple[Int32s, Int32s, Int32s, dict[str, Values]]:
    """Return the same as `Scanned.rows` for rows that came from the strict parser."""
    order = np.array([row[:3] for row in rows], np.int32).reshape(len(rows), 3)
    fields: dict[str, Values] = {}
    for part, declared in ((3, shape.event), (4, shape.row)):
        for k, field in enumerate(declared):
            if field.kind != Kind.ANY:
                values: list[Value] = [row[part][k] for row in rows]  # type: ignore[index]
                fields[field.key] = _column(field, values, code, numbers)
                if field.exact and exact:
                    fields[field.key + UNSCALED], fields[field.key + SCALE] = _exact(values)
    return order[:, 0], order[:, 1], order[:, 2], fields


def _column(field: Field, values: list[Value], code: Callable[[str], int], numbers: Numbers) -> Values:
    if field.kind == Kind.NUMBER:
        if field.exact and numbers == "float64":
            values = [None if value is None else float(value) for value in values]
        return pa.array(values, Column(field.key, NUMBER, "").arrow_type(numbers))
    if field.kind == Kind.TEXT:
        return pa.array(values, pa.string())
    if field.kind == Kind.CHOICE:
        return np.array([-1 if value is None else value for value in values], np.int8)
    if field.kind == Kind.PRODUCT:
        return np.array([code(str(value)) for value in values], np.int32)
    return np.array(values, np.int64)


def _exact(values: Sequence[Value]) -> tuple[Int64s, npt.NDArray[np.int8]]:
    """Return decimals as integers and scales; null is (0, -1)."""
    pairs = [(0, -1) if value is None else _unscaled(Decimal(value)) for value in values]
    return np.array([value for value, _ in pairs], np.int64), np.array([scale for _, scale in pairs], np.int8)


def _unscaled(value: Decimal) -> tuple[int, int]:
    exponent = value.as_tuple().exponent
    scale = max(0, -exponent) if isinstance(exponent, int) else 0
    return int(value.scaleb(scale)), scale


def merge_rows(
    messages: Messages,
    symbols: tuple[str, ...],
    numbers: Numbers,
    parts: Sequence[tuple[Int32s, Int32s, Int32s, dict[str, Values]]],
) -> Rows:
    """Return the rows of all parts in arrival order."""
    fields = {key: _concatenate([part[3][key] for part in parts]) for key in parts[0][3]}
    message, event_index, row_index = (np.concatenate([part[k] for part in parts]) for k in range(3))
    rows = Rows(messages, symbols, message, event_index, row_index, fields, numbers)
    if len(parts) == 1:
        return rows
    # Each part is in arrival order and a message is in one part only, so sorting by message keeps rows in order.
    return rows.take(np.argsort(message, kind="stable"))


def _concatenate(parts: list[Values]) -> Values:
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], pa.Array):
        return pa.concat_arrays(parts)
    return np.concatenate(parts)
