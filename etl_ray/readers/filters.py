"""Filters on columns: (column, op, value), joined by "and", with one meaning in Arrow and in Polars.

A null matches nothing, not even `!=`; a NaN matches `!=` only.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import reduce
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from etl_ray.config.sections import suggest
from etl_ray.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl

Filter = tuple[str, str, object]
"""A column, one of OPERATORS, and a value (for `in`: a list, tuple or set of values).

Times may be given as text (RFC 3339), as datetime or as the integer of the column's unit; a date means 00:00 UTC.
"""

_COMPARE: dict[str, Callable[[pa.Array, pa.Scalar], pa.Array]] = {
    "==": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
_EXPRESS: dict[str, Callable[[pc.Expression, pa.Scalar], pc.Expression]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
OPERATORS = (*_COMPARE, "in")
_UNORDERED_OPERATORS = ("==", "!=", "in")
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_COMPARABLE = (
    pat.is_boolean,
    pat.is_integer,
    pat.is_floating,
    pat.is_decimal,
    pat.is_temporal,
    pat.is_string,
    pat.is_large_string,
    pat.is_binary,
    pat.is_large_binary,
)
_EXAMPLE = "for example [('product_id', '==', 'BTC-USD'), ('ts_server', '>=', '2025-11-26T14:00:00Z')]"


@dataclass(frozen=True)
class Condition:
    """A filter on a column that exists; `values` is an Arrow array of the column's type: one, or those of `in`."""

    column: str
    op: str
    values: pa.Array


def check_form(filters: object) -> tuple[Filter, ...]:
    """Return the filters, or raise ConfigError if one does not have the form (column, op, value)."""
    if isinstance(filters, str) or not isinstance(filters, Sequence):
        raise ConfigError(f"filters: expected a list of (column, op, value), {_EXAMPLE}; found {filters!r}")
    for item in filters:
        if not isinstance(item, tuple | list) or len(item) != 3 or not isinstance(item[0], str):
            raise ConfigError(f"filters: expected (column, op, value), {_EXAMPLE}; found {item!r}")
        column, op, value = item
        if op not in OPERATORS:
            raise ConfigError(f"filter on {column!r}: unknown op {op!r}; known: {', '.join(OPERATORS)}")
        if op == "in" and (isinstance(value, str | bytes) or not isinstance(value, Collection)):
            raise ConfigError(f"filter on {column!r}: `in` expects a list, tuple or set of values; found {value!r}")
    return tuple((column, op, value) for column, op, value in filters)


def bind(filters: Sequence[Filter], schema: pa.Schema) -> tuple[Condition, ...]:
    """Give the values the types of their columns; ConfigError if a column or value does not fit."""
    return tuple(_bind(item, schema) for item in filters)


def _bind(item: Filter, schema: pa.Schema) -> Condition:
    column, op, value = item
    if column not in schema.names:
        raise ConfigError(f"filter on unknown column {column!r}; {suggest(column, tuple(schema.names))}")
    kind = value_type(schema.field(column).type)
    if not any(fits(kind) for fits in _COMPARABLE):
        raise ConfigError(f"filter on {column!r}: columns of type {kind} cannot be filtered")
    if pat.is_boolean(kind) and op not in _UNORDERED_OPERATORS:
        raise ConfigError(f"filter on {column!r}: booleans have no order; expected one of ==, !=, in; found {op}")
    found = list(value) if op == "in" and isinstance(value, Collection) else [value]
    values = [_typed(one, kind, column=column) for one in found]
    if op == "in" and pat.is_floating(kind) and any(one.as_py() == 0 for one in values):
        # Sets know two zeros; comparisons, and so `in`, know one.
        values += [pa.scalar(0.0, kind), pa.scalar(-0.0, kind)]
    return Condition(column, op, pa.array(values, kind))


def _typed(value: object, kind: pa.DataType, *, column: str) -> pa.Scalar:
    wrong = f"filter on {column!r}: expected a value of type {kind}, found {value!r}"
    if value is None:
        raise ConfigError(f"{wrong}; a null matches nothing")
    if isinstance(value, float) and math.isnan(value):
        raise ConfigError(f"{wrong}; NaN is equal to nothing")
    # Arrow would cut these off without a word.
    cut = (isinstance(value, float) and pat.is_integer(kind)) or (isinstance(value, datetime) and pat.is_date(kind))
    if cut or isinstance(value, bool) != pat.is_boolean(kind):
        raise ConfigError(wrong)
    try:
        return _convert(value, kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"{wrong}: {error}") from None


def _convert(value: object, kind: pa.DataType) -> pa.Scalar:
    day = isinstance(value, date) and not isinstance(value, datetime)
    if pat.is_timestamp(kind) and (day or (isinstance(value, str) and _DAY.fullmatch(value))):
        return pa.scalar(str(value)).cast(pa.date32()).cast(pa.timestamp(kind.unit)).cast(kind)
    if isinstance(value, str) and (pat.is_temporal(kind) or pat.is_decimal(kind)):
        return pa.scalar(value).cast(kind)
    return pa.scalar(value, kind)


def value_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of a column's values, whether they stand in a dictionary or not."""
    return kind.value_type if pat.is_dictionary(kind) else kind


def may_hold(conditions: Sequence[Condition], path_values: Mapping[str, str | None]) -> bool:
    """Tell whether a file can hold matching rows, by what its path says of them; a path that says nothing may."""
    for condition in conditions:
        if condition.column not in path_values:
            continue
        text = path_values[condition.column]
        if text is None:
            return False
        try:
            value = pa.scalar(text).cast(condition.values.type)
        except pa.ArrowException:
            continue  # written in a way that we do not know: the rows decide
        if not _matches(condition, pa.array([value], value.type))[0].as_py():
            return False
    return True


def mask(conditions: Sequence[Condition], batch: pa.RecordBatch) -> pa.BooleanArray:
    """Say for each row whether it matches all conditions."""
    return reduce(pc.and_, (_matches(condition, batch.column(condition.column)) for condition in conditions))


def _matches(condition: Condition, column: pa.Array) -> pa.BooleanArray:
    dense = column.cast(condition.values.type)
    if condition.op == "in":
        return pc.is_in(dense, value_set=condition.values)
    return pc.fill_null(_COMPARE[condition.op](dense, condition.values[0]), False)


def arrow_expression(conditions: Sequence[Condition]) -> pc.Expression:
    """Return what statistics can tell of the conditions, as an Arrow expression to pass over row groups by."""
    return reduce(operator.and_, _arrow_terms(conditions), pc.scalar(True))


def _arrow_terms(conditions: Sequence[Condition]) -> Iterator[pc.Expression]:
    for condition in conditions:
        column = pc.field(condition.column)
        if condition.op == "!=" and pat.is_floating(condition.values.type):
            continue  # statistics leave out NaN, which is unequal to all
        if condition.op == "in":
            yield column.isin(condition.values)
        else:
            yield _EXPRESS[condition.op](column, condition.values[0])


def polars_expression(conditions: Sequence[Condition]) -> pl.Expr:
    """Return the conditions as a Polars expression that its scans can push down."""
    return reduce(operator.and_, (_polars_term(condition) for condition in conditions))


def _polars_term(condition: Condition) -> pl.Expr:
    import polars as pl

    column = pl.col(condition.column)
    values = pl.Series(condition.values)
    if condition.op == "in":
        return column.is_in(values.implode())
    if values.dtype.is_temporal():
        plain = values.to_physical()
        literal = pl.lit(plain[0], dtype=plain.dtype).cast(values.dtype)
    else:
        literal = pl.lit(values[0], dtype=values.dtype)
    term: pl.Expr = _EXPRESS[condition.op](column, literal)
    # Polars takes NaN for greater than everything.
    return term & column.is_not_nan() if values.dtype.is_float() and condition.op in (">", ">=") else term
