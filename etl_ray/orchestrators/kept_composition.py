"""A composition of a product's book on disk, in names that stay: ids of connections, identities of segments."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from etl_ray import storage
from etl_ray.errors import NotFoundError
from etl_ray.orchestrators.messages import from_json, to_json
from etl_ray.orchestrators.staged_books import StagedStretch

COMPOSED = "book/composed"
"""Below the staging directory: of each product a description, and the Arrow file of books that this names."""
NOT_KEPT = -1
"""The batch of a start book that is not kept any more."""


@dataclass(frozen=True)
class KeptStart:
    """A start book, by the id of its connection, and segment and line of the product's latest message on it."""

    connection: str
    batch: int
    clock: int
    segment: str
    line: int
    content: str


@dataclass(frozen=True)
class KeptStretch:
    """A stretch of a unit, the product's clock behind it, and whether a message of it is published."""

    unit: int
    staged: StagedStretch
    clock: int
    is_published: bool


@dataclass(frozen=True)
class KeptShard:
    """A shard: the books and the clock in front of it, the days that began it, its stretches."""

    starts: tuple[KeptStart, ...]
    clock: int | None
    dates: tuple[int, ...]
    stretches: tuple[KeptStretch, ...]


@dataclass(frozen=True)
class Kept:
    """All shards of a product, the books and the clock behind them. `units` are the contents of its units.

    `path` is the file of the books, below the staging directory.
    """

    price_scale: int
    quantity_scale: int
    interval_ns: int
    units: tuple[str, ...]
    shards: tuple[KeptShard, ...]
    end: tuple[KeptStart, ...]
    end_clock: int | None
    path: str


def name_of(product: str) -> str:
    """Return a file name for a product."""
    return hashlib.sha256(product.encode()).hexdigest()[:16]


def read_kept(staging: str, product: str) -> Kept | None:
    """Return what is kept of a product, None if that is nothing, or not all there."""
    url = _url(staging, product)
    try:
        kept = from_json(Kept, storage.read_bytes(url), storage.redact(url))
    except NotFoundError:
        return None
    return kept if storage.exists(storage.join(staging, kept.path)) else None


def write_kept(staging: str, product: str, kept: Kept) -> None:
    """Keep the composition of a product, in the place of an older one."""
    storage.write_bytes(_url(staging, product), to_json(kept), durable=False)


def _url(staging: str, product: str) -> str:
    return storage.join(staging, COMPOSED, f"{name_of(product)}.json")
