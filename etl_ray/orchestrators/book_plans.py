"""What the stages of the books tell each other: plans of products, shards, and what was built of them."""

from __future__ import annotations

from dataclasses import dataclass

from etl_ray.coverage.states import BookStates
from etl_ray.orchestrators.results import Cut
from etl_ray.orchestrators.staged_books import StagedStretch


@dataclass(frozen=True)
class Alive:
    """The last message of a connection, of any kind, in front of a unit: its place and ts_server (ns)."""

    connection: int
    place: int
    ts: int


@dataclass(frozen=True)
class BookUnit:
    """A unit that changes a book: where it stands, and the connections of its messages.

    `connections` are numbers of connections in the order of their first messages in the unit; with several of them
    `assignment` is where the index of each message's connection stands. `alive` are connections that came before, and
    `ts_before` is the time of the message before (ns; UNKNOWN_TS if none has told one). `content` is a digest of what
    its messages are and of which connections.
    """

    name: str
    identity: str
    segment: int
    line_offset: int
    connections: tuple[int, ...]
    assignment: str | None
    numbered: str
    alive: tuple[Alive, ...]
    ts_before: int
    content: str = ""


@dataclass(frozen=True)
class Carrier:
    """A connection that carries a product: its place among all connections, and where it ended.

    `first` is the place of its first message with the product, `last` of the last one of any kind (in shards: -1).
    `states` is what harmed the book on it, `silences` are spans (from, to, ns of ts_server) without any message,
    `silent_places` the places of the messages around them.
    """

    connection: int
    id: str
    first: int
    last: int
    states: BookStates
    silences: tuple[tuple[int, int], ...] = ()
    silent_places: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class BookPlan:
    """A product's units and carriers in arrival order; `index` counts the products of the run.

    `brought` are the places of the carriers' first messages with the product, ascending. Its integers are
    prices * 10**price_scale and quantities * 10**quantity_scale. Stretches of `begins` begin a shard, and what follows
    those of `ends`. `is_fresh`: what was composed before is not used.
    """

    product: str
    index: int
    price_scale: int
    quantity_scale: int
    units: tuple[BookUnit, ...]
    carriers: tuple[Carrier, ...]
    brought: tuple[int, ...]
    begins: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    is_fresh: bool = False


@dataclass(frozen=True)
class Stretch:
    """A stretch of a unit, by its index."""

    unit: int
    staged: StagedStretch


@dataclass(frozen=True)
class StartBook:
    """The book of a connection in front of a shard: batch `batch` of the product's start books, the latest clock.

    `last` is the place of the product's latest message on it. `clock` is the greatest coalesce(ts_event, ts_server),
    `content` a digest of the book's levels.
    """

    connection: int
    batch: int
    clock: int
    last: int
    content: str = ""


@dataclass(frozen=True)
class BookShard:
    """Stretches to replay from `starts`, which are batches of the file `starts_path`.

    `clock` is the product's latest in front of the shard (None: there was no message); `dates` are the days of its rows
    (since 1970). Intervals that begin in the shard may end in the stretches `ahead`. `carriers` and `brought` are
    those of the plan that matter here.
    """

    product: str
    number: int
    price_scale: int
    quantity_scale: int
    units: tuple[BookUnit, ...]
    stretches: tuple[Stretch, ...]
    ahead: tuple[Stretch, ...]
    carriers: tuple[Carrier, ...]
    brought: tuple[int, ...]
    starts_path: str
    starts: tuple[StartBook, ...]
    clock: int | None

    @property
    def cut(self) -> Cut:
        """The first stretch and the last one."""
        return Cut(begin=self._stretch_id(self.stretches[0]), end=self._stretch_id(self.stretches[-1]))

    def _stretch_id(self, stretch: Stretch) -> str:
        return stretch_id(self.units[stretch.unit].name, stretch.staged)

    @property
    def operations(self) -> int:
        """How many operations are replayed."""
        return sum(stretch.staged.operations for stretch in self.stretches)


def stretch_id(unit: str, staged: StagedStretch) -> str:
    """Return what tells a stretch from all others."""
    return f"{unit}#{staged.delta}"


@dataclass(frozen=True)
class ComposedBook:
    """The shards of a product, and the file of the books in front of them, below the staging directory.

    There are none if pieces of the units `lacks` are missing.
    """

    product: str
    shards: tuple[BookShard, ...]
    path: str
    lacks: tuple[str, ...] = ()
