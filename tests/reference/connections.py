"""Which connection carried a message."""

from __future__ import annotations

from dataclasses import dataclass

_MAX_OPEN_RUNS = 1024


@dataclass
class _Connection:
    id: str
    last: int = 0
    latest: int = 0
    """Position of its latest message among all messages; the same for a run."""


@dataclass
class _Run:
    connection: _Connection
    last: int = 0
    latest: int = 0


class Connections:
    """The rule of semantics.md, message by message. Number 0 needs no case of its own: no number is below it."""

    def __init__(self) -> None:
        self._connections: list[_Connection] = []
        self._open_runs: list[_Run] = []
        self._carrier: dict[str, _Run] = {}  # the run of the latest message of each first product
        self._position = 0

    def assign(self, sequence_num: int, product: str | None, place: str) -> str:
        """Return the connection's id of the next message; `place` is its segment:line, `product` its first one."""
        run = self._extended(sequence_num, product) or self._opened(sequence_num, product, place)
        self._position += 1
        run.last = run.connection.last = sequence_num
        run.latest = run.connection.latest = self._position
        if product is not None:
            self._carrier[product] = run
        return run.connection.id

    def _extended(self, sequence_num: int, product: str | None) -> _Run | None:
        several = [run for run in self._open_runs if run.last == sequence_num - 1]
        carrier = self._carrier.get(product) if product is not None else None
        if any(run is carrier for run in several):
            return carrier
        return max(several, key=lambda run: run.latest, default=None)

    def _opened(self, sequence_num: int, product: str | None, place: str) -> _Run:
        connection = self._joined(sequence_num, product)
        if connection is None:
            connection = _Connection(place)
            self._connections.append(connection)
        if len(self._open_runs) == _MAX_OPEN_RUNS:
            oldest = min(range(_MAX_OPEN_RUNS), key=lambda index: self._open_runs[index].latest)
            del self._open_runs[oldest]
        self._open_runs.append(_Run(connection))
        return self._open_runs[-1]

    def _joined(self, sequence_num: int, product: str | None) -> _Connection | None:
        if product is None:
            below = [connection for connection in self._connections if connection.last < sequence_num]
            return max(below, key=lambda connection: (connection.last, connection.latest), default=None)
        carrier = self._carrier.get(product)
        return carrier.connection if carrier is not None and carrier.connection.last < sequence_num else None
