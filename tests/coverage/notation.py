"""Tiny recordings in writing, and what is to be said of them: README.md here explains the notation."""

from __future__ import annotations

import calendar
import json
import re
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

Row = dict[str, object]
Place = tuple[str, int]

_NS_PER_S = 10**9
_NS_PER_DAY = 86_400 * _NS_PER_S
_SECTIONS = ("recording", "connections", "coverage", "book")
_HEAD = {"start": "2025-11-26T14:00:00Z", "trust_beat": "false"}
_GARBAGE = b'{"channel":"ticker","timestamp":"2025-11-26T14'
_ERROR = b'{"type":"error","message":"rate limit exceeded"}'
_MESSAGE = re.compile(r"([a-z]['a-z]*)([0-9]+) +([0-9.]+) +(.+)")
_CLASSES = ("lost", "explained", "rejected", "damaged_segment")


@dataclass(frozen=True)
class Sent:
    """A numbered message: where it stands, and its time of the server."""

    place: Place
    number: int
    ts_server: int


@dataclass
class Written:
    """A recording: its segments as lines, which of them are damaged, and its messages by name."""

    title: str
    trust_beat: bool
    segments: dict[str, list[bytes]] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    sent: dict[str, Sent] = field(default_factory=dict)
    connections: list[Row] = field(default_factory=list)
    coverage: list[Row] = field(default_factory=list)
    book: dict[str, list[tuple[Place, str]]] = field(default_factory=dict)
    """State of every row of a published book, by product."""

    @property
    def end(self) -> Place:
        """Return the line behind the last one."""
        segment = [name for name, lines in self.segments.items() if lines][-1]
        return segment, len(self.segments[segment]) + 1

    def save(self, directory: Path) -> None:
        """Write the segments; a damaged one is packed, and its stream does not end."""
        for segment, lines in self.segments.items():
            raw = b"".join(line + b"\n" for line in lines)
            if segment in self.damaged:
                packer = zlib.compressobj(wbits=31)
                raw = packer.compress(raw) + packer.flush(zlib.Z_SYNC_FLUSH)
            (directory / f"{segment}{'.gz' if segment in self.damaged else ''}").write_bytes(raw)


def read(path: Path) -> Written:
    """Read a recording and what is expected of it."""
    title, *lines = path.read_text("utf-8").splitlines()
    head, sections = dict(_HEAD), {name: list[str]() for name in _SECTIONS}
    section: list[str] | None = None
    for line in lines:
        text = line.partition("#")[0].strip()
        name, colon, value = text.partition(":")
        if colon and not value and name in sections:
            section = sections[name]
        elif section is not None and text:
            section.append(text)
        elif text:
            assert name in _HEAD, f"{path.name}: {line}"
            head[name] = value.strip()
    written = Written(title.strip("# "), head["trust_beat"] == "true")
    start_ns = calendar.timegm(time.strptime(head["start"], "%Y-%m-%dT%H:%M:%SZ")) * _NS_PER_S
    _record(written, sections["recording"], start_ns)
    expected = _Expected(written)
    for line in sections["connections"]:
        written.connections.append(expected.connection(line.split()))
    for line in sections["coverage"]:
        expected.add_tile(line.split())
    for line in sections["book"]:
        expected.add_book(line)
    return written


def _record(written: Written, lines: list[str], start_ns: int) -> None:
    def segment() -> str:
        return f"segment_20251126T14_{len(written.segments):05}.ndjson"

    written.segments[f"segment_20251126T14_{1:05}.ndjson"] = []
    private: set[str] = set()
    for line in lines:
        now = written.segments[segment()]
        if line == "cut":
            written.damaged.add(segment())
        elif line == "---":
            written.segments[f"segment_20251126T14_{len(written.segments) + 1:05}.ndjson"] = []
        elif line in ("!", ".", "error"):
            now.append({"!": _GARBAGE, ".": b"", "error": _ERROR}[line])
        else:
            match = _MESSAGE.fullmatch(line)
            assert match, line
            ts_server = start_ns + int(Decimal(match[3]) * _NS_PER_S)
            now.append(message(match[4], int(match[2]), ts_server))
            name = f"{match[1]}{match[2]}"
            assert name not in written.sent, name
            written.sent[name] = Sent((segment(), len(now)), int(match[2]), ts_server)
            private.update({name} if match[4] == "user" else ())
    _give_times(written.sent, private)


def _give_times(sent: dict[str, Sent], private: set[str]) -> None:
    """Give private messages, which are not looked into, the time of the one before, or else of the first."""
    latest = next(one.ts_server for name, one in sent.items() if name not in private)
    for name, one in sent.items():
        latest = latest if name in private else one.ts_server
        sent[name] = replace(one, ts_server=latest)


def message(text: str, number: int, ts_server: int) -> bytes:
    """Return the line of a message, such as `snap BTC b100x1 a101x2; up ETH`."""
    events = [part.split() for part in text.split(";")]
    channel, _ = _EVENTS[events[0][0]]
    head = {"channel": channel, "timestamp": _time(ts_server), "sequence_num": number}
    body = [event for word, *rest in events for event in _EVENTS[word][1](rest, _time(ts_server))]
    return json.dumps({**head, "events": body}, separators=(",", ":")).encode()


def _time(ns: int) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(ns // _NS_PER_S))}.{ns % _NS_PER_S:09}Z"


def _l2(kind: str, default: str) -> Callable[[list[str], str], list[object]]:
    def events(words: list[str], at: str) -> list[object]:
        product, *levels = words
        updates = []
        for level in levels or default.split():
            price, quantity = level[1:].split("x")
            side = {"b": "bid", "a": "offer"}[level[0]]
            updates.append({"side": side, "event_time": at, "price_level": price, "new_quantity": quantity})
        return [{"type": kind, "product_id": f"{product}-USD", "updates": updates}]

    return events


def _rows(key: str, **fields: object) -> Callable[[list[str], str], list[object]]:
    def events(words: list[str], at: str) -> list[object]:
        id_key = "id" if key == "products" else "product_id"
        rows = [{id_key: f"{product}-USD", **fields} for product in words]
        if key == "trades":
            rows = [{**row, "time": at} for row in rows]
        return [{"type": "update", key: rows}]

    return events


def _heartbeat(words: list[str], _: str) -> list[object]:
    return [{"heartbeat_counter": int(words[0])}] if words else []


_CANDLE = {"start": "1764165600", "open": "1", "high": "1", "low": "1", "close": "1", "volume": "1"}
_TRADE = {"trade_id": "1", "price": "1", "size": "1", "side": "BUY"}
_EVENTS: dict[str, tuple[str, Callable[[list[str], str], list[object]]]] = {
    "snap": ("l2_data", _l2("snapshot", "b100x1 a101x1")),
    "up": ("l2_data", _l2("update", "b99x1")),
    "empty": ("l2_data", _l2("snapshot", "")),
    "none": ("l2_data", _l2("update", "")),
    "trades": ("market_trades", _rows("trades", **_TRADE)),
    "ticker": ("ticker", _rows("tickers", price="1")),
    "batch": ("ticker_batch", _rows("tickers", price="1")),
    "candles": ("candles", _rows("candles", **_CANDLE)),
    "status": ("status", _rows("products", status="online")),
    "hb": ("heartbeats", _heartbeat),
    "ack": ("subscriptions", lambda _words, _at: [{"subscriptions": {}}]),
    "user": ("user", lambda _words, _at: []),
}


class _Expected:
    """Reads what is expected, in the names of messages."""

    def __init__(self, written: Written) -> None:
        self._written = written
        self._key: tuple[str, str] = "", ""

    def _connection_id(self, name: str) -> str | None:
        if name == "-":
            return None
        sent = self._written.sent
        first = name if name in sent else next(key for key in sent if re.fullmatch(f"{name}[0-9]+", key))
        segment, line = sent[first].place
        return f"{segment}:{line}"

    def connection(self, words: list[str]) -> Row:
        """Read `a a0..a9 8 messages l2_data,heartbeats BTC lost 1/3 unverifiable 5`."""
        name, span, messages, _, channels, products, *holes = words
        first, last = (self._written.sent[edge] for edge in span.split(".."))
        row: Row = {
            "connection_id": self._connection_id(name),
            "segment_first": first.place[0],
            "line_first": first.place[1],
            "segment_last": last.place[0],
            "line_last": last.place[1],
            "ts_first": first.ts_server,
            "ts_last": last.ts_server,
            "sequence_num_first": first.number,
            "sequence_num_last": last.number,
            "messages": int(messages),
            "channels": sorted(channels.split(",")),
            "products": [] if products == "-" else sorted(f"{product}-USD" for product in products.split(",")),
            "missing_unverifiable": 0,
            **{f"{what}_{cause}": 0 for cause in _CLASSES for what in ("holes", "missing")},
        }
        for key, value in zip(holes[::2], holes[1::2], strict=True):
            if key == "unverifiable":
                row["missing_unverifiable"] = int(value)
            elif key == "greatest":
                row["sequence_num_last"] = int(value)
            else:
                assert key in _CLASSES, key
                row[f"holes_{key}"], row[f"missing_{key}"] = map(int, value.split("/"))
        return row

    def add_tile(self, words: list[str]) -> None:
        """Read `level2 BTC`, or a tile of it: `a5..a9 suspect lost a`."""
        if ".." not in words[0]:
            self._key = words[0], f"{words[1]}-USD"
            return
        edges, state, *of = words
        cause = None if state == "verified" else of[0]
        (start, ts_start), (end, ts_end) = (self._edge(edge) for edge in edges.split(".."))
        self._written.coverage.append(
            {
                "channel": self._key[0],
                "product_id": self._key[1],
                "date": time.strftime("%Y-%m-%d", time.gmtime(ts_start // _NS_PER_S)),
                "state": state,
                "cause": cause,
                "connection_id": self._connection_id(of[-1]),
                "segment_start": start[0],
                "line_start": start[1],
                "segment_end": end[0],
                "line_end": end[1],
                "ts_start": ts_start,
                "ts_end": ts_end,
                "ids_missing": 0 if self._key[0] == "market_trades" else None,  # all trades are one
            }
        )

    def _edge(self, text: str) -> tuple[Place, int]:
        name, _, midnight = text.partition("@")
        if name == "end":
            return self._written.end, [*self._written.sent.values()][-1].ts_server
        assert midnight in ("", "midnight"), text
        sent = self._written.sent[name]
        return sent.place, sent.ts_server // _NS_PER_DAY * _NS_PER_DAY if midnight else sent.ts_server

    def add_book(self, line: str) -> None:
        """Read `BTC: a1 verified, a2 suspect`."""
        product, _, rows = line.partition(":")
        words = [row.split() for row in rows.split(",")]
        self._written.book[f"{product}-USD"] = [(self._written.sent[name].place, state) for name, state in words]
