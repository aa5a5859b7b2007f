"""What books of an OUTPUT are computed again from: its files by product, and what its ledger says of them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from etl_ray import storage
from etl_ray.errors import ConfigError
from etl_ray.orchestrators.books import product_scales
from etl_ray.orchestrators.committed import committed_receipts
from etl_ray.orchestrators.final_files import file_number
from etl_ray.orchestrators.manifest import Ledger, Manifest
from etl_ray.orchestrators.receipts import BuiltFile
from etl_ray.orchestrators.row_groups import NO_DATE, Place
from etl_ray.orchestrators.stored_books import checked_numbers
from etl_ray.tables import Numbers
from etl_ray.tables.book import BookColumns
from etl_ray.tables.partitions import encode_value

_FLOAT_DIGITS = 15
"""Of decimals with more digits, several may have the same nearest float."""


@dataclass(frozen=True)
class StoredShard:
    """The files of one shard of a stored book; `bytes` are those of `book`. There may be none of one of the tables."""

    number: int
    book: tuple[str, ...]
    checkpoints: tuple[BuiltFile, ...]
    bytes: int


@dataclass(frozen=True)
class RebookPlan:
    """A product whose book is computed again, with its files in arrival order, those of `level2` for each date.

    Its integers are prices * 10**price_scale and quantities * 10**quantity_scale. `ofi_breaks`: flow is unknown where
    the stored one is; else at snapshots. `start_ns` is where the rows of OUTPUT begin, by ts_server (None: all).
    """

    product: str
    numbers: Numbers
    price_scale: int
    quantity_scale: int
    ofi_breaks: bool
    start_ns: int | None
    level2: tuple[tuple[str, ...], ...]
    shards: tuple[StoredShard, ...]
    coverage: tuple[str, ...]


@dataclass(frozen=True)
class RebookPlans:
    """The plans of all products with a book, and why others cannot be computed again."""

    plans: tuple[RebookPlan, ...]
    refused: tuple[str, ...]


@dataclass(frozen=True)
class PlacedGroup:
    """A row group of a file: its rows do not lie before `first` nor behind `last`."""

    path: str
    index: int
    first: Place
    last: Place


@dataclass(frozen=True)
class Span:
    """The messages behind the place `after` up to `until` (None: no limit), in arrival order of row groups."""

    level2: tuple[PlacedGroup, ...]
    book: tuple[PlacedGroup, ...]
    checkpoints: tuple[str, ...]
    after: Place | None
    until: Place | None


@dataclass(frozen=True)
class RebookShard:
    """A shard of a book that is computed again from `span`, and for intervals from those `ahead` of it.

    `clock` is the product's latest time in front of it (ns, None: there was no message); `silences` are spans (from,
    to, ns) in which nothing came. `copied` are the files of `book_checkpoints`. Without span there is nothing more to
    do. The other fields are those of the plan.
    """

    product: str
    number: int
    numbers: Numbers
    price_scale: int
    quantity_scale: int
    ofi_breaks: bool
    span: Span | None
    ahead: tuple[Span, ...]
    copied: tuple[BuiltFile, ...]
    clock: int | None
    silences: tuple[tuple[int, int], ...]
    bytes: int


@dataclass(frozen=True)
class CutBook:
    """The shards of a product."""

    product: str
    shards: tuple[RebookShard, ...]


def plan_rebooks(
    manifest: Manifest, output: str, columns: BookColumns, *, products: Collection[str] = ()
) -> RebookPlans:
    """Plan the books of OUTPUT anew with other columns, from its manifest and ledger; no file of a table is read.

    Without `products` those of all. ConfigError if the stored tables do not say enough.
    """
    numbers = checked_numbers(manifest, storage.redact(output))
    options = json.loads(manifest.semantic)["channels"]["level2"]["processor_options"]
    _check_options(options, columns, storage.redact(output))
    by_table: dict[str, list[BuiltFile]] = {}
    for file in manifest.files:
        by_table.setdefault(file.table, []).append(file)
    shards = _shards(by_table.get("book", ()), by_table.get("book_checkpoints", ()))
    level2 = _by_product(by_table.get("level2", ()))
    coverage = tuple(sorted(file.path for file in by_table.get("coverage", ())))
    scales = product_scales(committed_receipts(Ledger(storage.canonical(output)), manifest))
    plans: list[RebookPlan] = []
    refused: list[str] = []
    for product, known in sorted(scales.items()):
        encoded = encode_value(product)
        if encoded not in shards or (products and product not in products):
            continue
        if numbers == "float64" and max(known.price, known.quantity) >= 10**_FLOAT_DIGITS:
            refused.append(
                f"the book of {product} cannot be computed again: expected prices and quantities of up to "
                f"{_FLOAT_DIGITS} digits, found more, which the float64 of OUTPUT do not tell apart; run again with "
                "numbers: decimal"
            )
            continue
        plans.append(
            RebookPlan(
                product=product,
                numbers=numbers,
                price_scale=known.price_scale,
                quantity_scale=known.quantity_scale,
                ofi_breaks=bool(options["trust_beat"]) and columns.features,
                start_ns=manifest.start_ns,
                level2=_in_order(level2.get(encoded, []) + level2.get(None, [])),
                shards=tuple(shards[encoded]),
                coverage=coverage,
            )
        )
    return RebookPlans(tuple(plans), tuple(refused))


def _check_options(options: dict[str, object], columns: BookColumns, output: str) -> None:
    if options["emit"] != "message":
        raise ConfigError(
            f"the book of OUTPUT {output} has a row for each {options['emit']}, which do not tell what was between: "
            "expected emit: message; run again with that, and then compute intervals from it"
        )
    if options["trust_beat"] and columns.features and not options["compute_features"]:
        raise ConfigError(
            f"OUTPUT {output} was made with trust_beat: true and compute_features: false, so it does not tell where "
            "flow is unknown behind holes: run again with compute_features: true, or ask for no features"
        )


def _shards(books: Iterable[BuiltFile], checkpoints: Iterable[BuiltFile]) -> dict[str, list[StoredShard]]:
    """Return the shards of each product, which is named as in paths."""
    found: dict[str, dict[int, tuple[list[BuiltFile], list[BuiltFile]]]] = {}
    for file in books:
        found.setdefault(_key(file.path, "product_id"), {}).setdefault(file_number(file.path), ([], []))[0].append(file)
    for file in checkpoints:
        found.setdefault(_key(file.path, "product_id"), {}).setdefault(file_number(file.path), ([], []))[1].append(file)
    return {
        product: [
            StoredShard(
                number=number,
                book=tuple(sorted(file.path for file in files)),
                checkpoints=tuple(sorted(copied, key=lambda file: file.path)),
                bytes=sum(file.bytes for file in files),
            )
            for number, (files, copied) in sorted(parts.items())
        ]
        for product, parts in found.items()
    }


def _by_product(files: Iterable[BuiltFile]) -> dict[str | None, list[str]]:
    """Return the files of each product, named as in paths; None: of any."""
    found: dict[str | None, list[str]] = {}
    for file in files:
        found.setdefault(_key(file.path, "product_id") or None, []).append(file.path)
    return found


def _in_order(paths: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Return files in arrival order, those of each date together."""
    by_date: dict[str, list[str]] = {}
    for path in sorted(paths, key=lambda path: (len(path), path)):
        by_date.setdefault(_key(path, "date") or NO_DATE, []).append(path)
    return tuple(tuple(found) for _, found in sorted(by_date.items()))


def _key(path: str, name: str) -> str:
    """Return the value of a partition key in a path, empty if there is none."""
    return dict(part.split("=", 1) for part in path.split("/")[1:-1]).get(name, "")
