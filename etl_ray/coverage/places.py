"""Places in a recording: a segment and a line as one integer, in arrival order."""

from __future__ import annotations

from dataclasses import dataclass

_LINE_BITS = 40


@dataclass(frozen=True, order=True)
class Edge:
    """A place and the time there: `ts` is ts_server, ns UTC, of the message at `place`."""

    place: int
    ts: int


def place(segment: int, line: int) -> int:
    """Return a place; segments are counted from 0 in arrival order, lines from 1."""
    return (segment << _LINE_BITS) + line


def segment_and_line(place: int) -> tuple[int, int]:
    """Return the segment and the line of a place."""
    return place >> _LINE_BITS, place & ((1 << _LINE_BITS) - 1)
