"""The candles of a product, each once: the version that arrived last, and whether it is final."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from etl_ray.orchestrators.build import BuildOptions, pieces
from etl_ray.orchestrators.partition_files import write_partitions
from etl_ray.orchestrators.receipts import Built
from etl_ray.orchestrators.shards import Shard
from etl_ray.tables import CANDLES, Numbers
from etl_ray.venues.rows import Bools, Int64s

_ROWS_AT_ONCE = 500_000


@dataclass(frozen=True)
class CandleShard:
    """All versions of a product's candles, as staged; they go to the `number`-th files of their partitions."""

    number: int
    staged: Shard


@dataclass(frozen=True)
class CandleBuildOptions:
    """How candles are built: like other tables, into partitions by `partition_cols`."""

    build: BuildOptions
    partition_cols: tuple[str, ...]


def build_candles(shard: CandleShard, options: CandleBuildOptions) -> Built:
    """Write the candles of a product, one file for each partition."""
    rows = last_versions(pieces(shard.staged, options.build), options.build.numbers)
    return Built(
        tuple(
            write_partitions(
                CANDLES.name,
                rows,
                partition_cols=options.partition_cols,
                number=shard.number,
                options=options.build,
            )
        )
    )


def last_versions(versions: Iterable[pa.Table], numbers: Numbers, *, rows_at_once: int = _ROWS_AT_ONCE) -> pa.Table:
    """Return the rows of `candles` of a product, of all its versions in arrival order.

    No more than `rows_at_once` versions are held, beside the last one of each candle on each connection.
    """
    waiting: list[pa.Table] = []
    count, limit = 0, rows_at_once
    for rows in versions:
        waiting.append(rows.append_column("n_versions", pa.array(np.ones(len(rows), np.int64))))
        count += len(rows)
        if count >= limit:
            waiting = [_last_of_connections(waiting)]
            count = len(waiting[0])
            limit = max(rows_at_once, 2 * count)
    if not count:
        return CANDLES.schema(numbers).empty_table()
    rows = _last_of_connections(waiting)
    start = _starts(rows)
    order = np.argsort(start, kind="stable")
    begins = np.flatnonzero(np.r_[True, np.diff(start[order]) != 0])
    kept = order[np.r_[begins[1:], len(order)] - 1]
    columns = dict(zip(rows.column_names, rows.columns, strict=True))
    columns["is_final"] = pa.array(_is_final(rows))
    whole = pa.table({name: columns[name] for name in CANDLES.names}).take(pa.array(kept))
    n_versions = np.add.reduceat(rows.column("n_versions").to_numpy()[order], begins)
    position = whole.schema.get_field_index("n_versions")
    return CANDLES.conform(whole.set_column(position, "n_versions", pa.array(n_versions)), numbers)


def _last_of_connections(waiting: list[pa.Table]) -> pa.Table:
    """Return the last version of each candle on each connection, in arrival order, with the count of versions."""
    rows = pa.concat_tables(waiting).unify_dictionaries().combine_chunks()
    start, connection = _starts(rows), _connections(rows)
    order = np.lexsort((connection, start))  # stable: the last version is the last of its equals
    changes = (np.diff(start[order]) != 0) | (np.diff(connection[order]) != 0)
    begins = np.flatnonzero(np.r_[True, changes])
    last = order[np.r_[begins[1:], len(order)] - 1]
    n_versions = np.add.reduceat(rows.column("n_versions").to_numpy()[order], begins)
    arrival = np.argsort(last)
    found = rows.take(pa.array(last[arrival]))
    position = found.schema.get_field_index("n_versions")
    return found.set_column(position, "n_versions", pa.array(n_versions[arrival]))


def _is_final(rows: pa.Table) -> Bools:
    """Tell behind which rows a later candle arrived on their connection.

    Rows are in arrival order, and of each candle on each connection there is the last version only: if that of a later
    candle did not arrive behind a row, none of its versions did.
    """
    start, connection = _starts(rows), _connections(rows)
    final = np.zeros(len(rows), np.bool_)
    for code in np.unique(connection):
        mine = np.flatnonzero(connection == code)
        mine = mine[np.argsort(start[mine])]
        latest = np.maximum.accumulate(mine[::-1])[::-1]
        final[mine[:-1]] = latest[1:] > mine[:-1]
    return final


def _starts(rows: pa.Table) -> Int64s:
    found: Int64s = rows.column("ts_start").cast(pa.int64()).to_numpy()
    return found


def _connections(rows: pa.Table) -> Int64s:
    found: Int64s = rows.column("connection_id").combine_chunks().indices.to_numpy()
    return found
