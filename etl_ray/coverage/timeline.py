"""What happens on the connections of a recording, found while all messages are followed in arrival order once.

Per message a compiled loop keeps the state of its connection, and tells of what is rare: holes, silences, heartbeats
behind a hole, what a connection carries for the first time in a unit, and new days. What is told is kept here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from numba import njit

from etl_ray.coverage.holes import NS_PER_S, Hole, HoleClass, Holes
from etl_ray.coverage.places import Edge
from etl_ray.venues.rows import NS_PER_DAY, NULL, Int8s, Int32s, Int64s, read_only

SILENCE_NS = 3 * NS_PER_S
_FIRST, _HOLE, _SILENCE, _HEARTBEAT, _DAY = range(5)
# Columns of the state of connections, of what is told, and of the state of the whole.
_GREATEST, _PLACE, _TS, _REJECTS, _DAMAGES, _COUNTER, _MISSING, _COUNT, _CHANNELS = range(9)
_KIND, _MESSAGE, _CONNECTION, _A, _B, _BEFORE, _BEFORE_TS = range(7)
_ROOM = 4096
UNKNOWN_TS = 0
"""The time of messages as long as none has told one."""
_CHANNEL_CODES = 32
_LATEST_TS = 2**63 - 1


@dataclass(frozen=True)
class Stretch:
    """Messages of a unit, in arrival order, as columns of equal length.

    `place` is of each message's line; `connection` -1 is none; `product` is that of the unit's symbols, -1 for none;
    `rejects` counts rejected lines of the recording so far, `damages` places where reading ended early.
    """

    number: Int64s
    connection: Int32s
    channel: Int8s
    product: Int32s
    counter: Int64s
    ts: Int64s
    place: Int64s
    rejects: Int64s
    damages: int


@dataclass
class ConnectionRecord:
    """A connection: what it carried, in which `first` maps (channel, product) to where that was first seen.

    `snapshots` are those of books, by product.
    """

    id: str
    opened: Edge
    first_number: int
    holes: Holes = field(default_factory=Holes)
    silences: list[tuple[Edge, Edge]] = field(default_factory=list)
    first: dict[tuple[int, str], Edge] = field(default_factory=dict)
    snapshots: dict[str, list[Edge]] = field(default_factory=dict)

    def bring(self, channel: int, product: str, edge: Edge) -> None:
        """Note a message with a product; they are not told in the order of their places."""
        self.first[channel, product] = min(edge, self.first.get((channel, product), edge))


@dataclass(frozen=True)
class ConnectionEnd:
    """The last message of a connection so far, its greatest number, messages, and a mask of its channels."""

    last: Edge
    greatest: int
    messages: int
    channels: int


def filled(ts: Int64s, before: int) -> Int64s:
    """Give messages without a time (NULL) that of the message before, `before` to those in front of all times.

    If `before` is UNKNOWN_TS, these get the first time there is.
    """
    known = np.flatnonzero(ts != NULL)
    if len(known) == len(ts):
        return ts
    if not len(known):
        return np.full(len(ts), before)
    earlier = np.searchsorted(known, np.arange(len(ts)), "right") - 1
    first = int(ts[known[0]]) if before == UNKNOWN_TS else before
    return np.where(earlier < 0, first, ts[known[earlier]])


class Timeline:
    """Follows the messages of a recording in arrival order, unit by unit."""

    def __init__(self) -> None:
        self.connections: list[ConnectionRecord] = []
        self.midnights: list[Edge] = []
        self.start: Edge | None = None
        self.end: Edge | None = None
        self._state = np.zeros((16, 9), np.int64)
        self._day = np.full(1, NULL, np.int64)
        self._told = np.zeros((_ROOM, 7), np.int64)
        self._latest_ts = UNKNOWN_TS
        self._before = np.empty((0, 2), np.int64)
        self._earliest_ts = _LATEST_TS

    def follow(self, stretch: Stretch, symbols: Sequence[str], ids: Sequence[str]) -> None:
        """Follow the next messages; `ids` names all connections so far."""
        if not len(stretch.number):
            return
        self._grow(len(ids))
        present = stretch.connection[stretch.connection >= 0]
        base = int(present.min()) if len(present) else 0
        # The last product stands for none: -1.
        seen = np.zeros((len(ids) - base, _CHANNEL_CODES, len(symbols) + 1), np.bool_)
        stretch = replace(stretch, ts=self._filled(stretch.ts))
        self._earliest_ts = min(self._earliest_ts, int(stretch.ts.min()))
        columns = (
            *(read_only(stretch.number), read_only(stretch.connection), read_only(stretch.channel)),
            *(read_only(stretch.product), read_only(stretch.counter), read_only(stretch.ts)),
            *(read_only(stretch.place), read_only(stretch.rejects)),
        )
        at = 0
        while at < len(stretch.number):
            at, told = _follow(*columns, stretch.damages, at, self._state, self._day, base, seen, self._told)
            for row in self._told[:told]:
                self._note(row, stretch, symbols, ids)
        numbered = np.flatnonzero(stretch.connection >= 0)
        if len(numbered):
            first, last = int(numbered[0]), int(numbered[-1])
            self.start = self.start or Edge(int(stretch.place[first]), int(stretch.ts[first]))
            self.end = Edge(int(stretch.place[last]), int(stretch.ts[last]))

    def _filled(self, ts: Int64s) -> Int64s:
        """Give messages without a time that of the one before; those at the very beginning get the first there is."""
        known = np.flatnonzero(ts != NULL)
        before = self._latest_ts
        if len(known):
            before = self._know(int(ts[known[0]]), int(ts[known[-1]]))
        return filled(ts, before)

    def _know(self, first_ts: int, latest_ts: int) -> int:
        """Note times; the first of all goes to what came before it. Return the time before these."""
        before, self._latest_ts = self._latest_ts, latest_ts
        if before == UNKNOWN_TS:
            before = first_ts
            self._state[:, _TS] = first_ts
            self.start = self.start and Edge(self.start.place, first_ts)
            for record in self.connections:
                record.opened = Edge(record.opened.place, first_ts)
                record.first = {key: Edge(edge.place, first_ts) for key, edge in record.first.items()}
                for hole in record.holes.found:
                    hole.before, hole.behind = Edge(hole.before.place, first_ts), Edge(hole.behind.place, first_ts)
        return before

    @property
    def latest_ts(self) -> int:
        """The time that the next message has if it tells none, ns UTC; UNKNOWN_TS as long as none has told one."""
        return self._latest_ts

    def mention(self, connection: int, channel: int, product: str, edge: Edge) -> None:
        """Note a product beside the first one of a message."""
        self.connections[connection].bring(channel, product, edge)

    def snapshot(self, connection: int, product: str, edge: Edge) -> None:
        """Note a message with a snapshot of a book."""
        self.connections[connection].snapshots.setdefault(product, []).append(edge)

    def ends(self) -> list[ConnectionEnd]:
        """Return how far each connection has come."""
        return [
            ConnectionEnd(
                Edge(int(row[_PLACE]), int(row[_TS])), int(row[_GREATEST]), int(row[_COUNT]), int(row[_CHANNELS])
            )
            for row in self._state[: len(self.connections)]
        ]

    def begin_unit(self) -> None:
        """Remember which connections there are in front of the messages that follow, for `alive`."""
        self._before = self._state[: len(self.connections), [_PLACE, _TS]]
        self._earliest_ts = _LATEST_TS

    def alive(self, count: int) -> list[tuple[int, int, int]]:
        """Return number, last place and time of connections before the unit that its messages may still find alive.

        Of those that are not silent for too long at its earliest time, the `count` latest are looked at.
        """
        there = np.flatnonzero(
            (self._before[:, 1] >= self._earliest_ts - SILENCE_NS) | (self._before[:, 1] == UNKNOWN_TS)
        )
        latest = there[np.argsort(self._before[there, 0])[-count:]]
        return [(int(index), *self._before[index].tolist()) for index in np.sort(latest)]

    def _grow(self, connections: int) -> None:
        while len(self._state) < connections:
            self._state = np.concatenate([self._state, np.zeros_like(self._state)])

    def _note(self, row: Int64s, stretch: Stretch, symbols: Sequence[str], ids: Sequence[str]) -> None:
        kind, message, connection, a, b, before, before_ts = row.tolist()
        edge = Edge(int(stretch.place[message]), int(stretch.ts[message]))
        if kind == _DAY:
            self.midnights.append(Edge(edge.place, a))
            return
        if connection == len(self.connections):
            number = int(stretch.number[message])
            self.connections.append(ConnectionRecord(ids[connection], edge, number))
        record = self.connections[connection]
        earlier = Edge(before, before_ts)
        if kind == _FIRST and b >= 0:
            record.bring(a, symbols[b], edge)
        elif kind == _SILENCE:
            record.silences.append((earlier, edge))
        elif kind == _HEARTBEAT:
            record.holes.heartbeat(edge.place, explains=bool(a))
        elif kind == _HOLE:
            classes: tuple[HoleClass, ...] = ("lost", "rejected", "damaged_segment")
            record.holes.add(Hole(earlier, edge, a, classes[b & 3]), had_heartbeat=bool(b & 4))


@njit  # type: ignore[untyped-decorator]
def _tell(  # noqa: PLR0913, PLR0917
    told: npt.NDArray[np.int64], n: int, kind: int, message: int, connection: int, a: int, b: int, before: int, ts: int
) -> int:
    """Write down what happened; return how much is written down then."""
    row = told[n]
    row[_KIND], row[_MESSAGE], row[_CONNECTION], row[_A], row[_B] = kind, message, connection, a, b
    row[_BEFORE], row[_BEFORE_TS] = before, ts
    return n + 1


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _follow(  # noqa: PLR0913, PLR0917  # a compiled loop takes arrays, not records
    numbers: Int64s,
    connections: Int32s,
    channels: Int8s,
    products: Int32s,
    counters: Int64s,
    times: Int64s,
    places: Int64s,
    rejects: Int64s,
    damages: int,
    at: int,
    states: npt.NDArray[np.int64],
    day: Int64s,
    base: int,
    seen: npt.NDArray[np.bool_],
    told: npt.NDArray[np.int64],
) -> tuple[int, int]:
    """Follow messages from `at` on; return where the room for what is told ended, and how much is told."""
    n = 0
    for m in range(at, len(numbers)):
        if n + 5 > len(told):
            return m, n
        if times[m] >= day[0] and times[m] != UNKNOWN_TS:
            today = times[m] - times[m] % NS_PER_DAY
            if day[0] != NULL:
                n = _tell(told, n, _DAY, m, -1, today, 0, 0, 0)
            day[0] = today + NS_PER_DAY
        c = connections[m]
        if c < 0:
            continue
        state = states[c]
        is_new = state[_COUNT] == 0
        before, before_ts = state[_PLACE], state[_TS]
        channel, product, counter = channels[m], products[m], counters[m]
        if is_new:
            state[_COUNTER] = NULL
            state[_GREATEST] = numbers[m]
        if is_new or not seen[c - base, channel, product]:
            seen[c - base, channel, product] = True
            state[_CHANNELS] |= 1 << channel
            n = _tell(told, n, _FIRST, m, c, channel, product, 0, 0)
        if not is_new:
            had_heartbeat = state[_COUNTER] != NULL
            if had_heartbeat and times[m] - before_ts > SILENCE_NS:
                n = _tell(told, n, _SILENCE, m, c, 0, 0, before, before_ts)
            missing = numbers[m] - state[_GREATEST] - 1
            if missing > 0:
                kind = 0
                if damages > state[_DAMAGES]:
                    kind = 2
                elif rejects[m] - state[_REJECTS] >= missing:
                    kind = 1
                n = _tell(told, n, _HOLE, m, c, missing, kind + 4 * had_heartbeat, before, before_ts)
                state[_MISSING] += missing
            state[_GREATEST] = max(state[_GREATEST], numbers[m])
        if counter != NULL:
            if state[_COUNTER] != NULL and state[_MISSING] > 0:
                n = _tell(told, n, _HEARTBEAT, m, c, counter - state[_COUNTER] - 1 == state[_MISSING], 0, 0, 0)
            state[_COUNTER] = counter
            state[_MISSING] = 0
        state[_PLACE], state[_TS] = places[m], times[m]
        state[_REJECTS], state[_DAMAGES] = rejects[m], damages
        state[_COUNT] += 1
    return len(numbers), n
