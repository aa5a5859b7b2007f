"""Stage 3: the staged pieces of a shard become one final file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby

import pyarrow as pa

from etl_ray import storage
from etl_ray.orchestrators.custom import ProcessorSpec, apply, load_processors
from etl_ray.orchestrators.final_files import write_final
from etl_ray.orchestrators.instruments import instruments
from etl_ray.orchestrators.numbered import read_assignment
from etl_ray.orchestrators.receipts import Built
from etl_ray.orchestrators.selection import Selection
from etl_ray.orchestrators.shards import Piece, Shard, Source
from etl_ray.orchestrators.staged_rows import GroupReader
from etl_ray.orchestrators.staging import MESSAGE_INDEX, SOURCES
from etl_ray.scan.outcomes import constant, named
from etl_ray.tables import Numbers, Table
from etl_ray.venues.rows import Int32s

_SOURCES_AT_ONCE = 4  # each may have tens of MB


@dataclass(frozen=True)
class BuildOptions:
    """How shards are built: staged pieces lie below `staging`, final files go below `output`.

    `processors` are the user's own, by table.
    """

    staging: str
    output: str
    numbers: Numbers
    rows_per_group: int
    selection: Selection
    processors: Mapping[str, tuple[ProcessorSpec, ...]] = field(default_factory=dict)


def build(shard: Shard, options: BuildOptions) -> Built:
    """Write the final file of a shard; there is none of no rows."""
    batches = pieces(shard, options)
    if shard.table == "instruments":
        batches = iter([instruments(batches, options.selection, options.numbers)])
    if shard.table in options.processors:
        batches = apply(load_processors(options.processors[shard.table]), batches, shard.directory)
    groups = grouped(batches, options.rows_per_group)
    first = next(groups, None)
    if first is None:
        return Built(())
    return Built(
        (
            write_final(
                shard.table,
                shard.directory,
                shard.number,
                chain([first], groups),
                output=options.output,
                schema=first.schema,
            ),
        )
    )


def pieces(shard: Shard, options: BuildOptions) -> Iterator[pa.Table]:
    """Yield the rows of a shard in order, with all columns of what was staged."""
    by_source = ((shard.sources[index], list(chosen)) for index, chosen in groupby(shard.pieces, lambda it: it.source))
    for tables in storage.map_ahead(
        options.staging, lambda item: _tables(*item, shard, options), by_source, at_once=_SOURCES_AT_ONCE
    ):
        yield from tables


def _tables(source: Source, chosen: Sequence[Piece], shard: Shard, options: BuildOptions) -> Iterable[pa.Table]:
    """Return the pieces of a source: of local files one by one, as they are asked for."""
    found = _read(source, chosen, shard, options)
    return found if storage.is_local(options.staging) else list(found)


def _read(source: Source, chosen: Sequence[Piece], shard: Shard, options: BuildOptions) -> Iterator[pa.Table]:
    table = SOURCES[shard.table]
    assignment = None if source.assignment is None else read_assignment(options.staging, source.assignment)
    with GroupReader.open(options.staging, source.path) as file:
        for piece in chosen:
            rows = file.read(shard.table, piece.group)
            yield _complete(rows, table, shard=shard, source=source, assignment=assignment, numbers=options.numbers)


def _complete(
    rows: pa.RecordBatch, table: Table, *, shard: Shard, source: Source, assignment: Int32s | None, numbers: Numbers
) -> pa.Table:
    """Add what only the whole run knows, and bring columns into the table's order."""
    count = len(rows)
    columns = dict(zip(rows.schema.names, rows.columns, strict=True))
    columns["segment"] = constant(source.segment, count)
    if source.line_offset:
        columns["line"] = pa.array(columns["line"].to_numpy() + source.line_offset)
    if MESSAGE_INDEX in columns:
        message = columns.pop(MESSAGE_INDEX).to_numpy()
        columns["connection_id"] = (
            constant(source.connections[0], count)
            if assignment is None
            else named(assignment[message], source.connections)
        )
    for name, value in zip(shard.partition_cols, shard.partition, strict=True):
        columns[name] = constant(value, count)
    return pa.Table.from_arrays([columns[name] for name in table.names], schema=table.schema(numbers))


def grouped(tables: Iterator[pa.Table], rows_per_group: int) -> Iterator[pa.Table]:
    """Yield the same rows in tables of exactly `rows_per_group`, but for the last."""
    waiting: list[pa.Table] = []
    count = 0
    for table in tables:
        waiting.append(table)
        count += len(table)
        if count >= rows_per_group:
            whole = pa.concat_tables(waiting)
            ready = count - count % rows_per_group
            for start in range(0, ready, rows_per_group):
                yield whole.slice(start, rows_per_group).unify_dictionaries()
            waiting, count = [whole.slice(ready)], count - ready
    if count:
        yield pa.concat_tables(waiting).unify_dictionaries()
