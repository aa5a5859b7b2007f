"""The receipts of a run in little memory: a large one has a hundred thousand, of many products each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from etl_ray.orchestrators.messages import from_json, pack
from etl_ray.orchestrators.receipts import Receipt


class ReceiptStore(Mapping[str, Receipt]):
    """Receipts by unit, packed: each access unpacks one."""

    def __init__(self) -> None:
        self._packed: dict[str, bytes] = {}

    def add(self, receipt: Receipt) -> None:
        """Keep a receipt."""
        self._packed[receipt.unit] = pack(receipt)

    def add_packed(self, unit: str, packed: bytes) -> None:
        """Keep a receipt that is packed already."""
        self._packed[unit] = packed

    def all_packed(self) -> Mapping[str, bytes]:
        """Return the receipts as they are kept, by unit."""
        return self._packed

    def packed(self, unit: str) -> bytes:
        """Return a receipt as it is kept."""
        return self._packed[unit]

    def drop(self, unit: str) -> None:
        """Forget a receipt, if there is one."""
        self._packed.pop(unit, None)

    def __getitem__(self, unit: str) -> Receipt:
        return from_json(Receipt, self._packed[unit])

    def __contains__(self, unit: object) -> bool:
        return unit in self._packed

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)

    def in_order(self, units: Sequence[str]) -> Receipts:
        """Return the receipts of units in their order."""
        return Receipts(self, units)


class Receipts:
    """Receipts in a given order, to be gone through as often as needed."""

    def __init__(self, store: ReceiptStore, units: Sequence[str]) -> None:
        self._store = store
        self._units = units

    def __iter__(self) -> Iterator[Receipt]:
        return (self._store[unit] for unit in self._units)
