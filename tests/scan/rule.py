"""The rule of `docs/semantics.md` about connections, message by message and without a thought of speed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple


class Numbered(NamedTuple):
    """A message as the rule sees it: its number (None where a private message has no valid one) and first product.

    `counter` is that of a heartbeat.
    """

    number: int | None
    product: str | None = None
    counter: int | None = None


@dataclass(eq=False)
class _Connection:
    id: str
    opened: int
    latest: int
    """Positions of its first and its latest message."""
    number: int
    with_product: int
    """Its number, and the one that it had with its latest message with a product, or at first."""
    counter: int | None = None


@dataclass
class _Product:
    home: _Connection
    count: int
    latest: int
    """Position of its latest message."""
    before: _Connection | None = None
    count_before: int = 0


def _latest(connections: Iterable[_Connection]) -> _Connection | None:
    return max(connections, key=lambda connection: connection.latest, default=None)


def _highest(connections: Iterable[_Connection]) -> _Connection | None:
    return max(connections, key=lambda connection: (connection.number, connection.latest), default=None)


class Rule:
    """Tells connections apart, and counts `holes` and what is `missing` in them as `ConnectionTracker` does."""

    def __init__(self, max_known: int = 1024) -> None:
        self.holes = self.missing = 0
        self._max_known = max_known
        self._known: list[_Connection] = []
        self._products: dict[str, _Product] = {}
        self._position = 0

    def assign(self, message: Numbered, place: str) -> str | None:
        """Return the connection of the next message; `place` names its line."""
        number = message.number
        if number is None:
            return None
        self._position += 1
        product = self._products.get(message.product) if message.product is not None else None
        if product is not None and product.home not in self._known:
            product = None
        connection = None if number == 0 else self._joined(number, message, product)
        if connection is None:
            connection = self._opened(number, place)
        elif number > connection.number + 1:
            self.holes += 1
            self.missing += number - connection.number - 1
        connection.number, connection.latest = number, self._position
        if message.counter is not None:
            connection.counter = message.counter
        if message.product is not None:
            connection.with_product = number
            self._products[message.product] = self._moved(product, connection)
        return connection.id

    def _joined(self, number: int, message: Numbered, product: _Product | None) -> _Connection | None:
        continued = [connection for connection in self._known if connection.number + 1 == number]
        below = [connection for connection in self._known if connection.number < number]
        if product is not None:
            return self._with_home(number, product, continued, below)
        if message.product is not None:
            return _latest(continued) or _highest(one for one in below if number - one.number - 1 <= 16)
        if message.counter is not None:
            follows = _latest(one for one in continued if one.counter == message.counter - 1)
            continued_by_heartbeat = follows or _latest(one for one in continued if one.counter is None)
            if continued_by_heartbeat is not None:
                return continued_by_heartbeat
        return _latest(continued) or _highest(below)

    def _with_home(
        self, number: int, product: _Product, continued: list[_Connection], below: list[_Connection]
    ) -> _Connection | None:
        home = product.home
        if home in continued:
            return home
        guessed = _latest(one for one in continued if not self._is_new(one, product) and _were_guessed(one, home))
        if guessed is not None:
            guessed.number, home.number = home.number, guessed.number
            return home
        if usual := _latest(one for one in continued if not self._is_strange(one, product)):
            return usual
        if home in below:
            return home
        if newer := _highest(one for one in below if self._is_new(one, product)):
            return newer
        return home if home.number - number <= 16 else _latest(continued)

    def _is_new(self, connection: _Connection, product: _Product) -> bool:
        return connection.opened > product.latest

    def _is_strange(self, connection: _Connection, product: _Product) -> bool:
        count = product.count_before if connection is product.before else 0
        return not self._is_new(connection, product) and product.count >= 16 and product.count >= 16 * count

    def _opened(self, number: int, place: str) -> _Connection:
        connection = _Connection(place, self._position, self._position, number, number)
        self._known.sort(key=lambda known: known.latest)
        del self._known[: max(0, len(self._known) + 1 - self._max_known)]
        self._known.append(connection)
        return connection

    def _moved(self, product: _Product | None, connection: _Connection) -> _Product:
        """Return a product after a message on a connection; None: it has no home."""
        now = self._position
        if product is None or self._is_new(connection, product):
            return _Product(connection, 1, now)
        if connection is product.home:
            return _Product(connection, product.count + 1, now, product.before, product.count_before)
        count = product.count_before if connection is product.before else 0
        return _Product(connection, count + 1, now, product.home, product.count)


def _were_guessed(one: _Connection, other: _Connection) -> bool:
    """Say whether the one that stands higher came there from where the other stands without any product."""
    lower, upper = sorted((one, other), key=lambda connection: connection.number)
    return upper.with_product <= lower.number
