"""The rule of `docs/semantics.md` about connections, message by message and without a thought of speed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Numbered(NamedTuple):
    """A message as the rule sees it: its number (None where a private message has no valid one) and first product."""

    number: int | None
    product: str | None = None


@dataclass(eq=False)
class _Connection:
    id: str
    last: int
    extended: int


@dataclass(eq=False)
class _Run:
    connection: _Connection
    last: int
    extended: int


class Rule:
    """Tells connections apart, and counts `holes` and what is `missing` in them as `ConnectionTracker` does."""

    def __init__(self, max_open_runs: int = 1024) -> None:
        self.holes = self.missing = 0
        self._max_open_runs = max_open_runs
        self._connections: list[_Connection] = []
        self._open: list[_Run] = []
        self._latest: dict[str, _Run] = {}
        self._position = 0

    def assign(self, message: Numbered, place: str) -> str | None:
        """Return the connection of the next message; `place` names its line."""
        if message.number is None:
            return None
        self._position += 1
        run = self._extended(message) or self._opened(message, place)
        run.last = run.connection.last = message.number
        run.extended = run.connection.extended = self._position
        if message.product is not None:
            self._latest[message.product] = run
        return run.connection.id

    def _extended(self, message: Numbered) -> _Run | None:
        if message.number == 0:
            return None
        one_less = [run for run in self._open if run.last + 1 == message.number]
        latest = [run for run in one_less if message.product is not None and run is self._latest.get(message.product)]
        return max(latest or one_less, key=lambda run: run.extended, default=None)

    def _opened(self, message: Numbered, place: str) -> _Run:
        connection = self._joined(message)
        if connection is None:
            connection = _Connection(place, 0, 0)
            self._connections.append(connection)
        else:
            self.holes += 1
            self.missing += (message.number or 0) - connection.last - 1
        self._open.append(_Run(connection, 0, self._position))
        self._open.sort(key=lambda run: run.extended)
        del self._open[: -self._max_open_runs]
        return self._open[-1]

    def _joined(self, message: Numbered) -> _Connection | None:
        """Return the connection that a message joins which extends no run."""
        known = self._connections
        if message.product is not None:
            known = [self._latest[message.product].connection] if message.product in self._latest else []
        below = [connection for connection in known if connection.last < (message.number or 0)]
        return max(below, key=lambda connection: (connection.last, connection.extended), default=None)
