"""The words in which a venue file describes its messages: fields, shapes and the venue as a whole.

The strict parser interprets these declarations, and the compiled scanner is configured by them, so a message is
described in one place only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum

import pyarrow as pa

from etl_ray.venues.rows import Rows


class Kind(IntEnum):
    """How a JSON value is read; `docs/semantics.md` has the rule of each."""

    NUMBER = 0
    INTEGER = 1
    TIME = 2
    GO_TIME = 3
    EPOCH_SECONDS = 4
    CHOICE = 5
    PRODUCT = 6
    TEXT = 7
    ANY = 8


@dataclass(frozen=True)
class Field:
    """A key of a JSON object. `choices` are the words of a CHOICE, whose value is their position.

    `exact`: a NUMBER of at most 18 digits of which at most 18 are decimals, kept as an integer with a scale as well.
    """

    key: str
    kind: Kind
    nullable: bool = False
    signed: bool = False
    choices: tuple[str, ...] = ()
    exact: bool = False


@dataclass(frozen=True)
class Shape:
    """The events of one or more channels that go to one table.

    `event` are the fields of an event itself, `row` those of the objects in its list `rows_key`; without `rows_key`
    the event is the row. `empty_snapshot_row`: a snapshot without rows is a row of nulls. `map_rows_key`: the event
    holds an object of lists of strings under that key, one row per entry.
    """

    table: str
    channels: tuple[str, ...]
    row: tuple[Field, ...]
    event: tuple[Field, ...] = ()
    rows_key: str | None = None
    map_rows_key: str | None = None
    empty_snapshot_row: bool = False

    @property
    def scannable(self) -> bool:
        """Whether the compiled scanner can read this shape: it keeps no free text, and no numbers of events.

        Of its nulls it knows those of numbers and times.
        """
        return (
            self.map_rows_key is None
            and all(field.kind != Kind.TEXT for field in self.row + self.event)
            and all(field.kind in (Kind.NUMBER, Kind.TIME, Kind.GO_TIME) for field in self.row if field.nullable)
            and not any(field.kind == Kind.NUMBER or field.nullable for field in self.event)
        )


Assemble = Callable[[Rows], dict[str, pa.Array]]
"""Turns the rows of a shape into the columns of its table, but for those that only the whole run knows."""


@dataclass(frozen=True)
class Venue:
    """A venue: its message shapes, how its tables are made of them, and which channels are private."""

    name: str
    shapes: tuple[Shape, ...]
    assemble: Mapping[str, Assemble]
    private_channels: tuple[str, ...]

    @property
    def channels(self) -> tuple[str, ...]:
        """Public channels, as named on the wire, in the order of the shapes."""
        return tuple(channel for shape in self.shapes for channel in shape.channels)

    def shape_of(self, channel: str) -> Shape | None:
        """Return the shape of a wire channel, or None if the venue has no such public channel."""
        return next((shape for shape in self.shapes if channel in shape.channels), None)
