"""Hive directories for columns of any name and for values of the types that stand for themselves in a path."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import pyarrow as pa
import pyarrow.types as pat

from etl_ray.errors import SchemaError
from etl_ray.tables.partitions import NULL_VALUE, encode_value


def check_partition_type(name: str, kind: pa.DataType) -> None:
    """Raise SchemaError unless values of this type stand for themselves in a path."""
    values = kind.value_type if pat.is_dictionary(kind) else kind
    is_text = pat.is_string(values) or pat.is_large_string(values) or pat.is_string_view(values)
    if not (is_text or pat.is_integer(values) or pat.is_boolean(values) or pat.is_date(values)):
        raise SchemaError(
            f"cannot partition by column {name!r} of type {kind}: expected text, an integer, a boolean or a date"
        )


def partition_folder(columns: Sequence[str], values: Sequence[object]) -> str:
    """Return the directory of a partition below its table, spelled as in the job's own tables."""
    return "/".join(f"{_key(name)}={_value(name, value)}" for name, value in zip(columns, values, strict=True))


def _key(name: str) -> str:
    quoted = quote(name, safe=" ")
    return f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted  # names with a dot in front are passed over


def _value(name: str, value: object) -> str:
    if value is None:
        return NULL_VALUE
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return str(value)
    if value == NULL_VALUE:
        return f"%5F{value[1:]}"
    # The job's own word for a date that is not known; otherwise small letters are encoded.
    return value if name == "date" and value == "unknown" else encode_value(value)
