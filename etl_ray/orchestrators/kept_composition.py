"""A composition of a product's book on disk, in names that stay: ids of connections, identities of segments."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from etl_ray import storage
from etl_ray.errors import NotFoundError, StorageError
from etl_ray.orchestrators.messages import from_json, to_json
from etl_ray.orchestrators.staged_books import StagedStretch

COMPOSED = "book/composed"
"""Below the staging directory: of each product a description, and the Arrow file of books that this names."""
NOT_KEPT = -1
"""The batch of a start book that is not kept any more."""
_DESCRIBED = 2
"""A description and the file that it names."""


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

    `path` is the file of the books, below the staging directory, and `bytes` its size.
    """

    price_scale: int
    quantity_scale: int
    interval_ns: int
    units: tuple[str, ...]
    shards: tuple[KeptShard, ...]
    end: tuple[KeptStart, ...]
    end_clock: int | None
    path: str
    bytes: int


def name_of(product: str) -> str:
    """Return a file name for a product."""
    return hashlib.sha256(product.encode()).hexdigest()[:16]


def read_kept(staging: str, product: str) -> Kept | None:
    """Return what is kept of a product, None if that is nothing, or not all there."""
    kept = _read(_url(staging, product))
    return kept if kept is not None and _size(storage.join(staging, kept.path)) == kept.bytes else None


def _size(url: str) -> int | None:
    try:
        return storage.file_info(url).size
    except NotFoundError:
        return None


def _read(url: str) -> Kept | None:
    try:
        text = storage.read_bytes(url)
    except NotFoundError:
        return None
    try:
        return from_json(Kept, text, storage.redact(url))
    except StorageError:  # it was not flushed when the power failed: it is composed again
        return None


def kept_pieces(staging: str, pieces: Iterable[str], books: Collection[str] | None) -> frozenset[str]:
    """Return which pieces below `COMPOSED` are descriptions with their books; others are of runs that died.

    `books` are the files of books if they are known; if not (None), the descriptions tell.
    """
    by_product: dict[str, set[str]] = {}
    for piece in pieces:
        if piece.startswith(f"{COMPOSED}/"):
            by_product.setdefault(piece.partition(".")[0], set()).add(piece)
    found: set[str] = set()
    for product, mine in by_product.items():
        description = f"{product}.json"
        if books is not None:
            named = mine.intersection(books)
        elif len(mine) > _DESCRIBED:  # a large description is read only if there is something to decide
            kept = _read(storage.join(staging, description))
            named = mine & {kept.path if kept else ""}
        else:
            named = mine - {description}
        if named and description in mine:
            found |= {description, *named}
    return frozenset(found)


def write_kept(staging: str, product: str, kept: Kept) -> None:
    """Keep the composition of a product, in the place of an older one."""
    storage.write_bytes(_url(staging, product), to_json(kept), durable=False)


def _url(staging: str, product: str) -> str:
    return storage.join(staging, COMPOSED, f"{name_of(product)}.json")
