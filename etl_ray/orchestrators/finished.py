"""What an item of work that is finished comes to, in the figures of metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from etl_ray.orchestrators.receipts import Receipt
from etl_ray.orchestrators.results import HasFiles


@dataclass(frozen=True)
class Finished:
    """The figures of one item.

    `stored_bytes` of segments were read, which are `read_bytes` unpacked. `written_bytes` are those of final files, and
    `rows` theirs, per table. `rejects` are lines.
    """

    stored_bytes: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    rows: Mapping[str, int] = field(default_factory=dict)
    rejects: int = 0


def finished_unit(receipt: Receipt, stored_bytes: int) -> Finished:
    """Return what a unit that was read comes to; its rows count when they are in final files."""
    counts = receipt.counts
    return Finished(stored_bytes=stored_bytes, read_bytes=counts.bytes, rejects=counts.rejects)


def finished_item(result: object) -> Finished:
    """Return what the result of another stage comes to."""
    if not isinstance(result, HasFiles):
        return Finished()
    rows: Counter[str] = Counter()
    for file in result.files:
        rows[file.table] += file.rows
    return Finished(written_bytes=sum(file.bytes for file in result.files), rows=rows)
