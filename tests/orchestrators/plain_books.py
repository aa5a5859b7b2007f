"""Books at any instant the plain way: all rows of `level2`, one after the other, into dictionaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby

from etl_ray import BookAt
from tests.coverage.job import JobTables, Row

Side = dict[Decimal, Decimal]
Place = tuple[str, int]


@dataclass(frozen=True)
class PlainMessage:
    """A message with rows of the product, and the book of its connection behind it, best levels first."""

    place: Place
    ts_server: int
    sequence_num: int
    connection_id: str
    bids: list[tuple[Decimal, Decimal]]
    asks: list[tuple[Decimal, Decimal]]


@dataclass(frozen=True)
class PlainBooks:
    """The messages and tiles of a product in arrival order."""

    messages: list[PlainMessage]
    tiles: list[Row]

    @classmethod
    def of(cls, tables: JobTables, product: str, *, every: int = 1) -> PlainBooks:
        """Replay a product; only of each `every`-th message the book is kept."""
        rows = [row for row in tables.rows("level2") if row["product_id"] == product]
        rows.sort(key=lambda row: (*_place(row), row["event_index"], row["row_index"]))
        tiles = [row for row in tables.coverage if (row["channel"], row["product_id"]) == ("level2", product)]
        return cls(list(_messages(rows, every)), tiles)

    def last_sent_by(self, ts: int, connection: object) -> PlainMessage | None:
        mine = [item for item in self.messages if item.connection_id == connection and item.ts_server <= ts]
        return mine[-1] if mine else None

    def tile_at(self, ts: int, place: Place = ("", 0)) -> Row | None:
        """Return the last tile in arrival order that begins by `ts`, or by the place."""
        begun = [
            tile
            for tile in self.tiles
            if tile["ts_start"] <= ts or (tile["segment_start"], tile["line_start"]) <= place
        ]
        return begun[-1] if begun else None

    def check(self, found: BookAt) -> None:
        """Hold a book to what it should be."""
        if found.ts > max(tile["ts_end"] for tile in self.tiles):
            assert (found.book_state, found.bids, found.asks) == ("no_data", (), ())
            return
        tile = self.tile_at(found.ts)
        message = None
        if tile is not None and tile["connection_id"] is not None:
            message = self.last_sent_by(found.ts, tile["connection_id"])
            if message is not None:
                tile = self.tile_at(found.ts, message.place)
                message = self.last_sent_by(found.ts, tile["connection_id"])
        if tile is None:
            tile = {"state": "no_data", "cause": "start", "connection_id": None}
        assert (found.book_state, found.cause, found.connection_id) == (
            tile["state"],
            tile["cause"],
            tile["connection_id"],
        )
        assert (found.segment, found.line, found.ts_server, found.sequence_num) == (
            (*message.place, message.ts_server, message.sequence_num) if message else (None,) * 4
        )
        assert list(found.bids) == (message.bids if message else [])
        assert list(found.asks) == (message.asks if message else [])


def _messages(rows: Sequence[Row], every: int) -> list[PlainMessage]:
    books: dict[object, dict[object, Side]] = {}
    found = []
    for number, (place, message) in enumerate(groupby(rows, key=_place)):
        for row in message:
            book = books.setdefault(row["connection_id"], {"bid": {}, "ask": {}})
            if row["is_snapshot"] and row["row_index"] == 0:
                book["bid"].clear()
                book["ask"].clear()
            if row["side"] is None:
                continue
            side, price, quantity = book[row["side"]], _decimal(row["price"]), _decimal(row["quantity"])
            side.pop(price, None)
            if quantity:
                side[price] = quantity
        kept = number % every == 0
        found.append(
            PlainMessage(
                place,
                row["ts_server"],
                row["sequence_num"],
                row["connection_id"],
                sorted(book["bid"].items(), reverse=True) if kept else [],
                sorted(book["ask"].items()) if kept else [],
            )
        )
    return found


def times_around(books: PlainBooks) -> list[int]:
    """Return all instants at which something may change, and those beside them."""
    edges = {ts for tile in books.tiles for ts in (tile["ts_start"], tile["ts_end"])}
    edges |= {message.ts_server for message in books.messages}
    return sorted({ts + step for ts in edges for step in (-1, 0, 1)})


def _place(row: Row) -> Place:
    return row["segment"], row["line"]


def _decimal(value: object) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(repr(value))
