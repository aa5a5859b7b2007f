"""Which units need not be read: those that are committed, and those that a run has finished before it died."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from etl_ray import storage
from etl_ray.errors import ConfigError, StorageError
from etl_ray.orchestrators.isolation import BEGUN
from etl_ray.orchestrators.normalize import receipt_url
from etl_ray.orchestrators.pruning import is_prunable
from etl_ray.orchestrators.receipt_store import ReceiptStore
from etl_ray.orchestrators.receipts import Pieces
from etl_ray.orchestrators.shards import unit_of
from etl_ray.orchestrators.work import read_receipt
from etl_ray.readers.segments import Unit


def finished_units(
    units: Sequence[Unit],
    staging: str,
    committed: ReceiptStore,
    pruned: Collection[str],
    reread: Collection[str],
    note: Callable[[str], None],
) -> ReceiptStore:
    """Return the receipts of finished units whose staged pieces are all there.

    Of units that are `pruned` only some pieces are kept; those of `reread` are not finished. `note` is told of each
    unit that is damaged or lacks pieces.
    """
    found = ReceiptStore()
    there = _Staged(staging)
    for unit in units:
        name = unit.name
        try:
            if name in committed and name not in reread:
                there.check(name, committed, is_pruned=name in pruned)
                found.add_packed(name, committed.packed(name), committed.facts[name])
            elif name in there.receipts:
                url = receipt_url(staging, name)
                receipt = read_receipt(storage.read_bytes(url), storage.redact(url))
                if receipt.unit != name:
                    raise StorageError(f"{storage.redact(url)} is the receipt of another unit, {receipt.unit}")
                earlier = ReceiptStore()
                earlier.add(receipt)
                there.check(name, earlier, is_pruned=False)
                found.add_packed(name, earlier.packed(name), earlier.facts[name])
        except StorageError as error:
            note(f"{error}; its unit is done again")
    return found


class _Staged:
    """What is below a staging directory: the receipts that are there, by unit, and pieces, counted by unit."""

    def __init__(self, staging: str) -> None:
        self.receipts: set[str] = set()
        self._staging = staging
        self._sizes: dict[str, int] = {}
        self._kept: dict[str, Pieces] = {}
        self._prunable: dict[str, Pieces] = {}
        try:
            listed = storage.list_files(staging)
        except ConfigError:
            return
        root = staging.rstrip("/") + "/"
        for info in listed:
            path = info.url.removeprefix(root)
            unit = unit_of(path)
            if path.startswith("receipts/"):
                self.receipts.add(unit)
                continue
            if path.startswith(f"{BEGUN}/"):
                continue
            counted = self._prunable if is_prunable(path) else self._kept
            counted[unit] = counted.get(unit, Pieces()) + Pieces(1, info.size)
            self._sizes[path] = info.size

    def check(self, unit: str, receipts: ReceiptStore, *, is_pruned: bool) -> None:
        """Raise StorageError if pieces of a unit are not there, or not whole."""
        facts = receipts.facts[unit]
        is_whole = self._kept.get(unit, Pieces()) == facts.kept
        if is_whole and (is_pruned or self._prunable.get(unit, Pieces()) == facts.prunable):
            return
        receipt = receipts[unit]
        expected = {file.path: file.bytes for file in receipt.files}
        expected[receipt.numbered.path] = receipt.numbered.bytes
        expected[receipt.numbered.marks] = receipt.numbered.marks_bytes
        expected.update(receipt.book.sizes if receipt.book else {})
        for path, size in expected.items():
            there = self._sizes.get(path)
            if there != size and not (is_pruned and is_prunable(path)):
                found = "is missing" if there is None else f"has {there:,} bytes"
                url = storage.redact(storage.join(self._staging, path))
                raise StorageError(f"{url} is not whole: expected {size:,} bytes, it {found}")
