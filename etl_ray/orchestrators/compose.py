"""Stage 2 of the books: a product's net deltas, composed in arrival order, are the books in front of its shards."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa

from etl_ray import storage
from etl_ray.book import NetDelta
from etl_ray.coverage import places
from etl_ray.errors import NotFoundError
from etl_ray.orchestrators.book_plans import (
    BookPlan,
    BookShard,
    BookUnit,
    Carrier,
    ComposedBook,
    Stretch,
    stretch_id,
)
from etl_ray.orchestrators.composition import Clocked, ComposedShard, Composition, Effect, resumed
from etl_ray.orchestrators.messages import from_json
from etl_ray.orchestrators.numbered import read_assignment
from etl_ray.orchestrators.publication import Publication
from etl_ray.orchestrators.staged_books import (
    DELTAS_SECTION,
    MESSAGES,
    MESSAGES_SECTION,
    OPERATIONS_SECTION,
    BookIndex,
    StagedStretch,
    book_paths,
)
from etl_ray.orchestrators.staged_rows import GroupReader
from etl_ray.venues.rows import NULL, Int64s


@dataclass(frozen=True)
class ComposeOptions:
    """How books are composed: shards have about `operations_per_shard`; intervals are of `interval_ns` (0: none).

    Start books of shards are kept for later runs of the last `keep_days` days that there are.
    """

    staging: str
    operations_per_shard: int
    interval_ns: int
    trust_beat: bool
    keep_days: int


def compose(plan: BookPlan, options: ComposeOptions) -> ComposedBook:
    """Cut a product's stretches into shards and write the books in front of these.

    What an earlier run has composed of the same units is taken up where these end, or at the last shard before.
    """
    try:
        composition = _composed(plan, options)
    except _LackingError as error:
        return ComposedBook(plan.product, (), "", error.units)
    shards = tuple(_finished(plan, composition, options.interval_ns))
    return ComposedBook(plan.product, shards, composition.path)


class _LackingError(Exception):
    """Operations of these units are not there."""

    def __init__(self, units: tuple[str, ...]) -> None:
        super().__init__(units)
        self.units = units


def _composed(plan: BookPlan, options: ComposeOptions) -> Composition:
    composition = resumed(plan, options.staging, options.interval_ns)
    begins, ends = frozenset(plan.begins), frozenset(plan.ends)
    last_place = {carrier.connection: carrier.last for carrier in plan.carriers}
    unit_before, delta_before = composition.latest
    before = f"{plan.units[unit_before].name}#{delta_before}"
    with composition.writing(options.keep_days):
        todo = _todo(plan, composition, options.staging)
        for index, staged, effects in storage.map_ahead(options.staging, partial(_done, plan, options.staging), todo):
            unit = plan.units[index]
            piece = stretch_id(unit.name, staged)
            is_cut = piece in begins or before in ends
            before = piece
            if is_cut or _begins_shard(composition.shards, staged, options.operations_per_shard):
                composition.forget(connection for connection, last in last_place.items() if last < _place(unit, 0))
                composition.begin(staged.dates)
            if isinstance(effects, NotFoundError):
                lacks = tuple(_lacking(plan.units[index:], options.staging))
                if not lacks:
                    raise effects
                raise _LackingError(lacks)
            for effect in effects:
                composition.apply(effect)
            is_published = bool(options.interval_ns) and _is_published(plan, unit, staged, options)
            composition.add(Stretch(index, staged), is_published=is_published)
    return composition


def _lacking(units: Iterable[BookUnit], staging: str) -> Iterator[str]:
    """Yield the names of units whose operations may be needed, since they have several connections, and are missing."""
    for unit in units:
        if unit.assignment is not None and not storage.exists(storage.join(staging, book_paths(unit.name)[0])):
            yield unit.name


def _todo(plan: BookPlan, composition: Composition, staging: str) -> Iterator[tuple[int, StagedStretch]]:
    """Yield the stretches behind what is composed, with the indices of their units."""
    skipped, first = composition.stretches_done, composition.units_done
    listed = storage.map_ahead(staging, lambda unit: _stretches(plan, unit, staging), plan.units[first:])
    for index, stretches in enumerate(listed, first):
        yield from ((index, staged) for staged in stretches[skipped:])
        skipped = 0


def _done(
    plan: BookPlan, staging: str, item: tuple[int, StagedStretch]
) -> tuple[int, StagedStretch, list[Effect] | NotFoundError]:
    """Return a stretch with the index of its unit and what it does, or why that cannot be told."""
    index, staged = item
    try:
        return index, staged, list(_effects(plan, plan.units[index], staged, staging))
    except NotFoundError as error:
        return index, staged, error


def _begins_shard(shards: Sequence[ComposedShard], staged: StagedStretch, limit: int) -> bool:
    """Cut where enough operations are together, and where dates change: functions of the input alone."""
    if not shards:
        return True
    latest = shards[-1]
    operations = sum(stretch.staged.operations for stretch in latest.stretches)
    return operations >= limit or staged.dates != latest.dates


def _finished(plan: BookPlan, composition: Composition, interval_ns: int) -> Iterator[BookShard]:
    position = 0
    clocked = [item for shard in composition.shards for item in shard.clocked]
    for number, shard in enumerate(composition.shards):
        position += len(shard.stretches)
        ahead = _ahead(clocked, position, interval_ns)
        used = sorted({stretch.unit for stretch in (*shard.stretches, *ahead)})
        index = {unit: k for k, unit in enumerate(used)}
        units = tuple(plan.units[unit] for unit in used)
        first = places.place(units[0].segment, units[0].line_offset)
        last = places.place(units[-1].segment + 1, 0)
        # Carriers that are in question here, as they are seen from here: what comes behind all this must not matter.
        near = {alive.connection for unit in units for alive in unit.alive}
        near |= {connection for unit in units for connection in unit.connections}
        near |= {start.connection for start in shard.starts}
        carriers = tuple(
            _seen(carrier, first, last, interval_ns)
            for carrier in plan.carriers
            if carrier.first < last and carrier.connection in near
        )
        yield BookShard(
            product=plan.product,
            number=number,
            price_scale=plan.price_scale,
            quantity_scale=plan.quantity_scale,
            units=units,
            stretches=tuple(Stretch(index[item.unit], item.staged) for item in shard.stretches),
            ahead=tuple(Stretch(index[item.unit], item.staged) for item in ahead),
            carriers=carriers,
            brought=plan.brought[max(0, bisect_right(plan.brought, first) - 1) : bisect_left(plan.brought, last)],
            starts_path=composition.path,
            starts=tuple(shard.starts),
            clock=shard.clock,
        )


def _seen(carrier: Carrier, first: int, last: int, interval_ns: int) -> Carrier:
    """Return what matters of a carrier between two places."""
    kept = [
        (times, around)
        for times, around in zip(carrier.silences, carrier.silent_places, strict=True)
        if interval_ns and around[0] < last and around[1] >= first
    ]
    return replace(
        carrier,
        last=-1,  # it may go on behind these places
        states=carrier.states.within(first, last),
        silences=tuple(times for times, _ in kept),
        silent_places=tuple(around for _, around in kept),
    )


def _ahead(clocked: Sequence[Clocked], position: int, interval_ns: int) -> list[Stretch]:
    """Return the stretches behind a shard that a row of it may need.

    They reach to the end of the interval in which the shard ends, and to the next published message.
    """
    if not interval_ns:
        return []
    found = []
    current = clocked[position - 1].clock // interval_ns
    is_published = False
    for item in clocked[position:]:
        found.append(item.stretch)
        is_published |= item.is_published
        if is_published and item.clock // interval_ns > current:
            break
    return found


def _is_published(plan: BookPlan, unit: BookUnit, staged: StagedStretch, options: ComposeOptions) -> bool:
    """Say whether some message of a stretch is on the published connection."""
    publication = Publication(plan.carriers, plan.brought, options.staging, options.trust_beat)
    if publication.is_certain(unit, _place(unit, staged.last_line)):
        return True
    messages = read_changes(options.staging, unit, staged)
    index, line, ts = (messages.column(name).to_numpy() for name in ("message_index", "line", "ts_server"))
    owner = connections_of(unit, index, options.staging)
    place = line + places.place(unit.segment, unit.line_offset)
    return bool(publication.of(unit, owner=owner, place=place, ts=ts).any())


def _stretches(plan: BookPlan, unit: BookUnit, staging: str) -> tuple[StagedStretch, ...]:
    url = storage.join(staging, book_paths(unit.name)[2])
    index = from_json(BookIndex, storage.read_bytes(url), storage.redact(url))
    return next(book.stretches for book in index.books if book.product == plan.product)


def _effects(plan: BookPlan, unit: BookUnit, staged: StagedStretch, staging: str) -> Iterator[Effect]:
    """Yield what a stretch does, by connection."""
    owner = np.array(unit.connections[:1])
    if unit.assignment is not None:
        messages = read_changes(staging, unit, staged)
        owner = connections_of(unit, messages.column("message_index").to_numpy(), staging)
    if owner.min() == owner.max():
        with GroupReader.open(staging, book_paths(unit.name)[1]) as file:
            side, price, quantity = (column.to_numpy() for column in file.read(DELTAS_SECTION, staged.delta).columns)
        delta = NetDelta.stored(staged.is_reset, side, price, quantity).rescaled(
            10 ** (plan.price_scale - staged.price_scale), 10 ** (plan.quantity_scale - staged.quantity_scale)
        )
        yield Effect(int(owner[0]), delta, staged.clock, _place(unit, staged.last_line))
        return
    operations = read_operations(staging, unit, staged, plan.price_scale, plan.quantity_scale)
    line = messages.column("line").to_numpy()
    counts = messages.column("operations").to_numpy()
    by_operation = np.repeat(owner, counts)
    ts_event, ts_server = (messages.column(name).to_numpy() for name in ("ts_event", "ts_server"))
    clocks = np.where(ts_event == NULL, ts_server, ts_event)
    for connection in np.unique(owner).tolist():
        chosen = by_operation == connection
        delta = NetDelta.of(*(column[chosen] for column in operations))
        mine = owner == connection
        yield Effect(connection, delta, int(clocks[mine].max()), _place(unit, int(line[mine][-1])))


def _place(unit: BookUnit, line: int) -> int:
    return places.place(unit.segment, unit.line_offset + line)


def connections_of(unit: BookUnit, message_index: np.ndarray, staging: str) -> Int64s:
    """Return the number of the connection of each message."""
    known = np.array(unit.connections, np.int64)
    if unit.assignment is None:
        return np.full(len(message_index), known[0], np.int64)
    owners: Int64s = known[read_assignment(staging, unit.assignment)[message_index]]
    return owners


def read_changes(staging: str, unit: BookUnit, staged: StagedStretch) -> pa.Table:
    """Return the messages of a stretch that change the book."""
    with GroupReader.open(staging, book_paths(unit.name)[1]) as file:
        batches = [file.read(MESSAGES_SECTION, batch) for batch in staged.batches]
    return pa.Table.from_batches(batches, schema=MESSAGES).combine_chunks()


def read_operations(
    staging: str, unit: BookUnit, staged: StagedStretch, price_scale: int, quantity_scale: int
) -> tuple[np.ndarray, Int64s, Int64s]:
    """Return side, price and quantity of all operations of a stretch at the given scales."""
    sides, prices, quantities = [], [], []
    with GroupReader.open(staging, book_paths(unit.name)[0]) as file:
        for batch, (price_own, quantity_own) in zip(staged.batches, staged.scales, strict=True):
            side, price, quantity = (column.to_numpy() for column in file.read(OPERATIONS_SECTION, batch).columns)
            sides.append(side)
            prices.append(price * 10 ** (price_scale - price_own))
            quantities.append(quantity * 10 ** (quantity_scale - quantity_own))
    return np.concatenate(sides), np.concatenate(prices), np.concatenate(quantities)
