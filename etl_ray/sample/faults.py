"""The record of what went wrong in a recording: `faults.json`, beside its segments.

It is a list in order of arrival. Beside the kinds of FAULT_KINDS it holds `connection` (one for each) and
`trade-snapshot` (one for each that repeats or heals trades), which recordings without faults have as well. Of each:

- `kind`; `detail`: the sort of garbage, the channel subscribed again, or the clock that stepped;
- `connection`: counted from 0 in the order of their beginnings; the record of kind `connection` has its first line;
- `first_sequence_num`, `last_sequence_num`: the numbers of the messages concerned, both included;
- `segment`, `line`: where it can be seen: the line itself, or the connection's next line after messages that are lost.
  The segment is named without the suffix of its codec. Null if nothing comes after;
- `step_ns`: what the clock was set forward, negative for back;
- `channels`: messages concerned by channel, lost ones but for `connection`, `trade-snapshot`, `resubscribed` and
  `no-snapshot`; `products` that they name;
- `books_missing`: products of which the connection updates a book that did not arrive;
- `trades_lost`, `trades_repeated`, `trades_healed`: trade ids by product, as pairs of first and last. Lost ones were
  not delivered before, and may be healed later; of what passed while a collector was down only trades are told;
- `visible`: what a reader of the recording can know, words of VISIBLE.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from etl_ray.errors import StorageError

FAULTS_NAME = "faults.json"
VISIBLE = (
    "hole",  # numbers are missing
    "explained-hole",  # numbers are missing, and the heartbeats before and after tell that it was one of theirs
    "rejected-line",
    "cut-line",
    "damaged-segment",
    "no-snapshot",  # a book is updated that its connection has not sent
    "new-snapshot",  # a channel is sent from the start again in mid-connection
    "duplicate-trades",
    "healed-trades",  # a snapshot holds trades that were not delivered, of a product that was
    "new-connection",
    "silence",
    "clock-step",
    "nothing",
)


def _ids() -> defaultdict[str, set[int]]:
    return defaultdict(set)


@dataclass
class Fault:
    """One record, completed as the recording goes on; the module says what its fields are."""

    kind: str
    connection: int
    detail: str = ""
    first_sequence_num: int | None = None
    last_sequence_num: int | None = None
    segment: str | None = None
    line: int | None = None
    step_ns: int | None = None
    products: set[str] = field(default_factory=set)
    channels: Counter[str] = field(default_factory=Counter)
    books_missing: set[str] = field(default_factory=set)
    trades_lost: defaultdict[str, set[int]] = field(default_factory=_ids)
    trades_repeated: defaultdict[str, set[int]] = field(default_factory=_ids)
    trades_healed: defaultdict[str, set[int]] = field(default_factory=_ids)
    visible: set[str] = field(default_factory=set)

    def count(self, sequence_num: int, channel: str, products: Iterable[str]) -> None:
        """Add a message that is concerned."""
        if self.first_sequence_num is None:
            self.first_sequence_num = sequence_num
        self.last_sequence_num = sequence_num
        self.channels[channel] += 1
        self.products.update(products)

    def show(self, segment: str, line: int) -> None:
        """Say where it can be seen, unless that is known."""
        if self.line is None:
            self.segment, self.line = segment, line

    def as_dict(self) -> dict[str, object]:
        """Return all fields by name, ready for JSON."""
        return {
            "kind": self.kind,
            "detail": self.detail,
            "connection": self.connection,
            "first_sequence_num": self.first_sequence_num,
            "last_sequence_num": self.last_sequence_num,
            "segment": self.segment,
            "line": self.line,
            "step_ns": self.step_ns,
            "products": sorted(self.products),
            "channels": dict(sorted(self.channels.items())),
            "books_missing": sorted(self.books_missing),
            "trades_lost": _ranges(self.trades_lost),
            "trades_repeated": _ranges(self.trades_repeated),
            "trades_healed": _ranges(self.trades_healed),
            "visible": sorted(self.visible) or ["nothing"],
        }


def save_faults(out_dir: str, faults: Sequence[Fault]) -> str:
    """Write the records to faults.json in `out_dir`, one a line; return its path. StorageError if that fails."""
    path = Path(out_dir) / FAULTS_NAME
    hidden = path.with_name(f".{path.name}")
    lines = ",\n".join(json.dumps(fault.as_dict(), separators=(",", ":")) for fault in faults)
    try:
        hidden.write_bytes(f"[\n{lines}\n]\n".encode("ascii"))
        hidden.replace(path)
    except OSError as error:
        hidden.unlink(missing_ok=True)
        raise StorageError(f"cannot write {path}: {error}") from error
    return str(path)


def _ranges(ids: Mapping[str, set[int]]) -> dict[str, list[list[int]]]:
    found: dict[str, list[list[int]]] = {}
    for product in sorted(ids):
        ranges: list[list[int]] = []
        for trade_id in sorted(ids[product]):
            if ranges and ranges[-1][1] == trade_id - 1:
                ranges[-1][1] = trade_id
            else:
                ranges.append([trade_id, trade_id])
        if ranges:
            found[product] = ranges
    return found
