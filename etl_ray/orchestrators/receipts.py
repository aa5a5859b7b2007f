"""What work says when it is done: a unit's account of lines, where what it has staged is, and final files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class TradeIds:
    """The least and the greatest trade_id of some rows, and the least of those that came in updates (None: none)."""

    least: int
    greatest: int
    least_update: int | None


@dataclass(frozen=True)
class StagedGroup:
    """A row group of a staged file: the rows of one partition, in arrival order; of trades with their ids."""

    partition: tuple[str, ...]
    rows: int
    ids: TradeIds | None = None


@dataclass(frozen=True)
class StagedFile:
    """The staged rows of one table, with others in a file of `bytes` at `path` below the staging directory."""

    table: str
    path: str
    bytes: int
    groups: tuple[StagedGroup, ...]


@dataclass(frozen=True)
class NumberedFile:
    """Where the numbers of a unit's messages are, below the staging directory; their products index `symbols`."""

    path: str
    bytes: int
    symbols: tuple[str, ...]


@dataclass(frozen=True)
class BookReceipt:
    """A product of a unit: its scales there, and its greatest values at these.

    `overflow`: its values do not fit integers of 64 bits at any scale that holds them all.
    """

    product: str
    price_scale: int
    quantity_scale: int
    price_max: int
    quantity_max: int
    overflow: bool


@dataclass(frozen=True)
class BookFiles:
    """What a unit has staged for books: sizes in bytes by path below the staging directory, and the products."""

    sizes: dict[str, int]
    products: tuple[BookReceipt, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """The account of lines: lines = accepted + ignored + out_of_range + blank + rejects. `bytes` are unpacked ones."""

    lines: int = 0
    bytes: int = 0
    accepted: int = 0
    ignored: int = 0
    out_of_range: int = 0
    blank: int = 0
    rejects: int = 0
    slow_lines: int = 0
    unknown_keys: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, item.name) + getattr(other, item.name) for item in fields(self)))

    def check(self, place: str) -> None:
        """Raise AssertionError if a line was lost or counted twice: that would be a defect of this program."""
        told = self.accepted + self.ignored + self.out_of_range + self.blank + self.rejects
        if told != self.lines:
            raise AssertionError(f"{place}: {self.lines} lines were read, but {told} accounted for: {self}")


def sum_counts(found: Iterable[Counts]) -> Counts:
    """Add up accounts."""
    names = [item.name for item in fields(Counts)]
    totals = dict.fromkeys(names, 0)
    for counts in found:
        for name in names:
            totals[name] += getattr(counts, name)
    return Counts(**totals)


@dataclass(frozen=True, slots=True)
class FirstReject:
    """The first rejected line of a unit, its number counted from the unit's beginning, and why it was rejected."""

    line: int
    reason: str


@dataclass(frozen=True)
class Receipt:
    """What became of one unit. `damage` says where and why reading ended early, if it did.

    `numbered` holds the numbers of its messages, `files` their rows; `first_reject` is an example of what was rejected.
    `book` is what was staged for books, None where none are asked for. `ts_min` and `ts_max` are the least and the
    greatest ts_server of its messages (ns, None: none has one).
    """

    unit: str
    counts: Counts
    messages: Mapping[str, int]
    numbered: NumberedFile
    files: tuple[StagedFile, ...]
    damage: str | None
    first_reject: FirstReject | None = None
    book: BookFiles | None = None
    ts_min: int | None = None
    ts_max: int | None = None


@dataclass(frozen=True, slots=True)
class BuiltFile:
    """A final file, by its path below the output; `bytes` is its size. No file is written for no rows.

    `ts_min` and `ts_max` are the least and the greatest time of its rows (ns UTC), None where they have none.
    """

    table: str
    path: str
    rows: int
    bytes: int
    sha256: str
    ts_min: int | None
    ts_max: int | None


@dataclass(frozen=True, slots=True)
class Pieces:
    """How many staged files there are of a unit, and their size in bytes."""

    files: int = 0
    bytes: int = 0

    def __add__(self, other: Pieces) -> Pieces:
        return Pieces(self.files + other.files, self.bytes + other.bytes)


@dataclass(frozen=True, slots=True)
class UnitFacts:
    """What a run asks of every receipt: fields of `Receipt`, and its pieces: those always kept, and the others."""

    counts: Counts
    messages: Mapping[str, int]
    damage: str | None
    first_reject: FirstReject | None
    ts_min: int | None
    ts_max: int | None
    kept: Pieces
    prunable: Pieces


@dataclass(frozen=True)
class Built:
    """The final files that came of an item of work."""

    files: tuple[BuiltFile, ...]
