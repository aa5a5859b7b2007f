"""Which files are merged: those of closed dates that follow each other, as long as they stay below a size."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import cast

from etl_ray.config.books import Level2Options
from etl_ray.orchestrators.final_files import file_number
from etl_ray.orchestrators.manifest import Manifest
from etl_ray.orchestrators.receipts import BuiltFile
from etl_ray.tables.book import BookColumns, book_rows_per_group
from etl_ray.tables.partitions import partition_keys

IN_ORDER = ("level2", "ticker", "status", "heartbeats", "subscriptions", "errors", "rejects")
"""Tables whose files follow each other in arrival order."""
BY_ID = "market_trades"
"""The table whose files follow each other by id, and each of which is sorted by time."""
OF_BOOKS = ("book", "book_checkpoints")
"""Tables whose files belong together by number: the shards of a product's book."""

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True)
class Part:
    """What is or becomes the `number`-th file of its directories: of committed `sources` the `files`, one for each.

    If it `is_joined`, these files have not been merged yet.
    """

    number: int
    sources: tuple[BuiltFile, ...]
    files: tuple[BuiltFile, ...]
    is_joined: bool = False

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes by directory."""
        return {directory_of(file): file.bytes for file in self.files}


@dataclass(frozen=True)
class Merge:
    """Files of a directory, in order, that become its `number`-th file; `by_id` as in `market_trades`."""

    table: str
    directory: str
    number: int
    files: tuple[BuiltFile, ...]
    by_id: bool
    rows_per_group: int

    @property
    def bytes(self) -> int:
        """The size of what is read."""
        return sum(file.bytes for file in self.files)


@dataclass(frozen=True)
class GroupSizes:
    """Rows in a row group of `book`, and of other tables."""

    book: int
    others: int

    def of(self, table: str) -> int:
        """Return the rows of a row group of a table."""
        return self.book if table in OF_BOOKS else self.others


def group_sizes(semantic: str) -> GroupSizes:
    """Return the sizes of row groups that the config of a manifest says."""
    config = json.loads(semantic)
    if "channels" not in config:  # of `etl-ray reprocess`
        book, others = config["book"], config["rows_per_group"]
    else:
        book = config["channels"].get("level2", {}).get("processor_options")
        others = config["staging"]["rows_per_group"]
    columns = BookColumns() if book is None else Level2Options.model_validate(book).columns
    return GroupSizes(book_rows_per_group(others, columns), others)


def strands(manifest: Manifest) -> list[list[Part]]:
    """Return the files of closed dates as lists, in each of which those that follow each other may be merged."""
    files = [file for file in manifest.files if file.rows]
    newest = max((date for file in files if (date := date_of(file))), default="")
    tables = {*IN_ORDER, *((BY_ID,) if _has_trades_by_id(manifest.semantic) else ())}
    by_directory: dict[str, list[BuiltFile]] = {}
    shards: dict[str, dict[int, list[BuiltFile]]] = {}
    for file in files:
        if file.table in tables and "" < date_of(file) < newest:
            by_directory.setdefault(directory_of(file), []).append(file)
        elif file.table in OF_BOOKS:
            product = partition_keys(file.path).get("product_id", "")
            shards.setdefault(product, {}).setdefault(file_number(file.path), []).append(file)
    found = [
        [Part(file_number(file.path), (file,), (file,)) for file in sorted(some, key=_place)]
        for _, some in sorted(by_directory.items())
    ]
    for _, numbered in sorted(shards.items()):
        found += _shards(numbered, newest)
    return [strand for strand in found if len(strand) > 1 and _is_numbered(strand)]


def _has_trades_by_id(semantic: str) -> bool:
    """Tell whether files of trades are of one product each, with the job's own rows."""
    channels = cast("Mapping[str, Mapping[str, object]]", json.loads(semantic).get("channels", {}))
    trades = channels.get(BY_ID)
    return (
        trades is not None and not trades["processors"] and "product_id" in cast("list[str]", trades["partition_cols"])
    )


def _shards(numbered: Mapping[int, list[BuiltFile]], newest: str) -> Iterator[list[Part]]:
    """Yield the shards of a book that follow each other and have files of the same closed dates."""
    strand: list[Part] = []
    dates: set[str] = set()
    for number, files in sorted(numbered.items()):
        own = {date_of(file) for file in files}
        ordered = tuple(sorted(files, key=lambda file: file.path))
        if own != dates:
            yield strand
            strand, dates = [], own
        if all("" < date < newest for date in own):
            strand.append(Part(number, ordered, ordered))
    yield strand


def _is_numbered(strand: Iterable[Part]) -> bool:
    """Tell whether each file of a directory has a number of its own: else nothing says which comes first."""
    found = [(directory_of(file), file_number(file.path)) for part in strand for file in part.files]
    return len(set(found)) == len(found)


def joined(strand: Iterable[Part], target_bytes: int) -> list[Part]:
    """Return the parts of a strand, those joined that follow each other and fit into `target_bytes` per file."""
    found: list[Part] = []
    sizes: dict[str, int] = {}
    for part in strand:
        together = {name: sizes.get(name, 0) + part.sizes.get(name, 0) for name in {*sizes, *part.sizes}}
        if found and all(size <= target_bytes for size in together.values()):
            last = found[-1]
            found[-1] = replace(
                last, sources=last.sources + part.sources, files=last.files + part.files, is_joined=True
            )
            sizes = together
        else:
            found.append(part)
            sizes = part.sizes
    return found


def merges_of(part: Part, sizes: GroupSizes) -> list[Merge]:
    """Return the work that makes a joined part one file per directory, from its sources."""
    by_directory: dict[str, list[BuiltFile]] = {}
    for file in part.sources:
        by_directory.setdefault(directory_of(file), []).append(file)
    return [
        Merge(
            table=files[0].table,
            directory=directory,
            number=part.number,
            files=tuple(sorted(files, key=_place)),
            by_id=files[0].table == BY_ID,
            rows_per_group=sizes.of(files[0].table),
        )
        for directory, files in sorted(by_directory.items())
        if len(files) > 1 or file_number(files[0].path) != part.number
    ]


def directory_of(file: BuiltFile) -> str:
    """Return the directory of a file, below OUTPUT."""
    return file.path.rpartition("/")[0]


def date_of(file: BuiltFile) -> str:
    """Return the date of the partition of a file, empty if it is of none."""
    date = partition_keys(file.path).get("date", "")
    return date if _DATE.fullmatch(date) else ""


def _place(file: BuiltFile) -> int:
    return file_number(file.path)
