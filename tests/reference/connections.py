"""Which connection carried a message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

_MAX_KNOWN = 1024


@dataclass(eq=False)
class _Connection:
    id: str
    first: int
    """Position of its first message among all messages."""
    latest: int = 0
    at: int = 0
    """The number at which it stands."""
    at_product: int = 0
    """The number at which it stood with its latest message with a product, or its first one."""
    heartbeat: int | None = None


@dataclass
class _Product:
    homes: list[_Connection] = field(default_factory=list)
    """Its home, and the one before."""
    carried: Counter[_Connection] = field(default_factory=Counter)
    """By either of these."""
    latest: int = 0

    def is_new(self, connection: _Connection) -> bool:
        return connection.first > self.latest

    def is_strange(self, connection: _Connection) -> bool:
        usual = self.carried[self.homes[0]]
        return not self.is_new(connection) and usual >= 16 and usual >= 16 * self.carried[connection]

    def move(self, connection: _Connection) -> None:
        if self.is_new(connection):
            self.homes.clear()
            self.carried.clear()
        if not self.homes or connection is not self.homes[0]:
            self.homes = [connection, *self.homes[:1]]
            self.carried = Counter({home: self.carried[home] for home in self.homes})
        self.carried[connection] += 1


class Connections:
    """The rule of semantics.md, message by message."""

    def __init__(self) -> None:
        self._known: list[_Connection] = []
        self._products: dict[str, _Product] = {}
        self._position = 0

    def assign(self, sequence_num: int, product: str | None, heartbeat: int | None, place: str) -> str:
        """Return the connection's id of the next message.

        `place` is its segment:line, `product` its first one, `heartbeat` its first heartbeat_counter.
        """
        self._position += 1
        homely = self._homely(product)
        connection = None
        if sequence_num > 0 and homely is not None:
            connection = self._by_home(sequence_num, homely)
        elif sequence_num > 0:
            connection = self._by_number(sequence_num, heartbeat, reach=None if product is None else 16)
        if connection is None:
            connection = _Connection(place, self._position, at_product=sequence_num)
            self._known.append(connection)
            if len(self._known) > _MAX_KNOWN:
                self._known.remove(min(self._known[:-1], key=lambda known: known.latest))
        connection.at, connection.latest = sequence_num, self._position
        if heartbeat is not None:
            connection.heartbeat = heartbeat
        if product is not None:
            connection.at_product = sequence_num
            self._products[product] = homely or _Product()
            self._products[product].move(connection)
            self._products[product].latest = self._position
        return connection.id

    def _homely(self, product: str | None) -> _Product | None:
        """Return a product whose home is known."""
        found = None if product is None else self._products.get(product)
        return found if found is not None and found.homes[0] in self._known else None

    def _standing_at(self, number: int) -> list[_Connection]:
        return [connection for connection in self._known if connection.at == number]

    def _standing_below(self, number: int) -> list[_Connection]:
        return [connection for connection in self._known if connection.at < number]

    def _by_number(self, number: int, heartbeat: int | None, *, reach: int | None) -> _Connection | None:
        continued = self._standing_at(number - 1)
        if heartbeat is not None:
            for before in (heartbeat - 1, None):
                beating = [connection for connection in continued if connection.heartbeat == before]
                if beating:
                    return _latest(beating)
        below = self._standing_below(number)
        near = [connection for connection in below if reach is None or number - connection.at <= reach + 1]
        return _latest(continued) or _highest(near)

    def _by_home(self, number: int, product: _Product) -> _Connection | None:
        home = product.homes[0]
        continued = self._standing_at(number - 1)
        if home in continued:
            return home
        guessed = [other for other in continued if not product.is_new(other) and _is_guess(home, other)]
        if other := _latest(guessed):
            home.at, other.at = other.at, home.at
            return home
        usual = [other for other in continued if not product.is_strange(other)]
        if usual:
            return _latest(usual)
        if home.at < number:
            return home
        new = _highest(other for other in self._standing_below(number) if product.is_new(other))
        if new is None and home.at <= number + 16:
            return home
        return new or _latest(continued)


def _is_guess(one: _Connection, other: _Connection) -> bool:
    """Say whether no product tells which of two has gone beyond where the other stands."""
    lower, higher = (one, other) if one.at < other.at else (other, one)
    return higher.at_product <= lower.at


def _latest(connections: Iterable[_Connection]) -> _Connection | None:
    return max(connections, key=lambda connection: connection.latest, default=None)


def _highest(connections: Iterable[_Connection]) -> _Connection | None:
    return max(connections, key=lambda connection: (connection.at, connection.latest), default=None)
