"""Which units need not be read: those that are committed, and those that a run has finished before it died."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from etl_ray import storage
from etl_ray.errors import StorageError
from etl_ray.orchestrators.isolation import BEGUN, mark_url
from etl_ray.orchestrators.messages import pack_json
from etl_ray.orchestrators.normalize import receipt_url
from etl_ray.orchestrators.pruning import facts_of, is_prunable, sizes_of
from etl_ray.orchestrators.receipt_store import ReceiptStore
from etl_ray.orchestrators.receipts import Pieces, UnitFacts
from etl_ray.orchestrators.shards import unit_of
from etl_ray.orchestrators.staged_listing import staged_files
from etl_ray.orchestrators.work import read_receipt
from etl_ray.readers.segments import Unit

_READING_THREADS = 16  # requests of small files: waiting, not work
_READ_AT_ONCE = 1024


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
    broken: list[str] = []
    new = [unit.name for unit in units if unit.name in there.receipts and unit.name not in committed]
    with ThreadPoolExecutor(_READING_THREADS) as pool:
        for begin in range(0, len(new), _READ_AT_ONCE):
            names = new[begin : begin + _READ_AT_ONCE]
            for name, read in zip(names, pool.map(partial(_read, staging), names), strict=True):
                if isinstance(read, StorageError):
                    note(f"{read}; its unit is done again")
                    broken.append(name)
                else:
                    found.add_packed(name, *read)
    for unit in units:
        name = unit.name
        if name in committed and name not in reread:
            found.add_packed(name, committed.packed(name), committed.facts[name])
        if name in found:
            try:
                there.check(name, found, is_pruned=name in pruned)
            except StorageError as error:
                found.drop(name)
                note(f"{error}; its unit is done again")
                broken.append(name)
    for name in broken:  # no process has died over them
        storage.delete(mark_url(staging, name))
    return found


def _read(staging: str, unit: str) -> tuple[bytes, UnitFacts] | StorageError:
    """Return the receipt of a unit, packed, and what is asked of all receipts; or why there is none."""
    url = receipt_url(staging, unit)
    try:
        text = storage.read_bytes(url)
        receipt = read_receipt(text, storage.redact(url))
    except StorageError as error:
        return error
    if receipt.unit != unit:
        return StorageError(f"{storage.redact(url)} is the receipt of another unit, {receipt.unit}")
    return pack_json(text), facts_of(receipt)


class _Staged:
    """What is below a staging directory: the receipts that are there, by unit, and pieces, counted by unit."""

    def __init__(self, staging: str) -> None:
        self.receipts: set[str] = set()
        self._staging = staging
        self._kept: dict[str, Pieces] = {}
        self._prunable: dict[str, Pieces] = {}
        for path, size in staged_files(staging):
            unit = unit_of(path)
            if path.startswith("receipts/"):
                self.receipts.add(unit)
            elif not path.startswith(f"{BEGUN}/"):
                counted = self._prunable if is_prunable(path) else self._kept
                counted[unit] = counted.get(unit, Pieces()) + Pieces(1, size)

    def check(self, unit: str, receipts: ReceiptStore, *, is_pruned: bool) -> None:
        """Raise StorageError if pieces of a unit are not there, or not whole."""
        facts = receipts.facts[unit]
        is_whole = self._kept.get(unit, Pieces()) == facts.kept
        if is_whole and (is_pruned or self._prunable.get(unit, Pieces()) == facts.prunable):
            return
        for path, size in sizes_of(receipts[unit]).items():
            url = storage.join(self._staging, path)
            if is_pruned and is_prunable(path):
                continue
            there = storage.file_info(url).size if storage.exists(url) else None
            if there != size:
                found = "is missing" if there is None else f"has {there:,} bytes"
                raise StorageError(f"{storage.redact(url)} is not whole: expected {size:,} bytes, it {found}")
