"""The manifests under OUTPUT/_etl_ray: what is committed, and how a commit becomes visible.

A run's files count only once manifest n + 1 is there, which is created by put-if-absent: of two runs one wins. Files
that replace others wait in `runs/<id>/tables-<n + 1>` until then; publishing moves them to their place, and an
interrupted publishing is finished by whoever comes next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from etl_ray import storage
from etl_ray.errors import ConfigError, LockedError
from etl_ray.orchestrators.messages import from_json, to_json
from etl_ray.orchestrators.receipts import BuiltFile, Counts, Receipt
from etl_ray.tables import TABLES

OWN = "_etl_ray"
"""The directory below OUTPUT that holds everything that is no table."""


@dataclass(frozen=True)
class Input:
    """A segment as it was read. `version` is the storage's etag, generation or modification time."""

    identity: str
    url: str
    size: int
    version: str


@dataclass(frozen=True)
class Manifest:
    """A committed state of OUTPUT. `semantic` is the part of the config that decides about rows, as JSON."""

    number: int
    run_id: str
    semantic: str
    start_ns: int | None
    end_ns: int | None
    inputs: tuple[Input, ...]
    files: tuple[BuiltFile, ...]
    counts: Counts
    messages: dict[str, int]
    damaged: tuple[str, ...]
    findings: tuple[str, ...]


class Ledger:
    """The committed states of one OUTPUT."""

    def __init__(self, output: str) -> None:
        self.output = output
        self.own = storage.join(output, OWN)

    def check_owner(self) -> None:
        """Raise ConfigError if OUTPUT holds files that are not ours."""
        if storage.is_local(self.output) and storage.local_path(self.output).is_file():
            raise ConfigError(f"OUTPUT {self.output} is a file; expected a directory, or a name that is free")
        if storage.exists(self.own):
            return
        try:
            found = storage.list_files(self.output)
        except ConfigError:
            return
        if found:
            name = storage.redact(self.output)
            raise ConfigError(
                f"OUTPUT {name} holds {len(found):,} files and was not made by etl-ray (it has no {OWN}); "
                "expected an empty directory, a free name, or an output of etl-ray"
            )

    def latest(self) -> Manifest | None:
        """Return the newest manifest, None if nothing is committed."""
        try:
            found = storage.list_files(storage.join(self.own, "manifests"))
        except ConfigError:
            return None
        urls = sorted(info.url for info in found if info.url.endswith(".json"))
        return from_json(Manifest, storage.read_bytes(urls[-1]), storage.redact(urls[-1])) if urls else None

    def waiting_room(self, run_id: str, number: int) -> str:
        """Return where files of a run wait that replace others once manifest `number` is there."""
        return storage.join(self.own, "runs", run_id, f"tables-{number:06d}")

    def commit(self, manifest: Manifest) -> None:
        """Make `manifest` the newest state; LockedError if another run was faster."""
        url = storage.join(self.own, "manifests", f"{manifest.number:06d}.json")
        data = to_json(manifest)
        # After a lost answer a bucket may say that the file is there already: it is ours if the bytes are.
        if not storage.create_new(url, data) and storage.read_bytes(url) != data:
            raise LockedError(f"another run has committed {storage.redact(url)} meanwhile; start again")

    def keep_receipts(self, number: int, receipts: Iterable[Receipt]) -> None:
        """Keep the receipts of a run that is about to commit manifest `number`, one a line."""
        with storage.open_write(self._receipts_url(number)) as file:
            for receipt in receipts:
                file.write(to_json(receipt) + b"\n")

    def receipts(self, number: int) -> tuple[Receipt, ...]:
        """Return the receipts of a committed run, in arrival order of their units."""
        url = self._receipts_url(number)
        lines = storage.read_bytes(url).splitlines()
        return tuple(from_json(Receipt, line, f"{storage.redact(url)}, line {n}") for n, line in enumerate(lines, 1))

    def _receipts_url(self, number: int) -> str:
        return storage.join(self.own, "receipts", f"{number:06d}.jsonl")

    def publish(self, manifest: Manifest, note: Callable[[str], None]) -> None:
        """Make the files of the newest manifest, and no others, stand in their places. Can be repeated at any time."""
        waiting = self.waiting_room(manifest.run_id, manifest.number)
        try:
            ready = {info.url for info in storage.list_files(waiting)}
        except ConfigError:
            ready = set()
        coming = {
            storage.join(self.output, file.path): source
            for file in manifest.files
            if (source := storage.join(waiting, file.path)) in ready
        }
        staying = {storage.join(self.output, file.path) for file in manifest.files} - coming.keys()
        # What is superseded goes before anything comes: rows may stand in another file than before, so that a glob
        # would see them twice. So it may miss rows for a moment.
        superseded = [url for url in self.table_files() if url not in staying]
        if superseded:
            note(f"removing {len(superseded):,} superseded files")
        for url in superseded:
            storage.delete(url)
        for url, source in coming.items():
            storage.move(source, url)

    def is_whole(self, manifest: Manifest) -> bool:
        """Return whether every file of the manifest is in its place, with its size, and the receipts are there."""
        found = self.table_files()
        return storage.exists(self._receipts_url(manifest.number)) and all(
            found.get(storage.join(self.output, file.path)) == file.bytes for file in manifest.files
        )

    def table_files(self) -> dict[str, int]:
        """Return all Parquet files in the tables' directories, by URL, with their sizes."""
        found: dict[str, int] = {}
        for table in TABLES:
            try:
                listed = storage.list_files(storage.join(self.output, table))
            except ConfigError:
                continue
            found.update({info.url: info.size for info in listed if info.url.endswith(".parquet")})
        return found
