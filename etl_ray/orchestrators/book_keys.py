"""The digest of all that decides about a shard of a book: the same in every run in which these are the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import orjson

from etl_ray.coverage import places
from etl_ray.orchestrators.book_plans import BookShard, BookUnit, Carrier, Stretch
from etl_ray.orchestrators.results import key_of

TimeRange = tuple[int | None, int | None]


class BookKeys:
    """Makes the keys of shards of a run: numbers of segments and connections, which any input may shift, become names.

    `segments` and `connections` are the names by number, `times` tells the least and the greatest ts_server of each
    unit, `range_ns` is the range that rows are limited to.
    """

    def __init__(
        self,
        segments: Sequence[str],
        connections: Sequence[str],
        times: Mapping[str, TimeRange],
        range_ns: TimeRange,
    ) -> None:
        self._segments, self._connections = segments, connections
        self._times, self._range = times, range_ns

    def key(self, shard: BookShard) -> str:
        """Return the key of a shard."""
        record = {
            "product": shard.product,
            "scales": [shard.price_scale, shard.quantity_scale],
            "units": [self._unit(unit) for unit in shard.units],
            "stretches": [self._stretches(shard.stretches), self._stretches(shard.ahead)],
            "carriers": [self._carrier(carrier) for carrier in shard.carriers],
            "brought": self._places(shard.brought),
            "starts": [
                [self._connections[item.connection], item.clock, self._place(item.last), item.content]
                for item in shard.starts
            ],
            "clock": shard.clock,
            "range": self._limits(shard.units),
        }
        return key_of(orjson.dumps(record).decode())

    def _unit(self, unit: BookUnit) -> list[object]:
        return [
            unit.name,
            unit.identity,
            unit.line_offset,
            [self._connection(number) for number in unit.connections],
            unit.assignment,
            [[self._connection(item.connection), self._place(item.place), item.ts] for item in unit.alive],
            unit.ts_before,
        ]

    def _stretches(self, found: Iterable[Stretch]) -> list[list[int]]:
        return [[item.unit, item.staged.delta] for item in found]

    def _carrier(self, carrier: Carrier) -> list[object]:
        states = carrier.states
        return [
            carrier.id,
            self._place(carrier.first),
            [self._places(getattr(states, name)) for name in sorted(states.__dataclass_fields__)],
            carrier.silences,
        ]

    def _connection(self, number: int) -> str:
        return self._connections[number] if number >= 0 else ""

    def _places(self, found: Iterable[int]) -> list[str]:
        return [self._place(place) for place in found]

    def _place(self, place: int) -> str:
        segment, line = places.segment_and_line(place)
        return f"{self._segments[segment]}:{line}" if 0 <= segment < len(self._segments) else str(place)

    def _limits(self, units: Iterable[BookUnit]) -> list[int | None]:
        """Return the limits of the range that cut through the units' times, or say that all is outside."""
        start, end = self._range
        known = [self._times[unit.name] for unit in units]
        least = [first for first, _ in known if first is not None]
        greatest = [last for _, last in known if last is not None]
        if not least or not greatest:
            return [start, end]
        if (start is not None and max(greatest) < start) or (end is not None and min(least) >= end):
            return [0, 0]
        return [
            None if start is None or start <= min(least) else start,
            None if end is None or end > max(greatest) else end,
        ]
