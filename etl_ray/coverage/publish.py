"""Which connection's book is published: `docs/semantics.md`, State of a book."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from etl_ray.coverage.states import BookStates
from etl_ray.coverage.timeline import SILENCE_NS
from etl_ray.venues.rows import Bools, Int64s


@dataclass(frozen=True)
class Candidate:
    """A connection that carries a product: `first` is the place of its first message with it.

    `places` and `times` (ts_server, ns) are those of its messages of any kind, as far as they matter, in arrival order.
    """

    connection: int
    first: int
    states: BookStates
    places: Int64s
    times: Int64s


def published(
    candidates: Sequence[Candidate],
    owner: Int64s,
    places: Int64s,
    times: Int64s,
    *,
    brought: Sequence[int],
    trust_beat: bool,
) -> Bools:
    """Tell of each message of a product, on the connection `owner`, whether it is on the published connection then.

    `candidates` are in the order in which they began; `places` and `times` are of the messages. `brought` are the
    places, ascending, of the first messages with the product on each connection, whether that is a candidate or not.
    """
    newest = np.r_[np.array(brought, np.int64), -1][np.searchsorted(brought, places, "right") - 1]
    best = np.full(len(places), -1, np.int64)
    best_state = np.full(len(places), 127, np.int8)
    for candidate in candidates:
        latest = np.searchsorted(candidate.places, places, "right") - 1
        there = (latest >= 0) & (candidate.first <= places)
        if len(candidate.places):
            there &= (candidate.places[latest] >= newest) & (times - candidate.times[latest] <= SILENCE_NS)
        states = candidate.states.at(places, trust_beat=trust_beat)
        better = (there | (owner == candidate.connection)) & (states < best_state)
        best[better], best_state[better] = candidate.connection, states[better]
    is_published: Bools = best == owner
    return is_published
