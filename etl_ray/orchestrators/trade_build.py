"""The trades of a shard, each once: which copy is kept, in which order, and which ids are missing between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from etl_ray.orchestrators.build import BuildOptions, pieces
from etl_ray.orchestrators.partition_files import write_partitions
from etl_ray.orchestrators.receipts import BuiltFile
from etl_ray.orchestrators.trade_shards import NO_ID, TradeShard
from etl_ray.tables import MARKET_TRADES
from etl_ray.venues.rows import Bools, Int64s


@dataclass(frozen=True)
class TradeBuildOptions:
    """How shards of trades are built: like others, into partitions by `partition_cols`."""

    build: BuildOptions
    partition_cols: tuple[str, ...]


@dataclass(frozen=True)
class KeptTrade:
    """Where the kept copy of a trade stands, and when it was sent (ts_server, ns)."""

    trade_id: int
    segment: str
    line: int
    ts: int


@dataclass(frozen=True)
class BuiltTrades:
    """The files of a shard, its first and last trade by id (None: it has none), and the neighbours of missing ids."""

    product: str
    number: int
    files: tuple[BuiltFile, ...]
    first: KeptTrade | None
    last: KeptTrade | None
    gaps: tuple[tuple[KeptTrade, KeptTrade], ...]


def build_trades(shard: TradeShard, options: TradeBuildOptions) -> BuiltTrades:
    """Write the files of a shard, one for each partition."""
    rows = _delivered(shard, options.build)
    if not len(rows):
        return BuiltTrades(shard.product, shard.number, (), None, None, ())
    kept, copies = _kept(rows)
    trades = _trades(rows, kept, copies, shard.first_update_id)
    by_id = trades.take(np.argsort(trades.column("trade_id").to_numpy(), kind="stable"))
    ids = by_id.column("trade_id").to_numpy()
    neighbours = np.flatnonzero(np.diff(ids) > 1)
    found = _kept_trades(by_id, np.unique(np.r_[0, neighbours, neighbours + 1, len(ids) - 1]))
    gaps = tuple((found[index], found[index + 1]) for index in neighbours.tolist())
    files = tuple(
        write_partitions(
            MARKET_TRADES.name,
            trades.cast(MARKET_TRADES.schema(options.build.numbers)),
            partition_cols=options.partition_cols,
            number=shard.number,
            options=options.build,
        )
    )
    return BuiltTrades(shard.product, shard.number, files, found[0], found[len(ids) - 1], gaps)


def _delivered(shard: TradeShard, options: BuildOptions) -> pa.Table:
    """Return all copies of the shard's trades, in arrival order."""
    tables = []
    for table in pieces(shard.staged, options):
        ids = table.column("trade_id").to_numpy()
        within = ids >= shard.first_id
        if shard.end_id != NO_ID:
            within &= ids < shard.end_id
        tables.append(table if bool(within.all()) else table.filter(pa.array(within)))
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()


def _kept(rows: pa.Table) -> tuple[Int64s, Int64s]:
    """Return which of the rows, given in arrival order, is kept of each trade, and how many copies there are."""
    ids = rows.column("trade_id").to_numpy()
    order = np.lexsort((rows.column("is_snapshot").to_numpy(), ids))  # stable: arrival decides between equal ones
    begins = np.flatnonzero(np.r_[True, np.diff(ids[order]) != 0])
    return order[begins], np.diff(np.r_[begins, len(order)])


def _trades(rows: pa.Table, kept: Int64s, copies: Int64s, first_update_id: int) -> pa.Table:
    """Return the kept rows as those of `market_trades`, in its order."""
    trades = rows.take(pa.array(kept))
    ids = trades.column("trade_id").to_numpy()
    times = trades.column("ts_event").cast(pa.int64()).to_numpy()
    healed: Bools = trades.column("is_snapshot").to_numpy() & (ids > first_update_id) & (first_update_id != NO_ID)
    columns = dict(zip(trades.column_names, trades.columns, strict=True))
    columns["is_healed"] = pa.array(healed)
    columns["n_copies"] = pa.array(copies.astype(np.int32))
    whole = pa.table({name: columns[name] for name in MARKET_TRADES.names})
    return whole.take(pa.array(np.lexsort((ids, times))))


def _kept_trades(by_id: pa.Table, chosen: Int64s) -> dict[int, KeptTrade]:
    found = by_id.select(["trade_id", "segment", "line", "ts_server"]).take(pa.array(chosen))
    segments = found.column("segment").cast(pa.string()).to_pylist()
    ids, lines = (found.column(name).to_pylist() for name in ("trade_id", "line"))
    times = found.column("ts_server").cast(pa.int64()).to_pylist()
    return {
        index: KeptTrade(*values) for index, *values in zip(chosen.tolist(), ids, segments, lines, times, strict=True)
    }


def missing_ids(built: list[BuiltTrades]) -> dict[str, list[tuple[KeptTrade, KeptTrade]]]:
    """Return by product the neighbours of missing ids, in the order of ids, over all shards."""
    found: dict[str, list[tuple[KeptTrade, KeptTrade]]] = {}
    before: dict[str, KeptTrade] = {}
    for shard in sorted(built, key=lambda item: (item.product, item.number)):
        if shard.first is None or shard.last is None:
            continue
        gaps = found.setdefault(shard.product, [])
        last = before.get(shard.product)
        if last is not None and shard.first.trade_id > last.trade_id + 1:
            gaps.append((last, shard.first))
        gaps += shard.gaps
        before[shard.product] = shard.last
    return found
