"""Which connection carried a message."""

from __future__ import annotations

from dataclasses import dataclass

_MAX_OPEN_RUNS = 1024


@dataclass
class _Series:
    """A connection, or a run of one: what is known of its messages so far."""

    id: str
    last: int = 0
    latest: int = 0
    """Position of its latest message among all messages."""

    def carry(self, sequence_num: int, position: int) -> None:
        """Add a message."""
        self.last, self.latest = sequence_num, position


class Connections:
    """The rule of semantics.md, message by message."""

    def __init__(self) -> None:
        self._connections: list[_Series] = []
        self._open_runs: list[tuple[_Series, _Series]] = []  # each with its connection
        self._latest_of: dict[str, tuple[_Series, _Series]] = {}
        """By product: the run and the connection of its latest message."""
        self._position = 0

    def assign(self, sequence_num: int, product: str | None, place: str) -> str:
        """Return the connection's id of the next message; `place` is its segment:line, `product` its first one."""
        run, connection = self._extend(sequence_num, product) or self._open(sequence_num, product, place)
        self._position += 1
        run.carry(sequence_num, self._position)
        connection.carry(sequence_num, self._position)
        if product is not None:
            self._latest_of[product] = (run, connection)
        return connection.id

    def _extend(self, sequence_num: int, product: str | None) -> tuple[_Series, _Series] | None:
        extended = [pair for pair in self._open_runs if pair[0].last == sequence_num - 1 and sequence_num != 0]
        holding = [pair for pair in extended if product is not None and self._holds(pair[0], product)]
        return max(holding or extended, key=lambda pair: pair[0].latest, default=None)

    def _holds(self, run: _Series, product: str) -> bool:
        latest = self._latest_of.get(product)
        return latest is not None and latest[0] is run

    def _open(self, sequence_num: int, product: str | None, place: str) -> tuple[_Series, _Series]:
        if product is None:
            candidates = self._connections
        else:
            candidates = [self._latest_of[product][1]] if product in self._latest_of else []
        below = [connection for connection in candidates if connection.last < sequence_num]
        connection = max(below, key=lambda one: (one.last, one.latest), default=None)
        if connection is None:  # always for number 0: no number is below it
            connection = _Series(place)
            self._connections.append(connection)
        if len(self._open_runs) == _MAX_OPEN_RUNS:
            self._open_runs.remove(min(self._open_runs, key=lambda pair: pair[0].latest))
        self._open_runs.append((_Series(place), connection))
        return self._open_runs[-1]
