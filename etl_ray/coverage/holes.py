"""Holes in the numbers of a connection, and what they are: `docs/semantics.md`, Holes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from etl_ray.coverage.places import Edge

HoleClass = Literal["lost", "explained", "rejected", "damaged_segment"]
NS_PER_S = 1_000_000_000
BEAT_TOLERANCE_NS = 100_000_000
BEAT_MAX_S = 5
BEAT_HOLES = 3


@dataclass
class Hole:
    """Numbers missing between two messages of a connection.

    `known_at` is the place of the message that explained it, None as long as none has; `by_beat`: not by a heartbeat.
    """

    before: Edge
    behind: Edge
    missing: int
    kind: HoleClass
    known_at: int | None = None
    by_beat: bool = False

    def explain(self, place: int, *, by_beat: bool) -> None:
        """Say that nothing of the market is missing, as the message at `place` shows."""
        self.kind, self.known_at, self.by_beat = "explained", place, by_beat


@dataclass
class Holes:
    """The holes of one connection, in arrival order, as they are found."""

    found: list[Hole] = field(default_factory=list)
    _pending: list[Hole] = field(default_factory=list)
    _series: list[Hole] = field(default_factory=list)

    def add(self, hole: Hole, *, had_heartbeat: bool) -> None:
        """Add a hole; `had_heartbeat`: its connection has had one before."""
        self.found.append(hole)
        if hole.kind != "lost":
            return
        if had_heartbeat:
            self._pending.append(hole)
        elif hole.missing == 1:
            self._follow_beat(hole)

    def heartbeat(self, place: int, *, explains: bool) -> None:
        """Note a heartbeat; `explains`: heartbeats are all that is missing since the one before."""
        for hole in self._pending if explains else ():
            hole.explain(place, by_beat=False)
        self._pending.clear()

    def _follow_beat(self, hole: Hole) -> None:
        if self._series and not _on_beat(hole.behind.ts - self._series[-1].behind.ts):
            self._series.clear()
        self._series.append(hole)
        if len(self._series) >= BEAT_HOLES:
            for found in self._series:
                if found.kind == "lost":
                    found.explain(hole.behind.place, by_beat=True)
            del self._series[:-BEAT_HOLES]


def _on_beat(passed_ns: int) -> bool:
    beats = (passed_ns + NS_PER_S // 2) // NS_PER_S
    return 1 <= beats <= BEAT_MAX_S and abs(passed_ns - beats * NS_PER_S) <= BEAT_TOLERANCE_NS
