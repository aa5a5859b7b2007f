"""The state of a book at places of a recording, as far as it could be known there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from etl_ray.coverage.holes import Hole
from etl_ray.venues.rows import Int8s, Int64s

VERIFIED, UNVERIFIABLE, SUSPECT, NO_SNAPSHOT = range(4)
NEVER = 2**62


@dataclass(frozen=True)
class BookStates:
    """What harms the book of a product on one connection, as places in ascending order.

    `harmed` are those behind holes that nothing explains. Of explained ones `explained` are the places behind them and
    `explained_at` those of the messages that explain them, of those that a beat explains `guessed` and `guessed_at`.
    """

    snapshots: tuple[int, ...]
    harmed: tuple[int, ...] = ()
    explained: tuple[int, ...] = ()
    explained_at: tuple[int, ...] = ()
    guessed: tuple[int, ...] = ()
    guessed_at: tuple[int, ...] = ()

    def at(self, places: Int64s, *, trust_beat: bool) -> Int8s:
        """Return the state of the book behind the message at each place."""
        snapshot = _latest(self.snapshots, places)
        states = np.where(snapshot < 0, NO_SNAPSHOT, VERIFIED).astype(np.int8)
        if self.guessed and not trust_beat:
            known = np.searchsorted(self.guessed_at, places, "right")
            behind = np.r_[np.array(self.guessed), -1][known - 1]
            states[(known > 0) & (behind > snapshot) & (states < UNVERIFIABLE)] = UNVERIFIABLE
        suspect = _latest(self.harmed, places) > snapshot
        for behind, known_at in ((self.explained, self.explained_at), (self.guessed, self.guessed_at)):
            if behind:
                count = np.searchsorted(behind, places, "right")
                latest, until = np.r_[np.array(behind), -1][count - 1], np.r_[np.array(known_at), -1][count - 1]
                suspect |= (count > 0) & (latest > snapshot) & (until > places)
        states[suspect & (states < SUSPECT)] = SUSPECT
        return states

    def breaks(self, before: Int64s, places: Int64s) -> np.ndarray:
        """Tell whether a hole that no heartbeat explains stands between each pair of places."""
        behind = np.sort(np.array([*self.harmed, *self.guessed], np.int64))
        return np.searchsorted(behind, places, "right") > np.searchsorted(behind, before, "right")

    def within(self, first: int, last: int) -> BookStates:
        """Return what matters at places from `first` to `last`."""
        earlier = [place for place in self.snapshots if place <= first]
        since = max(earlier, default=-1)
        kept = {
            name: tuple(zip(behind, at, strict=True))
            for name, behind, at in (
                ("explained", self.explained, self.explained_at),
                ("guessed", self.guessed, self.guessed_at),
            )
        }
        pairs = {name: [pair for pair in found if since < pair[0] <= last] for name, found in kept.items()}
        return BookStates(
            snapshots=tuple(place for place in self.snapshots if since <= place <= last),
            harmed=tuple(place for place in self.harmed if since < place <= last),
            explained=tuple(pair[0] for pair in pairs["explained"]),
            explained_at=tuple(pair[1] for pair in pairs["explained"]),
            guessed=tuple(pair[0] for pair in pairs["guessed"]),
            guessed_at=tuple(pair[1] for pair in pairs["guessed"]),
        )


def book_states(snapshots: Iterable[int], holes: Iterable[Hole]) -> BookStates:
    """Return the states of a book with snapshots at these places, on a connection with these holes."""
    holes = list(holes)
    by_heartbeat = [hole for hole in holes if hole.known_at is not None and not hole.by_beat]
    by_beat = [hole for hole in holes if hole.known_at is not None and hole.by_beat]
    return BookStates(
        snapshots=tuple(snapshots),
        harmed=tuple(hole.behind.place for hole in holes if hole.known_at is None),
        explained=tuple(hole.behind.place for hole in by_heartbeat),
        explained_at=tuple(hole.known_at or 0 for hole in by_heartbeat),
        guessed=tuple(hole.behind.place for hole in by_beat),
        guessed_at=tuple(hole.known_at or 0 for hole in by_beat),
    )


def _latest(found: tuple[int, ...], places: Int64s) -> Int64s:
    """Return for each place the latest of `found` that is not behind it, -1 if there is none."""
    if not found:
        return np.full(len(places), -1, np.int64)
    latest: Int64s = np.r_[np.array(found, np.int64), -1][np.searchsorted(found, places, "right") - 1]
    return latest
