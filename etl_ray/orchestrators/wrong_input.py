"""Whether INPUT is what the job was meant for: it is not if more than half of its lines are rejected."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from etl_ray.errors import WrongInputError
from etl_ray.orchestrators.findings import first_reject
from etl_ray.orchestrators.receipts import Counts, UnitFacts
from etl_ray.readers.segments import Unit

EARLY_STOP_LINES = 1_000_000
"""Lines from the beginning of a run that decide, in whole units, whether it goes on to the end."""


class InputCheck:
    """Decides about a run over `units`; which lines are its first does not depend on the order of the work."""

    def __init__(self, units: Sequence[Unit], venue: str) -> None:
        self._units = units
        self._venue = venue
        self._first = Counts()
        self._left = deque(unit.name for unit in units)

    def follow(self, facts: Mapping[str, UnitFacts]) -> None:
        """Raise WrongInputError as soon as the first lines decide; `facts` are those so far, by unit."""
        while self._first.lines < EARLY_STOP_LINES and self._left and self._left[0] in facts:
            self._first += facts[self._left.popleft()].counts
        if self._first.lines >= EARLY_STOP_LINES:
            self.check(facts, self._first)

    def check(self, facts: Mapping[str, UnitFacts], counts: Counts) -> None:
        """Raise WrongInputError if more than half of the lines in `counts` are rejected."""
        if 2 * counts.rejects > counts.lines:
            raise WrongInputError(
                f"{counts.rejects:,} of the first {counts.lines:,} lines were rejected, more than half: expected a "
                f"recording of {self._venue} messages. Nothing was committed. The first of them is in "
                f"{first_reject(self._units, facts)}"
            )
