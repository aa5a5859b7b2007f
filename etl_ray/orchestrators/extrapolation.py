"""From the heads of some segments to all of them: sizes, sums of what their lines come to, the time they cover.

A segment is a beginning, whose snapshots come once, and lines that go on alike. So snapshots are counted by segment,
and all other lines by their bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from etl_ray.orchestrators.sampling import Content, Head
from etl_ray.readers.codecs import Codec

_NS_PER_S = 1_000_000_000
Count = Callable[[Content], float]
"""What is counted of some lines."""


def unpacked_bytes(sizes: Sequence[int], codecs: Sequence[Codec | None], heads: Sequence[Head]) -> list[float]:
    """Return the unpacked size of each segment, given its stored size and codec; known ones exactly."""
    found = [size * ratio(codec, heads) for size, codec in zip(sizes, codecs, strict=True)]
    for head in heads:
        if head.is_whole:
            found[head.index] = float(head.bytes)
    return found


def ratio(codec: Codec | None, heads: Sequence[Head]) -> float:
    """Return unpacked bytes per stored byte of a codec: of its heads, or of all packed ones; 1 of plain segments."""
    if codec is None:
        return 1.0
    same = [head for head in heads if head.codec == codec] or [head for head in heads if head.codec is not None]
    stored = sum(head.stored for head in same)
    return sum(head.bytes for head in same) / stored if stored else 1.0


@dataclass(frozen=True)
class Extrapolation:
    """Sums over `segments` segments of `unpacked` bytes, of which `heads` are known."""

    segments: int
    unpacked: float
    heads: tuple[Head, ...]

    def total(self, count: Count, *, repeated: bool = True) -> float:
        """Return the sum of what `count` finds; without `repeated`, of snapshots only the first segment's count."""
        starts = self._starts(count, repeated=repeated)
        going_on = sum(head.updates.bytes for head in self.heads)
        if not going_on:  # nothing but snapshots was seen
            seen = sum(head.snapshots.bytes for head in self.heads)
            return self.unpacked / seen * sum(count(head.snapshots) for head in self.heads) if seen else 0.0
        left = max(0.0, self.unpacked - self._starts(lambda part: part.bytes, repeated=True))
        return starts + left * sum(count(head.updates) for head in self.heads) / going_on

    def _starts(self, count: Count, *, repeated: bool) -> float:
        first = sum(count(head.snapshots) for head in self.heads if head.index == 0)
        others = [count(head.snapshots) for head in self.heads if head.index]
        return first + (sum(others) / len(others) * (self.segments - 1) if others and repeated else 0.0)


def span_s(unpacked: Sequence[float], heads: Sequence[Head]) -> float:
    """Return how much time segments cover, of the unpacked sizes: from the first message that is known to the last."""
    timed = [head for head in heads if head.ts_min is not None and head.ts_max is not None]
    if not timed:
        return 0.0
    first, last = timed[0], timed[-1]
    between = sum(unpacked[first.index : last.index])
    apart_s = ((last.ts_min or 0) - (first.ts_min or 0)) / _NS_PER_S
    beyond = sum(unpacked[: first.index]) + sum(unpacked[last.index :])
    if between and apart_s > 0:
        last_s = ((last.ts_max or 0) - (last.ts_min or 0)) / _NS_PER_S
        if last.is_whole:
            return apart_s + last_s + (beyond - unpacked[last.index]) * apart_s / between
        return apart_s + beyond * apart_s / between
    longest = max(timed, key=lambda head: head.updates.bytes)
    length_s = ((longest.ts_max or 0) - (longest.ts_min or 0)) / _NS_PER_S
    return length_s * sum(unpacked) / longest.bytes if longest.bytes else 0.0
