"""What the parser returns for a stretch of lines."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from etl_ray.venues.rows import NULL, Int32s, Int64s, Messages, Rows
from etl_ray.venues.shapes import Venue

MAX_RAW_BYTES = 65_536
_CHANNEL = re.compile(rb'"channel"[ \t\r]*:[ \t\r]*"([A-Za-z0-9_]{1,64})"')


@dataclass(frozen=True)
class Reject:
    """A rejected line: its number from 1 within the unit, its place in the segment, and why it was rejected.

    `raw` holds its first 65,536 bytes if they may be kept, else None.
    """

    line: int
    byte_offset: int
    length: int
    sha256: str
    channel: str | None
    reason: str
    raw: bytes | None


@dataclass(frozen=True)
class ErrorLine:
    """An error message of the venue."""

    line: int
    ts_capture: int
    message: str | None


@dataclass(frozen=True)
class Mentions:
    """Which products messages name: symbol `product[i]` in message `message[i]`."""

    message: Int32s
    product: Int32s


@dataclass(frozen=True)
class Parsed:
    """All that was found in `lines` consecutive lines. Lines = messages + errors + rejects + blank.

    `messages` holds public and private messages in line order, `rows` the rows of each table that has any. `slow_lines`
    took the strict parser, `unknown_keys` counts keys that no declaration knows.
    """

    lines: int
    blank: int
    slow_lines: int
    unknown_keys: int
    messages: Messages
    rows: Mapping[str, Rows]
    mentions: Mentions
    errors: tuple[ErrorLine, ...]
    rejects: tuple[Reject, ...]
    symbols: tuple[str, ...]

    def heartbeat_counters(self) -> Int64s:
        """Return the counter of each message's first heartbeat, NULL where there is none."""
        counters = np.full(len(self.messages), NULL, np.int64)
        rows = self.rows.get("heartbeats")
        if rows is not None:
            # Of several heartbeats in a message the first one is assigned last.
            counters[rows.message[::-1]] = rows.ints("heartbeat_counter")[::-1]
        return counters


def make_reject(line: int, byte_offset: int, raw: bytes, *, reason: str, venue: Venue) -> Reject:
    """Describe a rejected line that is given without its line feed."""
    named = [match.decode() for match in _CHANNEL.findall(raw)]
    # Two lines run into each other, or a name written with escapes, may hide a private message: any doubt means no.
    private = b"\\u" in raw or any(channel.encode() in raw for channel in venue.private_channels)
    public = any(channel in venue.channels for channel in named)
    return Reject(
        line=line,
        byte_offset=byte_offset,
        length=len(raw),
        sha256=hashlib.sha256(raw).hexdigest(),
        channel=named[0] if named else None,
        reason=reason.partition(", found ")[0] if private else reason,
        raw=raw[:MAX_RAW_BYTES] if public and not private else None,
    )
