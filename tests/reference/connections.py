"""Which connection carried a message."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class _Connection:
    id: str
    last: int
    latest: int
    """Position of its latest message among all messages."""
    products: set[str] = field(default_factory=set)


class Connections:
    """The rule of semantics.md, message by message."""

    def __init__(self) -> None:
        self._all: list[_Connection] = []
        self._position = 0

    def assign(self, sequence_num: int, product: str | None, place: str) -> str:
        """Return the connection's id of the next message; `place` is its segment:line, `product` its first one."""
        connection = None if sequence_num == 0 else self._find(sequence_num, product)
        if connection is None:
            connection = _Connection(place, sequence_num, 0)
            self._all.append(connection)
        self._position += 1
        connection.last, connection.latest = sequence_num, self._position
        if product is not None:
            connection.products.add(product)
        return connection.id

    def _find(self, sequence_num: int, product: str | None) -> _Connection | None:
        continued = [one for one in self._all if one.last == sequence_num - 1]
        if continued:
            carrying = [one for one in continued if product in one.products]
            return max(carrying or continued, key=lambda one: one.latest)
        below = [one for one in self._all if one.last < sequence_num and (product is None or product in one.products)]
        return max(below, key=lambda one: (one.last, one.latest), default=None)
