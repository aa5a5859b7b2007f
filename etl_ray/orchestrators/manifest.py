"""The manifests under OUTPUT/_etl_ray: what is committed.

A manifest lists the inputs and the files of a state of OUTPUT; the highest number counts. It is created by
put-if-absent, so of two runs one wins. Beside it are the receipts of units and the results of work, by which later runs
know what need not be done again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import orjson

from etl_ray import storage
from etl_ray.config import FORMAT_VERSION
from etl_ray.errors import ConfigError, LockedError
from etl_ray.orchestrators.messages import from_json, to_json
from etl_ray.orchestrators.receipts import BuiltFile, Counts
from etl_ray.tables import TABLES

OWN = "_etl_ray"
"""The directory below OUTPUT that holds everything that is no table."""
LEDGER_VERSION = 2
"""Of the manifests and of what they refer to."""


@dataclass(frozen=True, slots=True)
class Input:
    """A segment as it was read. `version` is the storage's etag, generation or modification time.

    `start_ns` and `end_ns` are the range that was applied when its `units` (by name) were read. `is_present`: it was in
    INPUT when the run began; rows of segments that are gone stay. `is_pruned`: not all pieces of its units are kept, so
    it has to be read again if something late belongs between its rows. `is_removed`: a run took it out of INPUT.
    """

    identity: str
    url: str
    size: int
    version: str
    start_ns: int | None = None
    end_ns: int | None = None
    units: tuple[str, ...] = ()
    is_present: bool = True
    is_pruned: bool = False
    is_removed: bool = False


@dataclass(frozen=True)
class Manifest:
    """A committed state of OUTPUT.

    `semantic` is the part of the config that decides about rows, as JSON, `semantic_hash` its SHA-256; `sources` are
    the INPUTs, local ones as absolute paths, without credentials. `files` are those of all tables by path; `moved`
    tells which of them (by path) stood elsewhere in the state before. `receipts` and `results` are files below
    OUTPUT/_etl_ray, and `staged` is the name of the directory that keeps the pieces of units. `damaged` says of each
    damaged segment where and why.
    """

    number: int
    run_id: str
    program: str
    semantic: str
    start_ns: int | None
    end_ns: int | None
    sources: tuple[str, ...]
    inputs: tuple[Input, ...]
    files: tuple[BuiltFile, ...]
    counts: Counts
    messages: dict[str, int]
    damaged: tuple[str, ...]
    findings: tuple[str, ...]
    moved: dict[str, str] = field(default_factory=dict)
    receipts: tuple[str, ...] = ()
    results: str | None = None
    staged: str = ""
    semantic_hash: str = ""
    format_version: int = FORMAT_VERSION
    ledger_version: int = LEDGER_VERSION


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

    def numbers(self) -> list[int]:
        """Return the numbers of all manifests, ascending."""
        try:
            found = storage.list_files(storage.join(self.own, "manifests"))
        except ConfigError:
            return []
        names = [info.url.rpartition("/")[2] for info in found]
        return sorted(int(name.removesuffix(".json")) for name in names if name.endswith(".json"))

    def latest(self) -> Manifest | None:
        """Return the newest manifest, None if nothing is committed."""
        numbers = self.numbers()
        return self.manifest(numbers[-1]) if numbers else None

    def manifest(self, number: int) -> Manifest:
        """Return a committed manifest; ConfigError if another version of etl-ray has written it otherwise."""
        url = self._url(number)
        text = storage.read_bytes(url)
        if _is_of_another_version(text):
            raise ConfigError(
                f"{storage.redact(url)} is of another version of etl-ray: expected a ledger of version "
                f"{LEDGER_VERSION}; run into another OUTPUT"
            )
        return from_json(Manifest, text, storage.redact(url))

    def commit(self, manifest: Manifest) -> None:
        """Make `manifest` the newest state; LockedError if another run was faster."""
        url = self._url(manifest.number)
        data = to_json(manifest)
        # After a lost answer a bucket may say that the file is there already: it is ours if the bytes are.
        if not storage.create_new(url, data) and storage.read_bytes(url) != data:
            raise LockedError(f"another run has committed {storage.redact(url)} meanwhile; start again")

    def _url(self, number: int) -> str:
        return storage.join(self.own, "manifests", f"{number:06d}.json")

    def waiting_room(self, run_id: str, number: int) -> str:
        """Return where the files of a run wait until manifest `number` is there."""
        return storage.join(self.own, "runs", run_id, f"tables-{number:06d}")

    def is_whole(self, manifest: Manifest) -> bool:
        """Return whether every file of the manifest is in its place, with its size, and what it refers to is there."""
        found = self.table_files()
        beside = [*manifest.receipts, *((manifest.results,) if manifest.results else ())]
        return all(storage.exists(storage.join(self.own, path)) for path in beside) and all(
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


def _is_of_another_version(text: bytes) -> bool:
    """Say whether text is JSON of the shape of a manifest, but none of this version."""
    if text.endswith(b'"ledger_version":%d}' % LEDGER_VERSION):
        return False  # as we write it: a large one is not read twice
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return isinstance(found, dict) and found.get("ledger_version") != LEDGER_VERSION


def distinct(files: Iterable[BuiltFile]) -> tuple[BuiltFile, ...]:
    """Return each file once, by path; of several results of work one file may hold the rows."""
    found = {file.path: file for file in files}
    return tuple(found[path] for path in sorted(found))
