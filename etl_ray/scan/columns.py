"""Rows as columns, from either side: what the kernel scanned, and what the strict parser returned line by line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from etl_ray.scan import kernel
from etl_ray.scan.numbers import to_numbers
from etl_ray.scan.plan import Workspace
from etl_ray.scan.values import Value
from etl_ray.tables.schema import NUMBER, Column, Numbers
from etl_ray.venues.rows import SCALE, UNSCALED, Int32s, Int64s, Messages, Rows
from etl_ray.venues.shapes import Field, Kind, Shape

Values: TypeAlias = npt.NDArray[np.generic] | pa.Array
StrictRow: TypeAlias = tuple[int, int, int, tuple[Value, ...], tuple[Value, ...]]
"""Message, event_index, row_index, event values, row values."""


def scanned_fields(
    workspace: Workspace, shape: Shape, index: int, *, codes: Int32s, numbers: Numbers
) -> tuple[Int32s, Int32s, Int32s, dict[str, Values]]:
    """Return message, event_index, row_index and fields of the rows that the kernel found for a shape.

    `index` is the shape's number in the kernel, `codes` turns its symbols into those of the unit.
    """
    n_events, n_rows = workspace.shape_count(kernel.N_EVENTS, index), workspace.shape_count(kernel.N_ROWS, index)
    events = workspace.events[index][:, :n_events]
    row_event = workspace.row_event[index][:n_rows]
    fields: dict[str, Values] = {}
    for k, field in enumerate(shape.event):
        fields[field.key] = _narrow(field, events[kernel.E_FIELDS + k], codes)[row_event]
    for k, field in enumerate(shape.row):
        values, scales = workspace.values[index][k, :n_rows], workspace.scales[index][k, :n_rows]
        if field.kind == Kind.NUMBER:
            fields[field.key] = to_numbers(values, scales, numbers)
            if field.exact:
                fields[field.key + UNSCALED], fields[field.key + SCALE] = values.copy(), scales.copy()
        elif field.kind != Kind.ANY:
            fields[field.key] = _narrow(field, values, codes)
    row_index = np.arange(n_rows, dtype=np.int32) - events[kernel.E_FIRST_ROW].astype(np.int32)[row_event]
    message = events[kernel.E_MESSAGE].astype(np.int32)[row_event]
    return message, events[kernel.E_INDEX].astype(np.int32)[row_event], row_index, fields


def _narrow(field: Field, values: Int64s, codes: Int32s) -> npt.NDArray[np.generic]:
    """Return a copy of scanned values in their own width; the workspace is used again."""
    if field.kind == Kind.PRODUCT:
        return codes[values]
    if field.kind == Kind.CHOICE:
        return values.astype(np.int8)
    return values.copy()


def strict_fields(
    rows: Sequence[StrictRow], shape: Shape, *, code: Callable[[str], int], numbers: Numbers
) -> tuple[Int32s, Int32s, Int32s, dict[str, Values]]:
    """Return the same as `scanned_fields` for rows that came from the strict parser."""
    order = np.array([row[:3] for row in rows], np.int32).reshape(len(rows), 3)
    fields: dict[str, Values] = {}
    for part, declared in ((3, shape.event), (4, shape.row)):
        for k, field in enumerate(declared):
            if field.kind != Kind.ANY:
                values: list[Value] = [row[part][k] for row in rows]  # type: ignore[index]
                fields[field.key] = _column(field, values, code, numbers)
                if field.exact:
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
