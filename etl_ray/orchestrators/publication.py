"""Which messages of a product are on the connection whose book is published, found in what stage 1 has staged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from etl_ray.coverage import places
from etl_ray.coverage.publish import Candidate, published
from etl_ray.coverage.timeline import UNKNOWN_TS, filled
from etl_ray.orchestrators.book_plans import BookUnit, Carrier
from etl_ray.orchestrators.numbered import read_assignment, read_messages
from etl_ray.venues.rows import Bools, Int64s


@dataclass(frozen=True)
class Publication:
    """The connections that carry a product, in the order in which they began.

    `brought` are the places of their first messages with the product, ascending, also of those that are not `carriers`
    because they cannot matter any more.
    """

    carriers: tuple[Carrier, ...]
    brought: tuple[int, ...]
    staging: str
    trust_beat: bool

    def of(self, unit: BookUnit, *, owner: Int64s, place: Int64s, ts: Int64s) -> Bools:
        """Tell which messages of a unit are published: those on the connections `owner`, at `place`, sent at `ts`."""
        if self.is_certain(unit, int(place[-1])):
            return np.ones(len(place), np.bool_)
        table = read_messages(self.staging, unit.numbered)
        all_places = table.column("line").to_numpy() + places.place(unit.segment, unit.line_offset)
        all_times = filled(table.column("ts_server").to_numpy(), unit.ts_before)
        known = np.array(unit.connections, np.int64)
        index = None if unit.assignment is None else read_assignment(self.staging, unit.assignment)
        all_owners = known[index] if index is not None else np.full(len(all_places), known[0], np.int64)
        alive = {item.connection: item for item in unit.alive}
        candidates = []
        for carrier in self._near(unit, int(place[-1])):
            mine = all_owners == carrier.connection
            own_places, own_times = all_places[mine], all_times[mine]
            before = alive.get(carrier.connection)
            if before is not None:
                # What came in front of all times has the first one.
                ts_before = int(all_times[0]) if before.ts == UNKNOWN_TS else before.ts
                own_places, own_times = np.r_[before.place, own_places], np.r_[ts_before, own_times]
            candidates.append(Candidate(carrier.connection, carrier.first, carrier.states, own_places, own_times))
        return published(candidates, owner, place, ts, brought=self.brought, trust_beat=self.trust_beat)

    def is_certain(self, unit: BookUnit, last: int) -> bool:
        """Say whether only one connection is in question for messages of a unit up to the place `last`."""
        return len(self._near(unit, last)) == 1

    def _near(self, unit: BookUnit, last: int) -> list[Carrier]:
        near = {*unit.connections, *(alive.connection for alive in unit.alive)}
        return [carrier for carrier in self.carriers if carrier.connection in near and carrier.first <= last]
