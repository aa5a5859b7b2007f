"""What the newest manifest of an OUTPUT refers to: units with their receipts, and the results of work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from etl_ray import storage
from etl_ray.errors import NotFoundError
from etl_ray.orchestrators.manifest import Ledger, Manifest
from etl_ray.orchestrators.receipt_files import read_receipts
from etl_ray.orchestrators.receipt_store import ReceiptStore
from etl_ray.orchestrators.receipts import Receipt
from etl_ray.orchestrators.removed import read_removed
from etl_ray.orchestrators.results import Results, read_results
from etl_ray.readers.segments import Segment, Unit


@dataclass(frozen=True)
class Committed:
    """A committed state: its units by the identity of their segments, all with receipts, and its results.

    `there` are the files in the directories of tables with their sizes, by path below OUTPUT, `removed` the identities
    of segments that runs took out of INPUT since.
    """

    manifest: Manifest
    units: dict[str, tuple[Unit, ...]] = field(default_factory=dict)
    receipts: ReceiptStore = field(default_factory=ReceiptStore)
    results: Results = field(default_factory=Results)
    there: dict[str, int] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()


def read_committed(ledger: Ledger, manifest: Manifest, note: Callable[[str], None]) -> Committed:
    """Read what a manifest refers to; of what is missing `note` is told, and it is not known then."""
    found: dict[str, Unit] = {}
    store = ReceiptStore()
    wanted = {name for item in manifest.inputs for name in item.units}
    segments = {
        name: Segment(item.identity, item.url, item.size, item.version)
        for item in manifest.inputs
        for name in item.units
    }
    for path in manifest.receipts:
        try:
            for row in read_receipts(storage.join(ledger.own, path), wanted):
                found[row.name] = Unit(segments[row.name], row.start, row.end, row.content)
                store.add_packed(row.name, row.receipt, row.facts)
        except NotFoundError as error:
            note(f"{error}; units that it has the receipts of are read again")
    units = {
        item.identity: tuple(found[name] for name in item.units)
        for item in manifest.inputs
        if item.units and all(name in found for name in item.units)
    }
    results = Results()
    if manifest.results is not None:
        try:
            results = read_results(storage.join(ledger.own, manifest.results))
        except NotFoundError as error:
            note(f"{error}; all tables are built again")
    root = ledger.output.rstrip("/") + "/"
    there = {url.removeprefix(root): size for url, size in ledger.table_files().items()}
    return Committed(manifest, units, store, results, there, read_removed(ledger))


def committed_receipts(ledger: Ledger, manifest: Manifest) -> Iterator[Receipt]:
    """Yield the receipts of a committed state, in arrival order of their units."""
    store = read_committed(ledger, manifest, _ignore).receipts
    return (store[name] for item in manifest.inputs for name in item.units)


def _ignore(_text: str) -> None:
    """Tell nobody."""
