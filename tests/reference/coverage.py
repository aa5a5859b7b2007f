"""What the recording holds of each channel and product: the section Coverage of semantics.md."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from tests.reference.holes import Hole, find_holes
from tests.reference.messages import Row
from tests.reference.recording import Heard, Recording
from tests.reference.values import NS_PER_SECOND, utc_date

STATES = ("verified", "unverifiable", "suspect", "no_snapshot", "no_data")
_SILENCE_NS = 3 * NS_PER_SECOND
_NS_PER_DAY = 86_400 * NS_PER_SECOND

Status = tuple[str, str | None, str | None]
"""State, cause, connection."""


@dataclass(frozen=True)
class Span:
    """Why a place is not verified, from a position to before another."""

    start: int
    end: int
    state: str
    cause: str


@dataclass(frozen=True)
class Crossing:
    """A row of a published book that is crossed, and the next row of that book."""

    product_id: str
    start: int
    end: int
    cause: str = "crossed_book"


@dataclass(frozen=True)
class MissingTrades:
    """Trades that nobody delivered: positions of the messages of the two trades around them, the earlier one first."""

    product_id: str
    start: int
    end: int
    count: int
    cause: str = "missing_ids"


def coverage_rows(
    recording: Recording,
    *,
    trusts_beat: bool = False,
    crossings: Iterable[Crossing] = (),
    missing: Iterable[MissingTrades] = (),
) -> list[Row]:
    """Return the rows of `coverage` of all channels and products, in the table's order."""
    spans = _spans(recording, trusts_beat=trusts_beat)
    suspects: dict[tuple[str, str], list[Crossing | MissingTrades]] = defaultdict(list)
    for crossing in crossings:
        suspects["level2", crossing.product_id].append(crossing)
    for trades in missing:
        suspects["market_trades", trades.product_id].append(trades)
    rows = []
    for (channel, product_id), of_connections in sorted(spans.items()):
        tiles = _tiles(recording, of_connections, suspects[channel, product_id])
        for tile in tiles:
            tile["ids_missing"] = tile["ids_missing"] if channel == "market_trades" else None
        rows += [{"channel": channel, "product_id": product_id, **tile} for tile in tiles]
    return rows


def _spans(recording: Recording, *, trusts_beat: bool) -> dict[tuple[str, str], dict[str, list[Span]]]:
    """Return the spans of each channel and product, by connection; those that began first come first."""
    holes = find_holes(recording)
    end = len(recording.messages)
    found: dict[tuple[str, str], dict[str, list[Span]]] = defaultdict(dict)
    for name, messages in recording.connections.items():
        silences = [(earlier.position, later.position) for earlier, later in find_silences(messages)]
        for key in {key for heard in messages for key in heard.carries()}:
            channel, product_id = key
            first = next(heard.position for heard in messages if key in heard.carries())
            spans = [Span(0, first, "no_data", "start")]
            spans += [Span(*silence, "no_data", "silence") for silence in silences]
            if _ended(messages[-1], recording):
                spans.append(Span(messages[-1].position, end, "no_data", "connection_end"))
            if channel == "level2":
                snapshots = [heard.position for heard in messages if product_id in heard.snapshots()] + [end]
                spans.append(Span(first, snapshots[0], "no_snapshot", "no_snapshot"))
                spans += _harmed_books(holes[name], snapshots, trusts_beat=trusts_beat)
            else:
                spans += [
                    Span(hole.before.position, hole.behind.position, "suspect", hole.cause)
                    for hole in holes[name]
                    if hole.cause != "explained"
                ]
            found[key][name] = spans
    return found


def _ended(last: Heard, recording: Recording) -> bool:
    """Say whether the recording goes on without a connection for so long that it must have ended."""
    end = recording.messages[-1].ts_server
    assert end is not None and last.ts_server is not None
    return end - last.ts_server > _SILENCE_NS


def find_silences(messages: list[Heard]) -> list[tuple[Heard, Heard]]:
    """Return the messages of a connection between which it was silent, once it has had a heartbeat."""
    silences = []
    has_heartbeat = False
    for earlier, later in pairwise(messages):
        has_heartbeat = has_heartbeat or earlier.counter is not None
        assert earlier.ts_server is not None and later.ts_server is not None
        if has_heartbeat and later.ts_server - earlier.ts_server > _SILENCE_NS:
            silences.append((earlier, later))
    return silences


def _harmed_books(holes: list[Hole], snapshots: list[int], *, trusts_beat: bool) -> list[Span]:
    spans = []
    for hole in holes:
        if hole.cause == "explained" and (trusts_beat or not hole.is_on_beat):
            continue
        state = "unverifiable" if hole.cause == "explained" else "suspect"
        healed = next(position for position in snapshots if position >= hole.behind.position)
        spans.append(Span(hole.before.position, healed, state, hole.cause))
    return spans


def _tiles(
    recording: Recording, of_connections: Mapping[str, list[Span]], crossings: list[Crossing | MissingTrades]
) -> list[Row]:
    """Cut the recording into tiles: first at every place where something may change, then join what is equal."""
    end = len(recording.messages)
    midnights = _midnights(recording)
    edges = {0, *midnights}
    for span in [span for spans in of_connections.values() for span in spans] + crossings:
        edges |= {span.start, span.end}
    tiles: list[tuple[int, Status]] = []
    for position in sorted(edges - {end}):
        status = _status(position, of_connections, crossings)
        if not tiles or tiles[-1][1] != status or position in midnights:
            tiles.append((position, status))
    only_split = {here: midnights[here] for (_, before), (here, status) in pairwise(tiles) if before == status}
    return [
        _row(recording, start, following, status, only_split) | {"ids_missing": _missing(start, following, crossings)}
        for (start, status), (following, _) in pairwise([*tiles, (end, tiles[-1][1])])
    ]


def _missing(start: int, end: int, spans: list[Crossing | MissingTrades]) -> int:
    """Count what is missing in front of a message in the tile, but for its first one, or in front of its end."""
    is_first = start == 0
    return sum(
        span.count
        for span in spans
        if isinstance(span, MissingTrades) and (start < span.end <= end or (is_first and span.end == 0))
    )


def _status(
    position: int, of_connections: Mapping[str, list[Span]], crossings: list[Crossing | MissingTrades]
) -> Status:
    # Connections are in the order of their beginnings, and min takes the first of equal ones.
    best: Status = min(
        (_status_of(position, name, spans) for name, spans in of_connections.items()),
        key=lambda status: STATES.index(status[0]),
    )
    if STATES.index(best[0]) < STATES.index("suspect"):
        for crossing in crossings:
            if crossing.start <= position < crossing.end:
                return "suspect", crossing.cause, best[2]
    return best


def _status_of(position: int, connection: str, spans: list[Span]) -> Status:
    at = [span for span in spans if span.start <= position < span.end]
    if not at:
        return "verified", None, connection
    worst = max(STATES.index(span.state) for span in at)
    first = min((span for span in at if span.state == STATES[worst]), key=lambda span: span.start)
    return first.state, first.cause, None if first.state == "no_data" else connection


def _midnights(recording: Recording) -> dict[int, int]:
    """Return the midnight, ns UTC, at each message with which the greatest server time passes one."""
    found = {}
    greatest = None
    for heard in recording.messages:
        if heard.ts_server is None:
            continue
        if greatest is not None and heard.ts_server // _NS_PER_DAY > greatest // _NS_PER_DAY:
            found[heard.position] = heard.ts_server // _NS_PER_DAY * _NS_PER_DAY
        greatest = heard.ts_server if greatest is None else max(greatest, heard.ts_server)
    return found


def _row(recording: Recording, start: int, end: int, status: Status, midnights: Mapping[int, int]) -> Row:
    state, cause, connection = status
    messages = recording.messages
    first_place = messages[start].place
    end_place = messages[end].place if end < len(messages) else recording.end
    ts_start = midnights.get(start, messages[start].ts_server)
    ts_end = midnights.get(end, messages[min(end, len(messages) - 1)].ts_server)
    assert ts_start is not None
    return {
        "date": utc_date(ts_start),
        "state": state,
        "cause": cause,
        "connection_id": connection,
        "segment_start": first_place[0],
        "line_start": first_place[1],
        "segment_end": end_place[0],
        "line_end": end_place[1],
        "ts_start": ts_start,
        "ts_end": ts_end,
    }
