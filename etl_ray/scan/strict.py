"""The strict parser: one line at a time, and the only judge of what is valid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import orjson

from etl_ray.scan.values import BadValueError, Value, integer, read_field, show, show_key, time_ns
from etl_ray.tables.schema import Numbers
from etl_ray.venues.rows import NULL
from etl_ray.venues.shapes import Field, Kind, Shape, Venue

_ENVELOPE_KEYS = frozenset({"capture_ts", "data", "metadata"})
_MESSAGE_KEYS = frozenset({"channel", "client_id", "timestamp", "sequence_num", "events"})
MAX_ERROR_CHARS = 4096


class RejectedLineError(Exception):
    """A line that is not a valid message, with the `reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class PublicMessage:
    """A valid message of a public channel; `rows` holds (event_index, row_index, event values, row values)."""

    channel: str
    shape: Shape
    sequence_num: int
    ts_server: int
    ts_capture: int
    product: str | None
    mentions: frozenset[str]
    rows: list[tuple[int, int, tuple[Value, ...], tuple[Value, ...]]]
    unknown_keys: int


@dataclass(frozen=True)
class PrivateMessage:
    """A message of a private channel: nothing of its content is kept. `sequence_num` is None if it is not valid."""

    channel: str
    sequence_num: int | None


@dataclass(frozen=True)
class VenueError:
    """An error message of the venue."""

    message: str | None
    ts_capture: int
    unknown_keys: int


def parse_line(raw: bytes, venue: Venue, numbers: Numbers) -> PublicMessage | PrivateMessage | VenueError:
    """Parse one line that is not blank; raise RejectedLineError if it is not valid."""
    try:
        top = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise RejectedLineError(_not_json(raw, error)) from None
    if not isinstance(top, dict):
        raise RejectedLineError(f"expected a JSON object, found {_sort_of(top)}")
    try:
        enveloped = "data" in top and "channel" not in top
        message = _object(top["data"], "data") if enveloped else top
        named = message.get("channel")
        channel = named if isinstance(named, str) else None
        if channel in venue.private_channels:
            return _private(message, channel)
        extra = sum(key not in _ENVELOPE_KEYS for key in top) if enveloped else 0
        capture = top.get("capture_ts") if enveloped else None
        ts_capture = NULL if capture in (None, "") else _time_at("capture_ts", capture, nullable=True)
        if "channel" not in message and message.get("type") == "error":
            return _venue_error(message, ts_capture, extra)
        return _public(message, channel, ts_capture, extra, venue, numbers)
    except BadValueError as error:
        raise RejectedLineError(str(error)) from None


def _not_json(raw: bytes, error: orjson.JSONDecodeError) -> str:
    """Say what is wrong at which byte: orjson counts characters, and none where bytes are not UTF-8."""
    try:
        at, problem = len(raw.decode()[: error.pos].encode()), error.msg
    except UnicodeDecodeError as bad:
        at, problem = bad.start, f"expected UTF-8, found 0x{raw[bad.start]:02x}"
    return f"not JSON: {problem} (byte {at:,} of the line)"


def _private(message: Mapping[str, object], channel: str) -> PrivateMessage:
    try:
        return PrivateMessage(channel, integer(message.get("sequence_num")))
    except BadValueError:
        return PrivateMessage(channel, None)


def _venue_error(message: Mapping[str, object], ts_capture: int, extra: int) -> VenueError:
    words = message.get("message")
    if words is not None and not isinstance(words, str):
        raise BadValueError(f"message: expected a string, found {show(words)}")
    extra += sum(key not in ("type", "message") for key in message)
    return VenueError(words[:MAX_ERROR_CHARS] if words else None, ts_capture, extra)


def _public(
    message: Mapping[str, object], channel: str | None, ts_capture: int, extra: int, venue: Venue, numbers: Numbers
) -> PublicMessage:
    shape = venue.shape_of(channel) if channel is not None else None
    if channel is None or shape is None:
        raise BadValueError(
            f"channel: expected one of {', '.join(venue.channels)}, found {show(message.get('channel'))}"
        )
    ts_server = _time_at("timestamp", message.get("timestamp"), nullable=False)
    try:
        sequence_num = integer(message.get("sequence_num"))
    except BadValueError as error:
        raise BadValueError(f"sequence_num: {error}") from None
    extra += sum(key not in _MESSAGE_KEYS for key in message)
    product: str | None = None
    mentions: set[str] = set()
    rows: list[tuple[int, int, tuple[Value, ...], tuple[Value, ...]]] = []
    for event_index, event in enumerate(_list(message.get("events"), "events")):
        place = f"events[{event_index}]"
        event_values, found, unknown = _event(_object(event, place), place, shape, numbers)
        extra += unknown
        named = _products(shape.event, [event_values]) or _products(shape.row, found)
        product = product if product is not None or not named else named[0]
        mentions.update(named)
        rows += [(event_index, row_index, event_values, row) for row_index, row in enumerate(found)]
    return PublicMessage(channel, shape, sequence_num, ts_server, ts_capture, product, frozenset(mentions), rows, extra)


def _event(
    event: Mapping[str, object], place: str, shape: Shape, numbers: Numbers
) -> tuple[tuple[Value, ...], list[tuple[Value, ...]], int]:
    """Return the event's values, its rows and the number of its unknown keys."""
    if shape.map_rows_key is not None:
        listed = _object(event.get(shape.map_rows_key), f"{place}.{shape.map_rows_key}")
        return (), _map_rows(listed, f"{place}.{shape.map_rows_key}"), len(event) - 1
    event_values, unknown = _values(event, place, shape.event, numbers)
    if shape.rows_key is None:
        row, _ = _values(event, place, shape.row, numbers)
        return event_values, [row], unknown - sum(field.key in event for field in shape.row)
    rows: list[tuple[Value, ...]] = []
    for index, item in enumerate(_list(event.get(shape.rows_key), f"{place}.{shape.rows_key}")):
        item_place = f"{place}.{shape.rows_key}[{index}]"
        row, extra = _values(_object(item, item_place), item_place, shape.row, numbers)
        unknown += extra
        rows.append(row)
    if not rows and shape.empty_snapshot_row and event.get("type") == "snapshot":
        rows = [tuple(NULL if field.nullable else None for field in shape.row)]
    return event_values, rows, unknown - 1


def _values(
    item: Mapping[str, object], place: str, fields: tuple[Field, ...], numbers: Numbers
) -> tuple[tuple[Value, ...], int]:
    """Return the values of `fields` in `item`, and how many keys `item` has beside them."""
    values: list[Value] = []
    known = 0
    for field in fields:
        known += field.key in item
        try:
            values.append(read_field(field, item.get(field.key), numbers))
        except BadValueError as error:
            raise BadValueError(f"{place}.{field.key}: {error}") from None
    return tuple(values), len(item) - known


def _map_rows(listed: Mapping[str, object], place: str) -> list[tuple[Value, ...]]:
    rows: list[tuple[Value, ...]] = []
    for name, entries in listed.items():
        words = _list(entries, f"{place}.{show_key(name)}")
        for index, word in enumerate(words):
            if not isinstance(word, str):
                raise BadValueError(f"{place}.{show_key(name)}[{index}]: expected a string, found {show(word)}")
            rows.append((name, word))
        if not words:
            rows.append((name, None))
    return rows or [(None, None)]


def _products(fields: tuple[Field, ...], rows: list[tuple[Value, ...]]) -> list[str]:
    at = next((index for index, field in enumerate(fields) if field.kind == Kind.PRODUCT), None)
    return [] if at is None else [cast(str, row[at]) for row in rows]


def _time_at(place: str, value: object, *, nullable: bool) -> int:
    try:
        return time_ns(value, nullable=nullable)
    except BadValueError as error:
        raise BadValueError(f"{place}: {error}") from None


def _object(value: object, place: str) -> Mapping[str, object]:
    if isinstance(value, dict):
        return value
    raise BadValueError(f"{place}: expected an object, found {_sort_of(value)}")


def _list(value: object, place: str) -> list[object]:
    if isinstance(value, list):
        return value
    raise BadValueError(f"{place}: expected a list, found {_sort_of(value)}")


def _sort_of(value: object) -> str:
    """Name the JSON type of a value: what stands where a structure was expected might be private."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "nothing"}
    return names.get(type(value), "a number")
