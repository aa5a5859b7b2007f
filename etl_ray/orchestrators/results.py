"""What work has come to, kept by what it was computed from, so that later runs need not do it again.

A result has a key, the digest of everything that decides about it, and the files with its rows. A file may hold the
rows of several results of a stage, since `etl-ray compact` merges files: then all of them are used again, or none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar, runtime_checkable

import pyarrow as pa
import pyarrow.parquet as pq

from etl_ray import storage
from etl_ray.errors import StorageError
from etl_ray.orchestrators.final_files import file_name
from etl_ray.orchestrators.messages import from_json, to_json
from etl_ray.orchestrators.receipts import BuiltFile

_SCHEMA = pa.schema(
    [
        ("stage", pa.string()),
        ("key", pa.string()),
        ("scope", pa.string()),
        ("begin", pa.string()),
        ("end", pa.string()),
        ("result", pa.binary()),
    ]
)


@runtime_checkable
class HasFiles(Protocol):
    """A result of work with the files that hold its rows."""

    @property
    def files(self) -> tuple[BuiltFile, ...]:
        """The files, in order."""


@dataclass(frozen=True)
class Cut:
    """Where an item of work begins and ends: places that a later run cuts at again, in the words of its stage.

    `scope` is what is cut, such as a product, where the places alone do not tell.
    """

    scope: str = ""
    begin: str = ""
    end: str = ""


NO_CUT = Cut()


@dataclass(frozen=True)
class Result:
    """What an item of `stage` came to, as JSON: a record of the type that the stage returns."""

    stage: str
    key: str
    cut: Cut
    result: bytes


def key_of(*parts: object) -> str:
    """Return the digest of records and texts that decide about a result."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else to_json(part)
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:32]


Kept = TypeVar("Kept")


def with_files(result: Kept, files: tuple[BuiltFile, ...]) -> Kept:
    """Return a result with other files."""
    return replace(result, files=files)  # type: ignore[type-var]  # results are frozen dataclasses


class Results:
    """The results of a committed run."""

    def __init__(self, found: Iterable[Result] = ()) -> None:
        self._found = {(item.stage, item.key): item for item in found}

    def __iter__(self) -> Iterator[Result]:
        return iter(self._found.values())

    def __len__(self) -> int:
        return len(self._found)

    def cuts(self, stage: str) -> list[Cut]:
        """Return where the items of a stage were cut."""
        return [item.cut for item in self._found.values() if item.stage == stage]

    def usable(
        self, stage: str, kind: type[Kept], wanted: Collection[str], there: Mapping[str, int]
    ) -> dict[str, Kept]:
        """Return the results of a stage that can be used again, by key, of those that are wanted, given in order.

        `there` are files by path with their sizes. A result is usable if all its files are there, and all results whose
        rows these hold are usable, without rows of others between them.
        """
        found = {
            key: from_json(kind, self._found[stage, key].result, "a kept result")
            for key in wanted
            if (stage, key) in self._found
        }
        files = {key: result.files if isinstance(result, HasFiles) else () for key, result in found.items()}
        holders = self._holders(stage, kind)
        scattered = _scattered(holders, list(wanted), files)
        usable = set(found)
        while True:
            whole = {path for path, keys in holders.items() if keys <= usable and path not in scattered}
            lost = {
                key
                for key in usable
                if any(there.get(file.path) != file.bytes or file.path not in whole for file in files[key])
            }
            if not lost:
                return {key: found[key] for key in found if key in usable}
            usable -= lost

    def _holders(self, stage: str, kind: type[Kept]) -> dict[str, frozenset[str]]:
        """Return the keys of all results whose rows a file holds, by path."""
        found: dict[str, set[str]] = {}
        for item in self._found.values():
            if item.stage == stage:
                result = from_json(kind, item.result, "a kept result")
                for file in result.files if isinstance(result, HasFiles) else ():
                    found.setdefault(file.path, set()).add(item.key)
        return {path: frozenset(keys) for path, keys in found.items()}


def _scattered(
    holders: Mapping[str, frozenset[str]], order: Sequence[str], files: Mapping[str, tuple[BuiltFile, ...]]
) -> set[str]:
    """Return the paths of files with rows of results between which others of their directory come by now.

    `files` are those of the results that are known.
    """
    places = {key: place for place, key in enumerate(order)}
    found = set()
    for path, keys in holders.items():
        if len(keys) < 2 or not keys <= places.keys():
            continue
        directory = path.rpartition("/")[0]
        between = order[min(places[key] for key in keys) : max(places[key] for key in keys)]
        for key in between:
            if key not in keys and (
                key not in files or any(file.path.rpartition("/")[0] == directory for file in files[key])
            ):
                found.add(path)
    return found


def renumbered(file: BuiltFile, number: int) -> BuiltFile:
    """Return a file as the `number`-th one of its directory."""
    directory = file.path.rpartition("/")[0]
    return replace(file, path=f"{directory}/{file_name(number, file.sha256)}")


def write_results(url: str, results: Iterable[Result]) -> None:
    """Write results as a Parquet file."""
    rows = [
        {
            "stage": item.stage,
            "key": item.key,
            "scope": item.cut.scope,
            "begin": item.cut.begin,
            "end": item.cut.end,
            "result": item.result,
        }
        for item in sorted(results, key=lambda item: (item.stage, item.key))
    ]
    with storage.open_write(url) as file:
        pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), file, compression="zstd")


def read_results(url: str) -> Results:
    """Read what `write_results` wrote."""
    try:
        with storage.open_read(url) as file:
            table = pq.ParquetFile(file).read(use_threads=False)
    except pa.ArrowException as error:
        raise StorageError(f"{storage.redact(url)}: cannot be read as Parquet: {error}") from None
    return Results(
        Result(row["stage"], row["key"], Cut(row["scope"], row["begin"], row["end"]), row["result"])
        for row in table.to_pylist()
    )
