"""A recording as holes, coverage and books see it: the numbered messages of all connections, in arrival order."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from tests.reference.messages import PRIVATE, TABLE_OF, Message

Place = tuple[str, int]
"""Segment and line; compares in arrival order."""


@dataclass
class Heard:
    """A valid message with a number."""

    position: int
    """Among all of them, from 0."""
    place: Place
    connection: str
    message: Message
    ts_server: int | None
    """As sent; of a private message, which is not looked into, that of the message before it."""

    @property
    def number(self) -> int:
        assert self.message.sequence_num is not None
        return self.message.sequence_num

    @property
    def counter(self) -> int | None:
        """Return the heartbeat counter of the first event."""
        if self.message.channel != "heartbeats" or not self.message.rows:
            return None
        counter = self.message.rows[0]["heartbeat_counter"]
        assert isinstance(counter, int)
        return counter

    def carries(self) -> set[tuple[str, str]]:
        """Return (channel as its table, product) of what it names."""
        return (
            set()
            if self.message.channel in PRIVATE
            else {(TABLE_OF[self.message.channel], product) for product in self.message.products}
        )

    def snapshots(self) -> set[str]:
        """Return the products of which it holds the whole book."""
        return {event.product_id for event in self.message.book_events if event.is_snapshot}


@dataclass
class Recording:
    """All that holes are judged by. Segments are added in order, and lines in theirs."""

    messages: list[Heard] = field(default_factory=list)
    rejected: list[Place] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    end: Place = ("", 0)
    """The line behind the last one."""

    def add_line(self, segment: str, line: int) -> None:
        """Note that there is a line, of whatever kind."""
        self.end = segment, line + 1

    def add_message(self, message: Message, place: Place, connection: str) -> None:
        """Note a valid message with a number."""
        self.messages.append(Heard(len(self.messages), place, connection, message, message.ts_server))

    def finish(self) -> None:
        """Give messages without a time that of the message before, and at the beginning that of the first with one."""
        _fill(self.messages)
        _fill(self.messages[::-1])

    @property
    def connections(self) -> dict[str, list[Heard]]:
        """Return the messages of each connection, in the order of their first ones."""
        found = defaultdict(list)
        for heard in self.messages:
            found[heard.connection].append(heard)
        return dict(found)


def _fill(messages: list[Heard]) -> None:
    known = None
    for heard in messages:
        if heard.ts_server is None:
            heard.ts_server = known
        known = heard.ts_server
