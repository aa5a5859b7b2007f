"""Records as JSON, on disk and on their way through Ray: never pickled, always checked when they are read."""

from __future__ import annotations

import zlib
from contextlib import suppress
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


def pack(record: object) -> bytes:
    """Write a record as compressed JSON, which `from_json` reads as well: for what many of are kept in memory."""
    return pack_json(to_json(record))


def pack_json(text: bytes) -> bytes:
    """Pack what `to_json` wrote."""
    return zlib.compress(text, 1)


def from_json(kind: type[Record], text: bytes, place: str = "a record") -> Record:
    """Read what `to_json` wrote; `place` names it if it is damaged."""
    with suppress(zlib.error):  # what is no JSON either is told below
        text = text if text.startswith(b"{") else zlib.decompress(text)
    try:
        return cast(Record, _adapter(kind).validate_json(text))
    except ValidationError as error:
        first = error.errors()[0]
        found = f"{first['msg']} at {'.'.join(str(part) for part in first['loc'])}"
        raise StorageError(f"{place}: expected a {kind.__name__} as JSON, found: {found}") from None
