"""From the runs of all units to connections: `docs/semantics.md`, Connections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from etl_ray.scan.runs import MAX_OPEN_RUNS, Run, UnitRuns


@dataclass
class _Connection:
    id: str
    last: int


@dataclass
class _OpenRun:
    connection: _Connection
    last: int


class ConnectionJoiner:
    """Joins the runs of units, given in arrival order, to connections.

    It counts the `connections`, the `holes` in their numbers, and the messages that are `missing` in these.
    """

    def __init__(self) -> None:
        self.connections = self.holes = self.missing = 0
        self._open: list[_OpenRun] = []  # the most recently extended first
        self._owners: dict[str, _OpenRun] = {}  # by product: the run that holds its latest message

    def join(self, unit: UnitRuns, place: Callable[[int], str]) -> tuple[str, ...]:
        """Return the connection of each run of the next unit; `place` names a line that is counted within it."""
        joined: list[_OpenRun] = []
        untouched = list(self._open)
        for run in unit.runs:
            found = self._continued(run, untouched)
            if found is None:
                connection = self._behind_hole(run, untouched, joined)
                if connection is None:
                    self.connections += 1
                    connection = _Connection(place(run.first_line), run.first_number)
                found = _OpenRun(connection, run.first_number)
            else:
                untouched.remove(found)
            joined.append(found)
        for index, run in enumerate(unit.runs):
            joined[index].last = run.last_number
        for index in reversed(unit.recency):
            joined[index].connection.last = unit.runs[index].last_number
        self._open = [joined[index] for index in unit.recency] + untouched
        del self._open[MAX_OPEN_RUNS:]
        self._owners.update({product: joined[index] for product, index in unit.owners.items()})
        return tuple(run.connection.id for run in joined)

    def _continued(self, run: Run, untouched: list[_OpenRun]) -> _OpenRun | None:
        """Return the open run of an earlier unit that `run` continues.

        Runs that this unit has extended already are no candidates: the unit would have found them itself.
        """
        if run.first_number == 0:
            return None
        candidates = [other for other in untouched if other.last == run.first_number - 1]
        owner = self._owners.get(run.product) if run.product is not None and run.owner is None else None
        return next((other for other in candidates if other is owner), next(iter(candidates), None))

    def _behind_hole(self, run: Run, untouched: list[_OpenRun], joined: list[_OpenRun]) -> _Connection | None:
        """Return the connection that `run`, which continues no run, joins."""
        if run.first_number == 0:
            return None
        # Each connection once, with its last number at that time: that of its most recently extended run.
        reached: dict[int, tuple[_Connection, int]] = {}
        for index, last in run.others:
            reached.setdefault(id(joined[index].connection), (joined[index].connection, last))
        for other in untouched:
            reached.setdefault(id(other.connection), (other.connection, other.connection.last))
        if run.product is not None:
            owner = joined[run.owner] if run.owner is not None else self._owners.get(run.product)
            known = None if owner is None else reached.get(id(owner.connection))
            candidates = [] if known is None else [known]
        else:
            candidates = list(reached.values())
        below = [candidate for candidate in candidates if candidate[1] < run.first_number]
        if not below:
            return None
        connection, last = max(below, key=lambda candidate: candidate[1])  # of equal ones the first: the most recent
        self.holes += 1
        self.missing += run.first_number - last - 1
        return connection
