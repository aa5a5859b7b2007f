"""Tiles of coverage: which state the data of a channel and product are in, from place to place, seen from the end."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush

from etl_ray.coverage.holes import Hole
from etl_ray.coverage.places import Edge
from etl_ray.coverage.timeline import ConnectionRecord

RANKS = {"verified": 0, "unverifiable": 1, "suspect": 2, "no_snapshot": 3, "no_data": 4}


@dataclass(frozen=True)
class Tile:
    """A state from `start` to in front of `end`, its cause (None: verified) and its connection (-1: no data)."""

    start: Edge
    end: Edge
    state: str
    cause: str | None
    connection: int


@dataclass(frozen=True)
class Stream:
    """A channel and product on one connection, which is the `index`-th and ended at `last`."""

    index: int
    connection: ConnectionRecord
    last: Edge
    first: Edge
    snapshots: tuple[Edge, ...]
    is_book: bool


_Span = tuple[Edge, Edge, str, str | None]


def tiles(streams: Sequence[Stream], start: Edge, end: Edge, *, trust_beat: bool) -> list[Tile]:
    """Return the tiles of a channel and product, given on all connections that carry it in the order of these."""
    merged: list[Tile] = []
    steps = [list(_steps(stream, start, end, trust_beat=trust_beat)) for stream in streams]
    edges = sorted({edge.place: edge for found in steps for edge, _, _, _ in found}.values())
    at = [0] * len(steps)
    for edge, following in zip(edges, [*edges[1:], end], strict=True):
        best: tuple[str, str | None, int] | None = None
        for k, found in enumerate(steps):
            while at[k] + 1 < len(found) and found[at[k] + 1][0].place <= edge.place:
                at[k] += 1
            _, state, cause, connection = found[at[k]]
            if best is None or RANKS[state] < RANKS[best[0]]:
                best = (state, cause, connection)
        if best is None or following.place <= edge.place:
            continue
        if merged and (merged[-1].state, merged[-1].cause, merged[-1].connection) == best:
            merged[-1] = Tile(merged[-1].start, following, *best)
        else:
            merged.append(Tile(edge, following, *best))
    return merged


def with_suspect(found: Iterable[Tile], spans: Iterable[tuple[Edge, Edge]], cause: str) -> list[Tile]:
    """Return the tiles with some stretches as suspect, for one more cause, where they were better."""
    apart: list[tuple[Edge, Edge]] = []
    for begin, end in sorted(spans):
        if apart and begin.place <= apart[-1][1].place:
            apart[-1] = (apart[-1][0], max(apart[-1][1], end))
        else:
            apart.append((begin, end))
    joined: list[Tile] = []
    for tile in _overlaid(found, apart, cause):
        if joined and replace(joined[-1], start=tile.start, end=tile.end) == tile:
            joined[-1] = replace(tile, start=joined[-1].start)  # what was different is hidden
        else:
            joined.append(tile)
    return joined


def _overlaid(found: Iterable[Tile], spans: Sequence[tuple[Edge, Edge]], cause: str) -> Iterator[Tile]:
    ends = [span[1].place for span in spans]
    for tile in found:
        at = tile.start
        if RANKS[tile.state] < RANKS["suspect"]:
            for span in spans[bisect_right(ends, at.place) :]:
                if span[0].place >= tile.end.place:
                    break
                begin, end = max(span[0], at), min(span[1], tile.end)
                if begin.place >= end.place:
                    continue
                if at.place < begin.place:
                    yield Tile(at, begin, tile.state, tile.cause, tile.connection)
                yield Tile(begin, end, "suspect", cause, tile.connection)
                at = end
        if at.place < tile.end.place:
            yield Tile(at, tile.end, tile.state, tile.cause, tile.connection)


def split_at_midnights(found: Iterable[Tile], midnights: Sequence[Edge]) -> Iterator[Tile]:
    """Yield the tiles cut where a day begins; `midnights` are the places with the time of the midnight."""
    places = [edge.place for edge in midnights]
    for tile in found:
        start = tile.start
        for midnight in midnights[bisect_left(places, tile.start.place + 1) :]:
            if midnight.place >= tile.end.place:
                break
            yield Tile(start, midnight, tile.state, tile.cause, tile.connection)
            start = midnight
        yield Tile(start, tile.end, tile.state, tile.cause, tile.connection)


def _steps(stream: Stream, start: Edge, end: Edge, *, trust_beat: bool) -> Iterator[tuple[Edge, str, str | None, int]]:
    """Yield where the state of a stream changes, and to what: the worst of all spans there."""
    spans = sorted(_spans(stream, start, end, trust_beat=trust_beat), key=lambda span: span[0].place)
    edges = sorted({edge.place: edge for span in spans for edge in span[:2] if edge.place < end.place}.values())
    waiting: list[tuple[int, int]] = []
    k = 0
    for edge in edges:
        while k < len(spans) and spans[k][0].place <= edge.place:
            heappush(waiting, (-RANKS[spans[k][2]], k))
            k += 1
        while spans[waiting[0][1]][1].place <= edge.place:
            heappop(waiting)
        _, _, state, cause = spans[waiting[0][1]]
        yield edge, state, cause, -1 if state == "no_data" else stream.index


def _spans(stream: Stream, start: Edge, end: Edge, *, trust_beat: bool) -> Iterator[_Span]:
    """Yield what is said of a stream; at each place one span at least applies."""
    yield start, stream.first, "no_data", "start"
    yield stream.last, end, "no_data", "connection_end"
    for before, behind in stream.connection.silences:
        yield max(before, stream.first), max(behind, stream.first), "no_data", "silence"
    yield stream.first, end, "verified", None
    if stream.is_book:
        first = stream.snapshots[0] if stream.snapshots else stream.last
        yield stream.first, first, "no_snapshot", "no_snapshot"
        yield from _until_snapshot(stream, "suspect", [hole for hole in _holes(stream) if hole.kind != "explained"])
        guessed = [hole for hole in _holes(stream) if hole.by_beat and not trust_beat]
        yield from _until_snapshot(stream, "unverifiable", guessed)
    else:
        for hole in _holes(stream):
            if hole.kind != "explained":
                yield max(hole.before, stream.first), max(hole.behind, stream.first), "suspect", hole.kind


def _holes(stream: Stream) -> list[Hole]:
    return [hole for hole in stream.connection.holes.found if hole.behind.place > stream.first.place]


def _until_snapshot(stream: Stream, state: str, holes: Iterable[Hole]) -> Iterator[_Span]:
    """Yield a span for each hole to the next snapshot, but for those that add nothing to the one before."""
    places = [edge.place for edge in stream.snapshots]
    until = -1
    for hole in holes:
        if hole.behind.place <= until:
            continue
        k = bisect_left(places, hole.behind.place)
        next_snapshot = stream.snapshots[k] if k < len(places) else stream.last
        until = next_snapshot.place
        if next_snapshot.place > hole.before.place:
            yield max(hole.before, stream.first), next_snapshot, state, hole.kind
        if k == len(places):
            return
