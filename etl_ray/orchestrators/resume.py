"""What a run of the same id has finished before it died."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from etl_ray import storage
from etl_ray.errors import ConfigError, StorageError
from etl_ray.orchestrators.normalize import receipt_url
from etl_ray.orchestrators.receipts import Receipt
from etl_ray.orchestrators.work import read_receipt
from etl_ray.readers.segments import Unit


def earlier_receipts(units: Sequence[Unit], staging: str, note: Callable[[str], None]) -> Iterator[Receipt]:
    """Yield the receipts of finished units; `note` is told of each that is damaged or lacks its pieces."""
    try:
        sizes = {info.url: info.size for info in storage.list_files(staging)}
    except ConfigError:
        return
    for unit in units:
        url = receipt_url(staging, unit.name)
        if url not in sizes:
            continue
        try:
            yield _whole_receipt(unit, url, staging=staging, sizes=sizes)
        except StorageError as error:
            note(f"{error}; its unit is done again")


def _whole_receipt(unit: Unit, url: str, *, staging: str, sizes: Mapping[str, int]) -> Receipt:
    """Read the receipt of a unit; StorageError if it is not that, or if a file of it has not the size that it says."""
    receipt = read_receipt(storage.read_bytes(url), storage.redact(url))
    if receipt.unit != unit.name:
        raise StorageError(f"{storage.redact(url)} is the receipt of another unit, {receipt.unit}")
    expected = {file.path: file.bytes for file in receipt.files}
    expected[receipt.numbered.path] = receipt.numbered.bytes
    expected[receipt.numbered.marks] = receipt.numbered.marks_bytes
    expected.update(receipt.book.sizes if receipt.book else {})
    for path, bytes_ in expected.items():
        piece = storage.join(staging, path)
        size = sizes.get(piece)
        if size != bytes_:
            there = "is missing" if size is None else f"has {size:,} bytes"
            raise StorageError(f"{storage.redact(piece)} is not whole: expected {bytes_:,} bytes, it {there}")
    return receipt
