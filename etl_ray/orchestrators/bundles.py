"""Items of a stage as bundles that are worth a task: about ten seconds of work each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from etl_ray.orchestrators.work import Stage
from etl_ray.readers.segments import Unit

LONGEST_S = 10.0
"""A bundle is closed when it holds so much work: what a lost worker costs, and what others wait for at the end."""
SHORTEST_S = 0.3
"""A task costs some 10 ms to hand out, so that less work in one would be noticed."""
BUNDLES_PER_SLOT = 4
"""So many at least, where there is work for them: a slot that was unlucky with one then does fewer."""

_ITEM_S = 0.01
_BYTES_PER_S: dict[Stage, float] = {
    "normalize": 200e6,
    "build": 220e6,
    "trades": 50e6,
    "candles": 3e6,
    "compose": 100e6,
    "replay": 300e6,
    "witness": 250e6,
    "candle_witness": 17e6,
    "derive": 30e6,
    "recut": 50e6,
    "rebook": 25e6,
    "compact": 40e6,
}
"""Weight of items that a core does in a second, measured on a real recording; right to a factor of two or so."""
_UNPACKED = {".zst": 20, ".gz": 12}
"""How many times larger recordings become when they are unpacked, about."""


@dataclass(frozen=True)
class Bundle:
    """Consecutive items, the first of which is the `first` of its stage, and the seconds that they take, about."""

    first: int
    items: tuple[bytes, ...]
    seconds: float


def unit_bytes(unit: Unit) -> int:
    """Return how many bytes a unit has when it is unpacked, judged by its name: the weight of its item."""
    factors = (factor for suffix, factor in _UNPACKED.items() if unit.segment.url.lower().endswith(suffix))
    return unit.stored_bytes * next(factors, 1)


def bundled(stage: Stage, items: Sequence[tuple[bytes, int]], *, slots: int) -> list[Bundle]:
    """Put consecutive items, given with their weights in bytes, into bundles; the longest ones come first.

    There are few enough to be worth a task each, and enough for `slots` tasks at once; more slots than there are now
    find work as well, since no bundle holds much more than ten seconds.
    """
    seconds = [_ITEM_S + weight / _BYTES_PER_S[stage] for _, weight in items]
    target = min(LONGEST_S, max(SHORTEST_S, sum(seconds) / (slots * BUNDLES_PER_SLOT)))
    bundles: list[Bundle] = []
    first, filled = 0, 0.0
    for index, item_s in enumerate(seconds):
        filled += item_s
        if filled >= target or index == len(items) - 1:
            bundles.append(Bundle(first, tuple(item for item, _ in items[first : index + 1]), filled))
            first, filled = index + 1, 0.0
    # What takes longest begins first: at the end nobody waits for it.
    return sorted(bundles, key=lambda bundle: -bundle.seconds)
