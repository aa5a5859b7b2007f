"""Which segments runs have taken out of INPUT: noted beside the manifests until the next one tells."""

from __future__ import annotations

import json
from collections.abc import Iterable

from etl_ray import storage
from etl_ray.errors import ConfigError
from etl_ray.orchestrators.manifest import Ledger, Manifest
from etl_ray.orchestrators.results import key_of

_FOLDER = "removed"


def note_removed(ledger: Ledger, identities: Iterable[str]) -> None:
    """Note that these segments are not in INPUT any more."""
    names = sorted(identities)
    if names:
        url = storage.join(ledger.own, _FOLDER, f"{key_of(*names)[:16]}.json")
        storage.write_bytes(url, json.dumps(names).encode())


def read_removed(ledger: Ledger) -> frozenset[str]:
    """Return the identities that are noted."""
    return frozenset(name for url in _notes(ledger) for name in json.loads(storage.read_bytes(url)))


def forget_removed(ledger: Ledger, manifest: Manifest, here: Iterable[str]) -> None:
    """Delete notes of segments that a manifest tells of, does not have, or that are in INPUT again (`here`)."""
    untold = {item.identity for item in manifest.inputs if not item.is_removed}.difference(here)
    for url in _notes(ledger):
        if untold.isdisjoint(json.loads(storage.read_bytes(url))):
            storage.delete(url)


def _notes(ledger: Ledger) -> list[str]:
    try:
        return [info.url for info in storage.list_files(storage.join(ledger.own, _FOLDER))]
    except ConfigError:
        return []
