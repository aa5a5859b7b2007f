"""From a commit to files in their places: what is superseded goes, what is new comes."""

from __future__ import annotations

from collections.abc import Callable

from etl_ray import storage
from etl_ray.errors import ConfigError
from etl_ray.orchestrators.manifest import Ledger, Manifest


def publish(ledger: Ledger, manifest: Manifest, check: Callable[[], None], note: Callable[[str], None]) -> None:
    """Make the files of the newest manifest, and no others of the job, stand in their places.

    Can be repeated at any time by who holds OUTPUT; `check` raises if that is lost, and is asked before each step, in
    buckets before every few.
    """
    waiting = ledger.waiting_room(manifest.run_id, manifest.number)
    try:
        ready = {info.url for info in storage.list_files(waiting)}
    except ConfigError:
        ready = set()
    found = ledger.table_files()
    coming: dict[str, str] = {}
    for file in manifest.files:
        place = storage.join(ledger.output, file.path)
        source = storage.join(waiting, file.path)
        before = manifest.moved.get(file.path)
        if source in ready:
            coming[place] = source
        elif before is not None and place not in found:
            coming[place] = storage.join(ledger.output, before)
    wanted = {storage.join(ledger.output, file.path) for file in manifest.files} | set(coming.values())
    # What is superseded goes before anything comes: rows may stand in another file than before, so that a glob
    # would see them twice. So it may miss rows for a moment.
    superseded = [url for url in found if url not in wanted]
    if superseded:
        note(f"removing {len(superseded):,} superseded files")
    storage.each(superseded, storage.delete, check)
    storage.each(list(coming), lambda url: storage.move(coming[url], url), check)
