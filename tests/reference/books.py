"""The book after every message, and its state as it could be known then: State of a book in semantics.md.

Books are dicts of exact decimals, and every message looks at everything again.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from itertools import islice

from tests.reference.coverage import STATES, Crossing
from tests.reference.holes import Hole, find_holes
from tests.reference.messages import BookEvent, Row
from tests.reference.recording import Heard, Place, Recording
from tests.reference.values import NS_PER_SECOND, utc_date

_ALIVE_NS = 3 * NS_PER_SECOND

Level = tuple[Decimal, Decimal]
"""Price and quantity."""
Levels = tuple[Level, ...]
"""The best ones of a side, the best first."""
Features = dict[str, Fraction | None]


@dataclass
class Side:
    """The levels of one side: their quantities, and their prices from the lowest."""

    sizes: dict[Decimal, Decimal] = field(default_factory=dict)
    prices: list[Decimal] = field(default_factory=list)

    def set(self, price: Decimal, size: Decimal) -> None:
        """Set the quantity at a price; 0 removes it."""
        if self.sizes.pop(price, None) is not None:
            del self.prices[bisect.bisect_left(self.prices, price)]
        if size != 0:
            self.sizes[price] = size
            bisect.insort(self.prices, price)


@dataclass
class Book:
    """The book of one product on one connection."""

    connection: str
    began: int
    """Position of the connection's first message."""
    first: Heard
    """First message of the product, which may change nothing."""
    bids: Side = field(default_factory=Side)
    asks: Side = field(default_factory=Side)
    snapshot_at: int | None = None
    """Position of its latest snapshot."""
    latest: BookRow | None = None

    def apply(self, event: BookEvent) -> None:
        """Set the levels of an event; a snapshot replaces the whole book."""
        if event.is_snapshot:
            self.bids, self.asks = Side(), Side()
        for level in event.levels:
            (self.bids if level.side == "bid" else self.asks).set(level.price, level.quantity)

    def best_bids(self) -> Iterator[Level]:
        """Yield bids, the best first."""
        return ((price, self.bids.sizes[price]) for price in reversed(self.bids.prices))

    def best_asks(self) -> Iterator[Level]:
        """Yield asks, the best first."""
        return ((price, self.asks.sizes[price]) for price in self.asks.prices)

    def state(self, position: int, holes: list[Hole], *, trusts_beat: bool) -> str:
        """Return what can be known of it when the message at `position` has arrived, whether it is crossed or not."""
        if self.snapshot_at is None:
            return "no_snapshot"
        states = ["verified"]
        for hole in holes:
            if self.snapshot_at < hole.behind.position <= position:
                is_explained = hole.explained_at is not None and hole.explained_at <= position
                guessed = "verified" if trusts_beat or not hole.is_on_beat else "unverifiable"
                states.append(guessed if is_explained else "suspect")
        return max(states, key=STATES.index)


@dataclass(frozen=True)
class BookRow:
    """The book of a connection after a message."""

    product_id: str
    heard: Heard
    state: str
    bids: Levels
    asks: Levels
    ts_event: int | None
    ts_align: int
    n_updates: int
    is_snapshot: bool
    before: BookRow | None = field(repr=False, compare=False)
    """After the product's message before it on the same connection."""
    is_published: bool
    features: Features
    """What was measured of the whole book."""

    @property
    def clock(self) -> int:
        """Return the time of its message: of the event, or else of the server."""
        clock = self.heard.message.ts_server if self.ts_event is None else self.ts_event
        assert clock is not None  # book events are never private
        return clock

    @property
    def place(self) -> Place:
        return self.heard.place

    @property
    def is_crossed(self) -> bool:
        return bool(self.bids and self.asks) and self.bids[0][0] > self.asks[0][0]

    def as_dict(self, depth: int) -> Row:
        """Return it as a row of `book`."""
        message = self.heard.message
        row: Row = {
            "product_id": self.product_id,
            "date": utc_date(self.heard.ts_server or 0),
            "ts_event": self.ts_event,
            "ts_server": message.ts_server,
            "ts_capture": message.ts_capture,
            "ts_align": self.ts_align,
            "ts_available": message.ts_server if message.ts_capture is None else message.ts_capture,
            "sequence_num": message.sequence_num,
            "book_state": self.state,
            "crossed": self.is_crossed,
            "locked": bool(self.bids and self.asks) and self.bids[0][0] == self.asks[0][0],
            "n_updates": self.n_updates,
            "is_snapshot": self.is_snapshot,
            "connection_id": self.heard.connection,
            "segment": self.place[0],
            "line": self.place[1],
        }
        for side, levels in (("bid", self.bids), ("ask", self.asks)):
            for level in range(depth):
                price, size = levels[level] if level < len(levels) else (None, None)
                row[f"{side}_price_{level}"], row[f"{side}_size_{level}"] = price, size
        return row


def book_rows(
    recording: Recording,
    *,
    depth: int,
    trusts_beat: bool = False,
    measure: Callable[[Book], Features] | None = None,
) -> list[BookRow]:
    """Return the books of all connections after every message, products of a message in the order of its events.

    They have `depth` levels, which is at least 1. `measure` is asked for features of every whole book.
    """
    return _Books(recording, depth=depth, trusts_beat=trusts_beat, measure=measure).rows()


def crossings(recording: Recording, rows: list[BookRow]) -> list[Crossing]:
    """Return where published books are crossed: to the next published row of the product."""
    of_products = defaultdict(list)
    for row in rows:
        if row.is_published:
            of_products[row.product_id].append(row)
    found = []
    for product_id, mine in of_products.items():
        ends = [row.heard.position for row in mine[1:]] + [len(recording.messages)]
        for row, end in zip(mine, ends, strict=True):
            if row.is_crossed:
                found.append(Crossing(product_id, row.heard.position, end))
    return found


class _Books:
    def __init__(
        self,
        recording: Recording,
        *,
        depth: int,
        trusts_beat: bool,
        measure: Callable[[Book], Features] | None,
    ) -> None:
        self._measure = measure
        self._recording = recording
        self._depth = depth
        self._trusts_beat = trusts_beat
        self._holes = find_holes(recording)
        self._began = {name: messages[0].position for name, messages in recording.connections.items()}
        self._latest: dict[str, Heard] = {}
        self._books: dict[str, dict[str, Book]] = defaultdict(dict)  # by product, by connection

    def rows(self) -> list[BookRow]:
        rows = []
        for heard in self._recording.messages:
            self._latest[heard.connection] = heard
            for channel, product_id in heard.carries():
                if channel == "level2" and heard.connection not in self._books[product_id]:
                    began = self._began[heard.connection]
                    self._books[product_id][heard.connection] = Book(heard.connection, began, heard)
            events: dict[str, list[BookEvent]] = defaultdict(list)
            for event in heard.message.book_events:
                if event.levels or event.is_snapshot:
                    events[event.product_id].append(event)
            for product_id, mine in events.items():
                rows.append(self._apply(heard, product_id, mine))
        return rows

    def _apply(self, heard: Heard, product_id: str, events: list[BookEvent]) -> BookRow:
        books = self._books[product_id]
        book = books[heard.connection]
        is_snapshot = any(event.is_snapshot for event in events)
        for event in events:
            book.apply(event)
        if is_snapshot:
            book.snapshot_at = heard.position
        times = [level.ts_event for event in events for level in event.levels if level.ts_event is not None]
        ts_event = max(times, default=None)
        ts_server = heard.message.ts_server
        assert ts_server is not None  # book events are never private
        clock = ts_server if ts_event is None else ts_event
        bids, asks = (tuple(islice(side, self._depth)) for side in (book.best_bids(), book.best_asks()))
        is_crossed = bool(bids and asks) and bids[0][0] > asks[0][0]
        states = [self._state(book, heard), *(["suspect"] if is_crossed else [])]
        book.latest = BookRow(
            product_id=product_id,
            heard=heard,
            state=max(states, key=STATES.index),
            bids=bids,
            asks=asks,
            ts_event=ts_event,
            ts_align=clock if book.latest is None else max(clock, book.latest.ts_align),
            n_updates=sum(len(event.levels) for event in events),
            is_snapshot=is_snapshot,
            before=book.latest,
            is_published=self._is_published(heard, books),
            features={} if self._measure is None else self._measure(book),
        )
        return book.latest

    def _state(self, book: Book, heard: Heard) -> str:
        holes = self._holes[book.connection]
        return book.state(heard.position, holes, trusts_beat=self._trusts_beat)

    def _is_published(self, heard: Heard, books: dict[str, Book]) -> bool:
        """Say whether the connection of a message, which has been applied, is the one that is published at it."""
        mine = books[heard.connection]
        brought = max(book.first.position for book in books.values())
        candidates = [
            book
            for book in books.values()
            if book is mine or (self._latest[book.connection].position >= brought and self._is_alive(book, heard))
        ]
        best = min(candidates, key=lambda book: (STATES.index(self._state(book, heard)), book.began))
        return best is mine

    def _is_alive(self, book: Book, heard: Heard) -> bool:
        latest = self._latest[book.connection]
        assert latest.ts_server is not None and heard.ts_server is not None
        return heard.ts_server - latest.ts_server <= _ALIVE_NS
