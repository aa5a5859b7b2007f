"""What composing a product's book has come to: shards with the books in front of them, kept for later runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from etl_ray import storage
from etl_ray.book import NetDelta
from etl_ray.coverage import places
from etl_ray.orchestrators.book_plans import BookPlan, StartBook, Stretch
from etl_ray.orchestrators.kept_composition import (
    COMPOSED,
    NOT_KEPT,
    Kept,
    KeptShard,
    KeptStart,
    KeptStretch,
    name_of,
    read_kept,
    write_kept,
)
from etl_ray.orchestrators.staged_books import OPERATIONS
from etl_ray.venues.rows import NULL


@dataclass(frozen=True)
class Effect:
    """What a stretch does to the book of a connection, at the scales of the plan."""

    connection: int
    delta: NetDelta
    clock: int
    last: int


@dataclass(frozen=True)
class Clocked:
    """A stretch, the product's clock behind it, and whether a message of it is on the published connection."""

    stretch: Stretch
    clock: int
    is_published: bool


@dataclass
class ComposedShard:
    """A shard that grows: the books and the clock in front of it, its stretches, and the days of the first of them."""

    starts: Sequence[StartBook]
    clock: int | None
    dates: tuple[int, ...]
    clocked: list[Clocked] = field(default_factory=list)

    @property
    def stretches(self) -> list[Stretch]:
        """Its stretches, in order."""
        return [item.stretch for item in self.clocked]


@dataclass
class _Book:
    levels: NetDelta
    clock: int
    last: int


class Composition:
    """The shards of a product so far, and the books behind them.

    The first `units_done` units are in them, and the first `stretches_done` stretches of the next one.
    """

    def __init__(self, plan: BookPlan, staging: str, interval_ns: int) -> None:
        self.shards: list[ComposedShard] = []
        self.units_done = self.stretches_done = 0
        self._plan, self._staging, self._interval_ns = plan, staging, interval_ns
        self._name = f"{COMPOSED}/{name_of(plan.product)}"
        self._books: dict[int, _Book] = {}
        self._clock: int | None = None
        self._batches = 0
        self._source = ""
        self._digest = hashlib.sha256()

    @property
    def latest(self) -> tuple[int, int]:
        """The last stretch so far, as the indices of its unit and of its delta; -1 if there is none."""
        if not self.shards:
            return -1, -1
        stretch = self.shards[-1].clocked[-1].stretch
        return stretch.unit, stretch.staged.delta

    @contextmanager
    def writing(self, keep_days: int) -> Iterator[None]:
        """Keep the file of books open; those of earlier shards go to it first, if they are of the last `keep_days`.

        Without an exception all is kept for later runs at the end.
        """
        url = storage.join(self._staging, f"{self._name}.arrow")
        with (
            storage.open_write(url, durable=False, final_url=lambda: storage.join(self._staging, self.path)) as file,
            pa.ipc.new_file(file, OPERATIONS, options=pa.ipc.IpcWriteOptions(compression="lz4")) as self._writer,
        ):
            latest = max((date for shard in self.shards for date in shard.dates), default=0)
            for shard in self.shards:
                is_kept = max(shard.dates, default=0) > latest - keep_days
                shard.starts = [self._copied(start, is_kept=is_kept) for start in shard.starts]
            yield
            end = tuple(self._starts())
        self._keep(end)

    @property
    def path(self) -> str:
        """Where, below the staging directory, the books are: a name of their content."""
        return f"{self._name}.{self._digest.hexdigest()[:16]}.arrow"

    def begin(self, dates: tuple[int, ...]) -> None:
        """Begin a shard here."""
        self.shards.append(ComposedShard(tuple(self._starts()), self._clock, dates))

    def apply(self, effect: Effect) -> None:
        """Let a stretch act on a book."""
        book = self._books.setdefault(effect.connection, _Book(NetDelta.empty_book(), effect.clock, effect.last))
        book.levels = effect.delta.apply(book.levels)
        book.clock, book.last = max(book.clock, effect.clock), effect.last
        self._clock = effect.clock if self._clock is None else max(self._clock, effect.clock)

    def add(self, stretch: Stretch, *, is_published: bool) -> None:
        """Add a stretch to the shard, behind its effects."""
        self.shards[-1].clocked.append(Clocked(stretch, NULL if self._clock is None else self._clock, is_published))

    def forget(self, connections: Iterable[int]) -> None:
        """Drop the books of connections, of which nothing can come any more."""
        for connection in connections:
            self._books.pop(connection, None)

    def _copied(self, start: StartBook, *, is_kept: bool) -> StartBook:
        if not is_kept or start.batch == NOT_KEPT:
            return replace(start, batch=NOT_KEPT)
        return replace(start, batch=self._write(read_book(self._staging, self._source, start.batch)))

    def _starts(self) -> Iterator[StartBook]:
        for connection, book in sorted(self._books.items()):
            batch = self._write(book.levels)
            yield StartBook(connection, batch, book.clock, book.last, _content(book.levels))

    def _write(self, levels: NetDelta) -> int:
        arrays = [pa.array(item) for item in (levels.side, levels.price, levels.quantity)]
        self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=OPERATIONS))
        self._digest.update(_content(levels).encode())
        self._batches += 1
        return self._batches - 1

    def _keep(self, end: Sequence[StartBook]) -> None:
        """Describe it for later runs."""
        plan = self._plan
        ids = {carrier.connection: carrier.id for carrier in plan.carriers}
        segments = {unit.segment: unit.identity for unit in plan.units}

        def kept(start: StartBook) -> KeptStart:
            segment, line = places.segment_and_line(start.last)
            return KeptStart(ids[start.connection], start.batch, start.clock, segments[segment], line, start.content)

        shards = (
            KeptShard(
                starts=tuple(map(kept, shard.starts)),
                clock=shard.clock,
                dates=shard.dates,
                stretches=tuple(
                    KeptStretch(item.stretch.unit, item.stretch.staged, item.clock, item.is_published)
                    for item in shard.clocked
                ),
            )
            for shard in self.shards
        )
        record = Kept(
            price_scale=plan.price_scale,
            quantity_scale=plan.quantity_scale,
            interval_ns=self._interval_ns,
            units=tuple(unit.content for unit in plan.units),
            shards=tuple(shards),
            end=tuple(map(kept, end)),
            end_clock=self._clock,
            path=self.path,
            bytes=storage.file_info(storage.join(self._staging, self.path)).size,
        )
        write_kept(self._staging, plan.product, record)

    def resume(self, kept: Kept) -> bool:
        """Take up an earlier composition as far as its units are the same; say whether that is possible."""
        plan = self._plan
        scales = (plan.price_scale, plan.quantity_scale, self._interval_ns)
        if (kept.price_scale, kept.quantity_scale, kept.interval_ns) != scales:
            return False
        same = 0
        for unit, content in zip(plan.units, kept.units, strict=False):
            if unit.content != content:
                break
            same += 1
        for count in range(len(kept.shards), 0, -1):
            is_end = count == len(kept.shards)
            is_same = same == len(kept.units) if is_end else kept.shards[count - 1].stretches[-1].unit < same
            starts = kept.end if is_end else kept.shards[count].starts
            if is_same and all(start.batch != NOT_KEPT for start in starts):
                return self._resume_at(kept, count, starts, kept.end_clock if is_end else kept.shards[count].clock)
        return False

    def _resume_at(self, kept: Kept, count: int, starts: Sequence[KeptStart], clock: int | None) -> bool:
        """Take up the first `count` shards, with these books behind them."""
        numbers = {carrier.id: carrier.connection for carrier in self._plan.carriers}
        segments = {unit.identity: unit.segment for unit in self._plan.units}
        earlier = kept.shards[:count]

        def start(item: KeptStart) -> StartBook:
            last = places.place(segments[item.segment], item.line)
            return StartBook(numbers[item.connection], item.batch, item.clock, last, item.content)

        latest = earlier[-1].stretches[-1].unit
        if count < len(kept.shards) and kept.shards[count].stretches[0].unit == latest:
            self.units_done = latest
            self.stretches_done = sum(item.unit == latest for shard in earlier for item in shard.stretches)
        else:
            self.units_done = latest + 1
        if not self._has_all({numbers[item.connection] for item in starts}):
            return False
        self.shards = [
            ComposedShard(
                starts=tuple(map(start, shard.starts)),
                clock=shard.clock,
                dates=shard.dates,
                clocked=[
                    Clocked(Stretch(item.unit, item.staged), item.clock, item.is_published) for item in shard.stretches
                ],
            )
            for shard in earlier
        ]
        for book in map(start, starts):
            levels = read_book(self._staging, kept.path, book.batch)
            self._books[book.connection] = _Book(levels, book.clock, book.last)
        self._clock, self._source = clock, kept.path
        return True

    def _has_all(self, there: set[int]) -> bool:
        """Say whether of each connection that goes on behind what is done the book is there."""
        if self.units_done == len(self._plan.units):
            return True
        unit = self._plan.units[self.units_done]
        here = places.place(unit.segment, unit.line_offset)
        # A book was dropped when nothing of its connection was to come; now something may have.
        return all(
            carrier.connection in there for carrier in self._plan.carriers if carrier.first <= here <= carrier.last
        )


def resumed(plan: BookPlan, staging: str, interval_ns: int) -> Composition:
    """Return what an earlier run has composed of the first units of a plan, an empty composition if that is nothing."""
    kept = None if plan.is_fresh else read_kept(staging, plan.product)
    found = Composition(plan, staging, interval_ns)
    return found if kept is not None and found.resume(kept) else Composition(plan, staging, interval_ns)


def read_book(staging: str, path: str, batch: int) -> NetDelta:
    """Return a book that composing has written."""
    with storage.open_read(storage.join(staging, path)) as file, pa.ipc.open_file(file) as reader:
        return NetDelta.full(*(column.to_numpy() for column in reader.get_batch(batch).columns))


def _content(levels: NetDelta) -> str:
    digest = hashlib.sha256()
    for column in (levels.side, levels.price, levels.quantity):
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()[:16]
