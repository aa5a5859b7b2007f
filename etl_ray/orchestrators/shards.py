"""What is built into final files: staged row groups, by where they stand."""

from __future__ import annotations

from dataclasses import dataclass

from etl_ray.orchestrators.messages import pack
from etl_ray.orchestrators.results import NO_CUT, Cut


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
    """A group of rows of the shard's table in a source, both by index."""

    source: int
    group: int


@dataclass(frozen=True)
class Shard:
    """One final file: the rows of `pieces`, in this order, go to the `number`-th file of `directory` below OUTPUT."""

    table: str
    directory: str
    number: int
    partition_cols: tuple[str, ...]
    partition: tuple[str, ...]
    rows: int
    sources: tuple[Source, ...]
    pieces: tuple[Piece, ...]

    @property
    def begin(self) -> str:
        """The first piece."""
        return self._id(self.pieces[0])

    @property
    def end(self) -> str:
        """The last piece."""
        return self._id(self.pieces[-1])

    def _id(self, piece: Piece) -> str:
        return piece_id(self.table, self.sources[piece.source].path, piece.group)


def piece_id(table: str, path: str, group: int) -> str:
    """Return what tells a group of staged rows from all others."""
    return f"{table}/{unit_of(path)}#{group}"


def unit_of(path: str) -> str:
    """Return the name of the unit that a staged file is of."""
    return path.rpartition("/")[2].rpartition(".")[0]


@dataclass(frozen=True)
class PackedShard:
    """A shard of some kind, packed, and its rows; `key`, `cut` and `number` as in `stages.Item`.

    `is_limited`: the range limits what is made of it, not only what was staged.
    """

    packed: bytes
    rows: int
    key: str
    cut: Cut = NO_CUT
    number: int | None = None
    is_limited: bool = False

    @staticmethod
    def of(record: object, rows: int, key: str, cut: Cut = NO_CUT, number: int | None = None) -> PackedShard:
        """Pack a record."""
        return PackedShard(pack(record), rows, key, cut, number)
