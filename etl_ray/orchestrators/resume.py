"""Which units need not be read: those that are committed, and those that a run has finished before it died."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from etl_ray import storage
from etl_ray.errors import ConfigError, StorageError
from etl_ray.orchestrators.normalize import receipt_url
from etl_ray.orchestrators.pruning import is_prunable
from etl_ray.orchestrators.receipt_store import ReceiptStore
from etl_ray.orchestrators.receipts import Receipt
from etl_ray.orchestrators.work import read_receipt
from etl_ray.readers.segments import Unit


def finished_units(
    units: Sequence[Unit],
    staging: str,
    committed: Mapping[str, bytes],
    pruned: Collection[str],
    note: Callable[[str], None],
) -> ReceiptStore:
    """Return the receipts of finished units whose staged pieces are all there.

    `committed` are packed receipts by unit; of units that are `pruned` only some pieces are kept. `note` is told of
    each unit that is damaged or lacks pieces.
    """
    found = ReceiptStore()
    try:
        sizes = {info.url: info.size for info in storage.list_files(staging)}
    except ConfigError:
        sizes = {}
    for unit in units:
        packed = committed.get(unit.name)
        url = receipt_url(staging, unit.name)
        try:
            if packed is not None:
                found.add_packed(unit.name, packed)
                _check_whole(found[unit.name], unit.name in pruned, staging=staging, sizes=sizes)
            elif url in sizes:
                receipt = read_receipt(storage.read_bytes(url), storage.redact(url))
                if receipt.unit != unit.name:
                    raise StorageError(f"{storage.redact(url)} is the receipt of another unit, {receipt.unit}")
                _check_whole(receipt, False, staging=staging, sizes=sizes)
                found.add(receipt)
        except StorageError as error:
            found.drop(unit.name)
            note(f"{error}; its unit is done again")
    return found


def _check_whole(receipt: Receipt, is_pruned: bool, *, staging: str, sizes: Mapping[str, int]) -> None:
    """Raise StorageError if a file of a receipt has not the size that it says."""
    expected = {file.path: file.bytes for file in receipt.files}
    expected[receipt.numbered.path] = receipt.numbered.bytes
    expected[receipt.numbered.marks] = receipt.numbered.marks_bytes
    expected.update(receipt.book.sizes if receipt.book else {})
    for path, bytes_ in expected.items():
        if is_pruned and is_prunable(path):
            continue
        piece = storage.join(staging, path)
        size = sizes.get(piece)
        if size != bytes_:
            there = "is missing" if size is None else f"has {size:,} bytes"
            raise StorageError(f"{storage.redact(piece)} is not whole: expected {bytes_:,} bytes, it {there}")
