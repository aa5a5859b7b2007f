"""What is missing in each connection, and what to think of it: the section Holes of semantics.md."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from tests.reference.messages import Row
from tests.reference.recording import Heard, Recording
from tests.reference.values import NS_PER_SECOND

CLASSES = ("lost", "explained", "rejected", "damaged_segment")
_BEAT_SECONDS = range(1, 6)
_BEAT_TOLERANCE_NS = 100_000_000
_LEAST_BEATS = 3


@dataclass
class Hole:
    """Numbers that are missing between two messages of a connection that follow each other."""

    before: Heard
    behind: Heard
    missing: int
    cause: str = "lost"
    explained_at: int | None = None
    """Position of the message by which it was explained: until then it counted as lost."""
    is_on_beat: bool = False
    """Explained, but by a guess."""


def find_holes(recording: Recording) -> dict[str, list[Hole]]:
    """Return the holes of every connection, in arrival order."""
    return {name: _holes(messages, recording) for name, messages in recording.connections.items()}


def connection_rows(recording: Recording) -> list[Row]:
    """Return the rows of the table `connections`."""
    holes = find_holes(recording)
    rows = []
    for name, messages in recording.connections.items():
        row: Row = {
            "connection_id": name,
            "segment_first": messages[0].place[0],
            "line_first": messages[0].place[1],
            "segment_last": messages[-1].place[0],
            "line_last": messages[-1].place[1],
            "ts_first": messages[0].ts_server,
            "ts_last": messages[-1].ts_server,
            "sequence_num_first": messages[0].number,
            "sequence_num_last": max(heard.number for heard in messages),
            "messages": len(messages),
            "channels": sorted({heard.message.channel for heard in messages}),
            "products": sorted({product for heard in messages for product in heard.message.products}),
            "missing_unverifiable": messages[0].number,
        }
        for cause in CLASSES:
            of_cause = [hole for hole in holes[name] if hole.cause == cause]
            row[f"holes_{cause}"] = len(of_cause)
            row[f"missing_{cause}"] = sum(hole.missing for hole in of_cause)
        rows.append(row)
    return rows


def _holes(messages: list[Heard], recording: Recording) -> list[Hole]:
    holes = []
    greatest = messages[0].number
    for before, behind in pairwise(messages):
        if behind.number > greatest + 1:
            holes.append(Hole(before, behind, behind.number - greatest - 1))
        greatest = max(greatest, behind.number)
    for hole in holes:
        if any(hole.before.place[0] <= segment < hole.behind.place[0] for segment in recording.damaged):
            hole.cause = "damaged_segment"
        elif sum(hole.before.place < place < hole.behind.place for place in recording.rejected) >= hole.missing:
            hole.cause = "rejected"
    heartbeats = [heard for heard in messages if heard.counter is not None]
    _judge_by_heartbeats(holes, heartbeats)
    first_heartbeat = heartbeats[0].position if heartbeats else messages[-1].position + 1
    _judge_by_beat([hole for hole in holes if hole.behind.position <= first_heartbeat])
    return holes


def _judge_by_heartbeats(holes: list[Hole], heartbeats: list[Heard]) -> None:
    for earlier, later in pairwise(heartbeats):
        assert earlier.counter is not None and later.counter is not None
        between = [
            hole
            for hole in holes
            if earlier.position <= hole.before.position and hole.behind.position <= later.position
        ]
        if later.counter - earlier.counter == sum(hole.missing for hole in between) + 1:
            for hole in between:
                if hole.cause == "lost":
                    hole.cause, hole.explained_at = "explained", later.position


def _judge_by_beat(holes: list[Hole]) -> None:
    series: list[Hole] = []
    for hole in holes:
        if hole.cause != "lost" or hole.missing != 1:
            continue
        if not series or not _follows(series[-1], hole):
            series = []
        series.append(hole)
        if len(series) >= _LEAST_BEATS:
            for one in series:
                if one.explained_at is None:
                    one.cause, one.explained_at, one.is_on_beat = "explained", hole.behind.position, True


def _follows(earlier: Hole, later: Hole) -> bool:
    assert earlier.behind.ts_server is not None and later.behind.ts_server is not None
    after_ns = later.behind.ts_server - earlier.behind.ts_server
    return any(abs(after_ns - seconds * NS_PER_SECOND) <= _BEAT_TOLERANCE_NS for seconds in _BEAT_SECONDS)
