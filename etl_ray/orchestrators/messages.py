"""Records as JSON, on disk and on their way through Ray: never pickled, always checked when they are read."""

from __future__ import annotations

from typing import TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from etl_ray.errors import StorageError

Record = TypeVar("Record")


_adapters: dict[type, TypeAdapter[object]] = {}


def _adapter(kind: type) -> TypeAdapter[object]:
    if kind not in _adapters:  # building one takes milliseconds
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def to_json(record: object) -> bytes:
    """Write a frozen dataclass; the same bytes for the same record."""
    return _adapter(type(record)).dump_json(record)


def from_json(kind: type[Record], text: bytes, place: str = "a record") -> Record:
    """Read what `to_json` wrote; `place` names it if it is damaged."""
    try:
        return cast(Record, _adapter(kind).validate_json(text))
    except ValidationError as error:
        first = error.errors()[0]
        found = f"{first['msg']} at {'.'.join(str(part) for part in first['loc'])}"
        raise StorageError(f"{place}: expected a {kind.__name__} as JSON, found: {found}") from None
