"""From the runs of all units to connections: `docs/semantics.md`, Connections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from etl_ray.scan.runs import MAX_OPEN_RUNS, Run


@dataclass
class _Connection:
    id: str
    last: int
    products: set[str]


@dataclass
class _OpenRun:
    connection: _Connection
    last: int
    products: set[str] = field(default_factory=set)


class ConnectionJoiner:
    """Joins the runs of units, given in arrival order, to connections.

    It counts the `connections`, the `holes` in their numbers, and the messages that are `missing` in these.
    """

    def __init__(self) -> None:
        self.connections = self.holes = self.missing = 0
        self._open: list[_OpenRun] = []  # the most recently extended first

    def join(self, runs: tuple[Run, ...], recency: tuple[int, ...], place: Callable[[int], str]) -> tuple[str, ...]:
        """Return the connection of each run of the next unit; `place` names a line that is counted within it."""
        joined: list[_OpenRun] = []
        untouched = list(self._open)
        for run in runs:
            found = self._continued(run, untouched)
            if found is None:
                connection = self._behind_hole(run, untouched, joined)
                if connection is None:
                    self.connections += 1
                    connection = _Connection(place(run.first_line), run.first_number, set())
                found = _OpenRun(connection, run.first_number)
            else:
                untouched.remove(found)
            found.products.update(run.products)
            found.connection.products.update(run.products)
            joined.append(found)
        for index, run in enumerate(runs):
            joined[index].last = run.last_number
        for index in reversed(recency):
            joined[index].connection.last = runs[index].last_number
        self._open = [joined[index] for index in recency] + untouched
        del self._open[MAX_OPEN_RUNS:]
        return tuple(run.connection.id for run in joined)

    @staticmethod
    def _continued(run: Run, untouched: list[_OpenRun]) -> _OpenRun | None:
        """Return the open run of an earlier unit that `run` continues.

        Runs that this unit has extended already are no candidates: the unit would have found them itself.
        """
        if run.first_number == 0:
            return None
        candidates = [other for other in untouched if other.last == run.first_number - 1]
        carrying = [other for other in candidates if run.product is None or run.product in other.products]
        return next(iter(carrying or candidates), None)

    def _behind_hole(self, run: Run, untouched: list[_OpenRun], joined: list[_OpenRun]) -> _Connection | None:
        """Return the connection that `run`, which continues no run, belongs to."""
        if run.first_number == 0:
            return None
        # Each connection once, with its last number at that time: that of its most recently extended run.
        reached: dict[int, tuple[_Connection, int]] = {}
        for index, last in run.others:
            reached.setdefault(id(joined[index].connection), (joined[index].connection, last))
        for other in untouched:
            reached.setdefault(id(other.connection), (other.connection, other.connection.last))
        best: tuple[_Connection, int] | None = None
        for connection, last in reached.values():
            fits = last < run.first_number and (run.product is None or run.product in connection.products)
            if fits and (best is None or last > best[1]):
                best = (connection, last)
        if best is None:
            return None
        self.holes += 1
        self.missing += run.first_number - best[1] - 1
        return best[0]
