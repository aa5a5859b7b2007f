"""What is built into final files: staged row groups, by where they stand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """A staged file: its unit's segment, the number of lines before the unit, and the connections of the unit.

    `assignment` is where, below the staging directory, the index of each message's connection stands as int32; without
    it all messages are of the one connection.
    """

    path: str
    segment: str
    line_offset: int
    connections: tuple[str, ...]
    assignment: str | None


@dataclass(frozen=True)
class Piece:
    """A row group of a source, both by index."""

    source: int
    group: int


@dataclass(frozen=True)
class Shard:
    """One final file: the rows of `pieces`, in this order, go to `path` below OUTPUT."""

    table: str
    path: str
    partition_cols: tuple[str, ...]
    partition: tuple[str, ...]
    rows: int
    sources: tuple[Source, ...]
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class PackedShard:
    """A Shard, packed, and its rows."""

    packed: bytes
    rows: int
