"""Who connects when: the connections of a recording as they are planned."""

from __future__ import annotations

from dataclasses import dataclass

from etl_ray.sample.draws import raw_draws
from etl_ray.sample.options import SampleOptions

NS_PER_MS = 1_000_000
_STAGGER_NS = 900 * NS_PER_MS


@dataclass(frozen=True)
class ServerStep:
    """The venue's clock is `back_ns` slow from `from_ns` until `until_ns`."""

    from_ns: int
    until_ns: int
    back_ns: int

    def offset_ns(self, time_ns: int) -> int:
        """Return what a timestamp written at `time_ns` is off by."""
        return -self.back_ns if self.from_ns <= time_ns < self.until_ns else 0


@dataclass(frozen=True)
class Quirks:
    """What the venue and the subscriptions of one connection do that they should not.

    At `resubscribe_ns` level2 and market_trades are subscribed again; `bookless` is the index of the market of which no
    book snapshot is sent, unless to the second subscription.
    """

    resubscribe_ns: tuple[int, ...] = ()
    bookless: int | None = None
    server_step: ServerStep | None = None


NO_QUIRKS = Quirks()


@dataclass(frozen=True)
class Session:
    """One connection: from `start_ns` to at most `pause_ns` before `end_ns`.

    If it is `after_outage`, trades have happened before it that no snapshot holds.
    """

    number: int
    start_ns: int
    end_ns: int
    pause_ns: int = 0
    after_outage: bool = False
    quirks: Quirks = NO_QUIRKS

    def span_ns(self, received_ns: int) -> tuple[int, int]:
        """Return start and end, given that the connection before it has received messages until `received_ns`."""
        start_ns = max(self.start_ns, received_ns + NS_PER_MS)
        return start_ns, self.end_ns - min(self.pause_ns, (self.end_ns - start_ns) // 4)


@dataclass(frozen=True)
class Lane:
    """Connections that follow each other and carry the same `products`, which are indices."""

    products: tuple[int, ...]
    sessions: tuple[Session, ...]


def plan_lanes(options: SampleOptions) -> tuple[Lane, ...]:
    """Return the lanes of a recording without faults: one, or with overlap one for each connection."""
    return _simultaneous(options) if options.overlap else (_consecutive(options),)


def pause_ns(draw: int) -> int:
    """Return how long a collector takes to connect again."""
    return (300 + draw % 900) * NS_PER_MS


def _consecutive(options: SampleOptions) -> Lane:
    draws = raw_draws(options.seed, options.connections, 2)
    sessions = []
    for number in range(options.connections):
        start_ns = options.start_ns + options.duration_ns * number // options.connections
        end_ns = options.start_ns + options.duration_ns * (number + 1) // options.connections
        is_last = number + 1 == options.connections
        sessions.append(Session(number, start_ns, end_ns, pause_ns=0 if is_last else pause_ns(next(draws))))
    return Lane(tuple(range(len(options.products))), tuple(sessions))


def _simultaneous(options: SampleOptions) -> tuple[Lane, ...]:
    end_ns = options.start_ns + options.duration_ns
    lanes = []
    for number in range(options.connections):
        products = tuple(range(number, len(options.products), options.connections))
        start_ns = options.start_ns + min(number * _STAGGER_NS, options.duration_ns // 4)
        lanes.append(Lane(products, (Session(number, start_ns, end_ns),)))
    return tuple(lanes)
