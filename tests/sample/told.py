"""What faults.json tells of a recording's coverage, place by place, without reading what is missing off the numbers."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise

from .faulty import Faulty, intervals, numbers, places
from .witness import NS_PER_S, Numbered, Place

CHANNELS = {"l2_data": "level2", "ticker_batch": "ticker"}
_LISTS = {
    "market_trades": ("trades", "product_id"),
    "ticker": ("tickers", "product_id"),
    "ticker_batch": ("tickers", "product_id"),
    "candles": ("candles", "product_id"),
    "status": ("products", "id"),
}
_STATES = ("verified", "suspect", "no_snapshot", "no_data")
_ALIVE_NS = 3 * NS_PER_S
_DAY_NS = 86_400 * NS_PER_S

Key = tuple[str, str]
"""Channel, by its table, and product."""
Status = tuple[str, str | None, int | None]
"""State, cause, connection."""
Tile = tuple[Place, str, str | None, int | None]
"""First place, state, cause, connection."""


@dataclass(frozen=True)
class ToldHole:
    """Numbers that faults have taken, with the class that their kinds make of them; messages by their index."""

    connection: int
    missing: int
    before: int
    behind: int
    cause: str


class Told:
    """What is told of a recording."""

    def __init__(self, found: Faulty) -> None:
        self._found = found
        self.messages = found.seen.messages
        self._of: dict[int, list[int]] = defaultdict(list)  # indices of each connection's messages
        for index, message in enumerate(self.messages):
            self._of[message.connection].append(index)
        self.holes = [hole for connection in self._of for hole in self._holes(connection)]

    def counts(self) -> dict[Place, dict[str, tuple[int, int]]]:
        """Return holes and missing numbers by class, by a connection's first place; "unverifiable" has no holes."""
        counted = {}
        for connection, indices in self._of.items():
            first = self.messages[indices[0]]
            of_classes = {"unverifiable": (0, first.number)}
            for cause in ("lost", "explained", "rejected", "damaged_segment"):
                mine = [hole.missing for hole in self.holes if (hole.connection, hole.cause) == (connection, cause)]
                of_classes[cause] = len(mine), sum(mine)
            counted[first.place] = of_classes
        return counted

    def bookless(self) -> set[tuple[int, str]]:
        """Return connections and products of which a book is updated that was not sent."""
        return {(fault["connection"], product) for fault in self._found.faults for product in fault["books_missing"]}

    def tiles(self) -> dict[Key, list[Tile]]:
        """Return the tiles of coverage: every place looked at for itself, then equal neighbours joined."""
        carried: dict[Key, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        for index, message in enumerate(self.messages):
            for key in carries(message):
                carried[key][message.connection].append(index)
        midnights = self._midnights()
        found = {}
        for key, of_connections in carried.items():
            reads = [_Reader(self, key, connection, mine) for connection, mine in sorted(of_connections.items())]
            tiles: list[Tile] = []
            for index, message in enumerate(self.messages):
                # A connection counts from 0 in the order of beginnings, and min takes the first of equal ones.
                status = min((read.status(index) for read in reads), key=lambda status: _STATES.index(status[0]))
                if not tiles or tiles[-1][1:] != status or index in midnights:
                    tiles.append((message.place, *status))
            found[key] = tiles
        return found

    def is_ended(self, connection: int) -> bool:
        """Say whether the recording goes on without a connection."""
        last = self.messages[self._of[connection][-1]]
        return self.messages[-1].server_ns - last.server_ns > _ALIVE_NS

    def last_of(self, connection: int) -> int:
        """Return the index of a connection's last message."""
        return self._of[connection][-1]

    def _holes(self, connection: int) -> list[ToldHole]:
        told = [fault for fault in self._found.showing("hole", "explained-hole") if fault["connection"] == connection]
        at = {self.messages[index].number: index for index in self._of[connection]}
        rejected = places(self._found.showing("rejected-line"))
        holes = []
        for _, first, last in sorted(intervals(numbers(told))):
            if first == 0:
                continue  # nobody knows of what is missing before the first message
            before, behind = at[first - 1], at[last + 1]
            from_place, to_place = self.messages[before].place, self.messages[behind].place
            n_rejected = sum(from_place < place < to_place for place in rejected)
            cause = "rejected" if n_rejected >= last - first + 1 else "lost"
            holes.append(ToldHole(connection, last - first + 1, before, behind, cause))
        beats = [index for index in self._of[connection] if self.messages[index].channel == "heartbeats"]
        for earlier, later in pairwise(beats):
            first, last = self.messages[earlier].number, self.messages[later].number
            between = [fault for fault in told if first < fault["first_sequence_num"] < last]
            if all(set(fault["channels"]) == {"heartbeats"} for fault in between):
                holes = [_explained(hole) if earlier <= hole.before < later else hole for hole in holes]
        return holes

    def _midnights(self) -> set[int]:
        found, greatest = set(), self.messages[0].server_ns
        for index, message in enumerate(self.messages):
            # What is private has no time of its own.
            if message.channel != "user" and message.server_ns // _DAY_NS > greatest // _DAY_NS:
                found.add(index)
            greatest = max(greatest, message.server_ns)
        return found


class _Reader:
    """Reads a product of a channel from one connection; `mine` are the indices of its messages."""

    def __init__(self, told: Told, key: Key, connection: int, mine: list[int]) -> None:
        self._is_book = key[0] == "level2"
        self._connection = connection
        self._first, self._last = mine[0], told.last_of(connection)
        self._is_ended = told.is_ended(connection)
        self._snapshots = [index for index in mine if is_snapshot_of(told.messages[index], key[1])]
        self._has_book = (connection, key[1]) not in told.bookless()
        self._holes = [hole for hole in told.holes if hole.connection == connection and hole.cause != "explained"]

    def status(self, index: int) -> Status:
        """Return what can be had at the message of an index."""
        if index < self._first:
            return "no_data", "start", None
        if self._is_ended and index >= self._last:
            return "no_data", "connection_end", None
        if not self._is_book:
            causes = [hole.cause for hole in self._holes if hole.before <= index < hole.behind]
            return ("suspect", causes[0], self._connection) if causes else ("verified", None, self._connection)
        sent = [snapshot for snapshot in self._snapshots if snapshot <= index]
        if not sent and not self._has_book:
            return "no_snapshot", "no_snapshot", self._connection
        for hole in self._holes:
            if hole.before <= index and not any(hole.behind <= snapshot for snapshot in sent):
                return "suspect", hole.cause, self._connection
        return "verified", None, self._connection


def carries(message: Numbered) -> set[Key]:
    """Return what a message carries."""
    channel = message.channel
    if channel == "l2_data":
        return {("level2", event["product_id"]) for event in message.message["events"]}
    if channel not in _LISTS:
        return set()
    entries, name = _LISTS[channel]
    rows = [row for event in message.message["events"] for row in event[entries]]
    return {(CHANNELS.get(channel, channel), row[name]) for row in rows}


def is_snapshot_of(message: Numbered, product: str) -> bool:
    """Say whether a message holds the book of a product."""
    events = message.message["events"] if message.channel == "l2_data" else []
    return any(event["type"] == "snapshot" and event["product_id"] == product for event in events)


def _explained(hole: ToldHole) -> ToldHole:
    if hole.cause != "lost":
        return hole
    return ToldHole(hole.connection, hole.missing, hole.before, hole.behind, "explained")
