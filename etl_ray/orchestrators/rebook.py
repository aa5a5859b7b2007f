"""A shard of a stored book as files of `book` with another depth, other features or at intervals."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from etl_ray import storage
from etl_ray.errors import NotFoundError
from etl_ray.orchestrators.dated_files import DatedFiles
from etl_ray.orchestrators.intervals import Intervals
from etl_ray.orchestrators.rebook_plans import RebookShard
from etl_ray.orchestrators.rebook_replay import StoredReplay
from etl_ray.orchestrators.receipts import BuiltFile
from etl_ray.orchestrators.row_groups import missing
from etl_ray.tables.book import BookColumns, book_table

_COPY_BYTES = 16 << 20


@dataclass(frozen=True)
class RebookOptions:
    """Where the stored tables are and the new ones go, and what these tell; `interval_ns` 0: a row for each message."""

    source: str
    output: str
    rows_per_group: int
    columns: BookColumns
    interval_ns: int
    skip_empty: bool


@dataclass(frozen=True)
class RebuiltBook:
    """The new files of a shard."""

    product: str
    number: int
    files: tuple[BuiltFile, ...]


def rebook(shard: RebookShard, options: RebookOptions) -> RebuiltBook:
    """Write the files of a shard; its `book_checkpoints` stay as they are."""
    files = [_copied(file, options) for file in shard.copied]
    with DatedFiles(
        "book",
        shard.product,
        shard.number,
        output=options.output,
        rows_per_group=options.rows_per_group,
        schema=book_table(options.columns).schema(shard.numbers),
    ) as books:
        for rows in _rows(shard, options):
            books.write(rows)
        files += books.finish()
    return RebuiltBook(shard.product, shard.number, tuple(files))


def _rows(shard: RebookShard, options: RebookOptions) -> Iterator[pa.Table]:
    if shard.span is None:
        return
    replay = StoredReplay(shard, options.columns, options.source)
    if not options.interval_ns:
        for rows, _ in replay.chunks(shard.span):
            yield rows
        return
    names = list(book_table(options.columns).names)
    silent: dict[int, tuple[tuple[int, int], ...]] = {}
    intervals = _intervals(shard, options, silent)
    for span in (shard.span, *shard.ahead):
        is_ahead = span is not shard.span
        for rows, ticks in replay.chunks(span):
            if is_ahead and not intervals.owes:
                return
            if shard.silences:
                # Coverage does not say of which connection a silence is: where it tells of one, nothing came of any.
                silent.update(dict.fromkeys(replay.connections.values(), shard.silences))
            for found in intervals.add(rows, ticks, ahead=is_ahead):
                yield found.select(names)


def _intervals(shard: RebookShard, options: RebookOptions, silent: dict[int, tuple[tuple[int, int], ...]]) -> Intervals:
    flows = ("ofi", *(f"ofi_level_{level}" for level in range(options.columns.ofi_levels)))
    return Intervals(
        options.interval_ns,
        begun=None if shard.clock is None else shard.clock // options.interval_ns,
        skip_empty=options.skip_empty,
        silent=silent,
        flows=flows if options.columns.features else (),
    )


def _copied(copied: BuiltFile, options: RebookOptions) -> BuiltFile:
    source, target = storage.join(options.source, copied.path), storage.join(options.output, copied.path)
    try:
        with storage.open_read(source) as file, storage.open_write(target) as copy:
            shutil.copyfileobj(file, copy, _COPY_BYTES)
    except NotFoundError:
        raise missing(source) from None
    return copied
