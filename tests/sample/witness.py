"""What a reader of a faulty recording can know, found without the generator and without the job."""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from pathlib import Path

import zstandard

from .strict import ns, valid

NS_PER_S = 10**9
Place = tuple[str, int]
ByPlace = dict[Place, dict[str, set[int]]]


@dataclass(frozen=True)
class Numbered:
    """A valid message with a number, and where it stands."""

    place: Place
    connection: int
    number: int
    message: dict
    capture_ns: int | None

    @property
    def channel(self) -> str:
        return self.message["channel"]

    @property
    def server_ns(self) -> int:
        return ns(self.message["timestamp"])

    @property
    def is_snapshot(self) -> bool:
        return bool(self.message["events"]) and self.message["events"][0].get("type") == "snapshot"


@dataclass
class Witness:
    """The valid messages of a recording in order, and the lines that are none."""

    messages: list[Numbered] = field(default_factory=list)
    rejected: set[Place] = field(default_factory=set)
    cut: set[Place] = field(default_factory=set)
    damaged: set[str] = field(default_factory=set)
    lines: int = 0
    bytes: int = 0

    @property
    def connections(self) -> dict[int, list[Numbered]]:
        found = defaultdict(list)
        for message in self.messages:
            found[message.connection].append(message)
        return dict(found)

    def products_of(self, connection: int) -> set[str]:
        """Return the products of which a connection carries the book."""
        return {
            event["product_id"]
            for message in self.connections[connection]
            if message.channel == "l2_data"
            for event in message.message["events"]
        }

    def holes(self) -> set[tuple[int, int, int]]:
        """Return (connection, first, last) of all numbers that are missing between 0 and the last."""
        return {
            (connection, earlier + 1, later - 1)
            for connection, messages in self.connections.items()
            for earlier, later in pairwise([-1, *(message.number for message in messages)])
            if later > earlier + 1
        }

    def explained_holes(self) -> set[tuple[int, int, int]]:
        """Return holes of one message each between heartbeats that skip as many."""
        found = set()
        for connection, first, last in self.holes():
            beats = [
                (message.number, int(message.message["events"][0]["heartbeat_counter"]))
                for message in self.connections[connection]
                if message.channel == "heartbeats"
            ]
            before = max((beat for beat in beats if beat[0] < first), default=None)
            after = min((beat for beat in beats if beat[0] > last), default=None)
            if before is None or after is None:
                continue
            missing = [
                later - earlier + 1
                for at, earlier, later in self.holes()
                if at == connection and before[0] < earlier < after[0]
            ]
            if missing == [1] * (after[1] - before[1] - 1):
                found.add((connection, first, last))
        return found

    def bookless(self) -> set[tuple[int, str, Place]]:
        """Return (connection, product, place) of updates of books that were not sent."""
        found, known = set(), set()
        for message in self.messages:
            for event in message.message["events"] if message.channel == "l2_data" else ():
                key = message.connection, event["product_id"]
                if event["type"] == "update" and key not in known:
                    found.add((*key, message.place))
                known.add(key)
        return found

    def sent_again(self) -> set[tuple[int, str, int, Place]]:
        """Return (connection, channel, number, place) where a channel's snapshots begin after its updates."""
        found, updated, running = set(), set(), set()
        for message in self.messages:
            key = message.connection, message.channel
            if message.channel not in ("l2_data", "market_trades"):
                continue
            if not message.is_snapshot:
                updated.add(key)
                running.discard(key)
            elif key in updated and key not in running:
                running.add(key)
                found.add((*key, message.number, message.place))
        return found

    def trades(self) -> tuple[ByPlace, ByPlace, dict[str, set[int]]]:
        """Return, by place and product, the trades that snapshots repeat and those that they heal; and all trades."""
        seen: defaultdict[str, set[int]] = defaultdict(set)
        repeated: defaultdict[Place, dict[str, set[int]]] = defaultdict(dict)
        healed: defaultdict[Place, dict[str, set[int]]] = defaultdict(dict)
        for message in self.messages:
            ids: defaultdict[str, set[int]] = defaultdict(set)
            for event in message.message["events"] if message.channel == "market_trades" else ():
                for trade in event["trades"]:
                    ids[trade["product_id"]].add(int(trade["trade_id"]))
            for product, found in ids.items():
                if message.is_snapshot and found & seen[product]:
                    repeated[message.place][product] = found & seen[product]
                if message.is_snapshot and seen[product] and found - seen[product]:
                    healed[message.place][product] = found - seen[product]
                seen[product] |= found
        return dict(repeated), dict(healed), dict(seen)

    def silences(self) -> set[Place]:
        """Return the first messages after half a minute of none."""
        return {
            later.place
            for earlier, later in pairwise(self.messages)
            if later.server_ns - earlier.server_ns > 30 * NS_PER_S
        }

    def server_steps(self) -> set[tuple[int, Place, bool]]:
        """Return (connection, place, whether back): heartbeats and candles leave no other second without a message."""
        return {
            (connection, later.place, later.server_ns < earlier.server_ns)
            for connection, messages in self.connections.items()
            for earlier, later in pairwise(messages)
            if later.server_ns < earlier.server_ns
            or (later.number == earlier.number + 1 and later.server_ns - earlier.server_ns > 1.1 * NS_PER_S)
        }

    def capture_steps(self) -> list[tuple[Place, bool]]:
        """Return (place, whether back) where the capture clock leaves the server's, or comes back to it."""
        stepped = {
            connection: sorted(place for at, place, _ in self.server_steps() if at == connection)
            for connection in self.connections
        }
        found, offset_s = [], 0
        for message in self.messages:
            if message.capture_ns is None:
                continue
            bounds = [place for place in stepped[message.connection] if place <= message.place]
            if len(bounds) % 2:
                continue
            now_s = round((message.capture_ns - message.server_ns) / NS_PER_S * 4) / 4
            if abs(now_s - offset_s) > 1:
                found.append((message.place, now_s < offset_s))
                offset_s = now_s
        return found


def witness(paths: tuple[str, ...], connections: list[int] | None = None) -> Witness:
    """Read a recording; its connections follow each other, unless `connections` says which one each message has."""
    found = Witness()
    connection, last = -1, -1
    for path in paths:
        name = Path(path).name.removesuffix(".gz").removesuffix(".zst")
        data, is_whole = unpacked(path)
        if not is_whole:
            found.damaged.add(name)
        raws = data.split(b"\n")
        if raws[-1] == b"":
            raws.pop()
        else:
            found.cut.add((name, len(raws)))
        found.lines += len(raws)
        found.bytes += len(data)
        for number, raw in enumerate(raws, 1):
            line = valid(raw)
            if line is None and (name, number) not in found.cut:
                found.rejected.add((name, number))
            if line is None or line.channel is None:
                continue
            sequence_num = line.message["sequence_num"]
            if connections is not None:
                connection = connections[len(found.messages)]
            elif sequence_num <= last:
                connection += 1
            connection, last = max(connection, 0), sequence_num
            found.messages.append(Numbered((name, number), connection, sequence_num, line.message, line.capture_ns))
    return found


def unpacked(path: str) -> tuple[bytes, bool]:
    """Return what can be unpacked of a file, and whether that is all."""
    data = Path(path).read_bytes()
    if path.endswith(".gz"):
        decompressor = zlib.decompressobj(wbits=31)
        return decompressor.decompress(data), decompressor.eof
    if path.endswith(".zst"):
        zstd = zstandard.ZstdDecompressor().decompressobj()
        return zstd.decompress(data), zstd.eof
    return data, True


def intervals(numbers: set[tuple[int, int]]) -> set[tuple[int, int, int]]:
    """Join (connection, number) to (connection, first, last)."""
    found = set()
    for (connection, _), group in groupby(
        enumerate(sorted(numbers)), key=lambda item: (item[1][0], item[1][1] - item[0])
    ):
        joined = [number for _, (_, number) in group]
        found.add((connection, joined[0], joined[-1]))
    return found


def records(path: str | None) -> list[dict]:
    """Read faults.json."""
    assert path is not None
    return json.loads(Path(path).read_text("ascii"))


def ids(ranges: list[list[int]]) -> set[int]:
    """Spell out ranges of trade ids."""
    return {number for first, last in ranges for number in range(first, last + 1)}
