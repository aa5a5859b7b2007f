"""The receipts of a run in little memory: a large one has a hundred thousand, of many products each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from etl_ray.orchestrators.messages import from_json, pack
from etl_ray.orchestrators.pruning import facts_of
from etl_ray.orchestrators.receipts import Receipt, UnitFacts


class ReceiptStore(Mapping[str, Receipt]):
    """Receipts by unit, packed: each access unpacks one. `facts` are what is asked of all of them."""

    def __init__(self) -> None:
        self._packed: dict[str, bytes] = {}
        self.facts: dict[str, UnitFacts] = {}

    def add(self, receipt: Receipt) -> None:
        """Keep a receipt."""
        self.add_packed(receipt.unit, pack(receipt), facts_of(receipt))

    def add_packed(self, unit: str, packed: bytes, facts: UnitFacts) -> None:
        """Keep a receipt that is packed already."""
        self._packed[unit] = packed
        self.facts[unit] = facts

    def drop(self, unit: str) -> None:
        """Forget a receipt."""
        del self._packed[unit], self.facts[unit]

    def packed(self, unit: str) -> bytes:
        """Return a receipt as it is kept."""
        return self._packed[unit]

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
