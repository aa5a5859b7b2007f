"""Staged pieces: two files per unit, a section per table in them, and groups of rows by partition and block, in order.

A staged table lacks what only the whole run knows, `segment` and `connection_id`, and has `message_index`, the
message's position among those of the unit, in their place; its `line` counts from the unit's beginning. What all rows
of a group have in common, the partition's values, stands in the receipt only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from etl_ray import storage
from etl_ray.orchestrators.receipts import StagedFile, StagedGroup, TradeIds
from etl_ray.orchestrators.staged_rows import GroupWriter
from etl_ray.tables import DELIVERED, DELIVERED_TRADES, STATUS, Table
from etl_ray.venues.rows import Int64s

MESSAGE_INDEX = "message_index"
ADDED_LATER = ("segment", "connection_id")
SOURCES: dict[str, Table] = {**DELIVERED, "instruments": STATUS}
"""What is staged for each table: its rows as delivered; `instruments` is found in all rows of `status`."""
PRUNABLE, KEPT = "rows", "kept"
"""Folders of pieces: rows that are cut by arrival, of which none are read again when what they made stays, and others,
that meet later ones."""
_CUT_BY_ARRIVAL = ("level2", "ticker", "heartbeats", "status", "subscriptions")


@cache
def staged_columns(table: str, partition_cols: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns of the staged rows of a table that is parted by some of its columns."""
    left_out = (*ADDED_LATER, *partition_cols)
    names = [name for name in SOURCES[table].names if name not in left_out]
    return (*names, MESSAGE_INDEX) if "connection_id" in SOURCES[table].names else tuple(names)


def piece_path(table: str, unit: str) -> str:
    """Return where, below the staging directory, a unit's rows of a table are."""
    return f"{PRUNABLE if table in _CUT_BY_ARRIVAL else KEPT}/{unit}.rows"


class _File:
    """A staged file in the making."""

    def __init__(self, path: str, file: BinaryIO) -> None:
        self.path = path
        self.writer = GroupWriter(file)
        self.tables: dict[str, list[StagedGroup]] = {}


class StagedWriter:
    """Writes the staged files of one unit; they appear when it is closed without an exception."""

    def __init__(self, root: str, unit: str, partition_cols: Mapping[str, tuple[str, ...]]) -> None:
        self._root = root
        self._unit = unit
        self._partition_cols = partition_cols
        self._stack = ExitStack()
        self._open: dict[str, _File] = {}

    def __enter__(self) -> StagedWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]

    def write(self, table: str, columns: Mapping[str, pa.Array]) -> None:
        """Append rows of a table, given in arrival order; they are sorted apart by partition."""
        if not len(next(iter(columns.values()))):
            return
        file = self._file(piece_path(table, self._unit))
        groups = file.tables.setdefault(table, [])
        keys = self._partition_cols[table]
        names = staged_columns(table, keys)
        rows = pa.RecordBatch.from_arrays([columns[name] for name in names], names=list(names))
        for partition, part in split(rows, [columns[name] for name in keys]):
            file.writer.write(table, part)
            ids = _trade_ids(part) if table == DELIVERED_TRADES.name else None
            groups.append(StagedGroup(partition, len(part), ids))

    def _file(self, path: str) -> _File:
        if path not in self._open:
            # A power cut may damage what was not flushed to the disk; checksums tell.
            file = self._stack.enter_context(storage.open_write(storage.join(self._root, path), durable=False))
            self._open[path] = _File(path, file)
        return self._open[path]

    def finish(self) -> tuple[StagedFile, ...]:
        """Close the files and describe them."""
        for file in self._open.values():
            file.writer.finish()
        self._stack.close()
        return tuple(
            StagedFile(table, file.path, file.writer.bytes, tuple(groups))
            for file in self._open.values()
            for table, groups in sorted(file.tables.items())
        )


def _trade_ids(rows: pa.RecordBatch) -> TradeIds:
    ids = rows.column("trade_id").to_numpy()
    updates = ids[~rows.column("is_snapshot").to_numpy(zero_copy_only=False)]
    return TradeIds(int(ids.min()), int(ids.max()), int(updates.min()) if len(updates) else None)


def split(rows: pa.RecordBatch, keys: Sequence[pa.DictionaryArray]) -> list[tuple[tuple[str, ...], pa.RecordBatch]]:
    """Return the rows of each partition, in their order, partitions sorted by their values.

    `keys` are the values of each row in the columns that make partitions.
    """
    if not keys:
        return [((), rows)]
    codes = np.zeros(len(rows), np.int64)
    words: list[list[str]] = []
    for column in keys:
        words.append(column.dictionary.to_pylist())
        codes = codes * len(words[-1]) + column.indices.to_numpy()
    if codes.min() == codes.max():
        return [(_values(int(codes[0]), words), rows)]
    if bool((codes[1:] < codes[:-1]).any()):
        narrow = codes.astype(np.int16) if int(codes.max()) < 2**15 else codes  # radix sort where there are few
        rows = rows.take(pa.array(np.argsort(narrow, kind="stable")))
    found, counts = _distinct(codes)
    parts = []
    begin = 0
    for code, count in zip(found.tolist(), counts.tolist(), strict=True):
        parts.append((_values(code, words), rows.slice(begin, count)))
        begin += count
    return sorted(parts, key=lambda part: part[0])


def _distinct(codes: Int64s) -> tuple[Int64s, Int64s]:
    """Return the codes that occur, ascending, and how often each does."""
    if int(codes.max()) < len(codes):
        counts = np.bincount(codes)
        found = np.flatnonzero(counts)
        return found, counts[found]
    return np.unique(codes, return_counts=True)


def _values(code: int, words: list[list[str]]) -> tuple[str, ...]:
    values = []
    for known in reversed(words):
        code, index = divmod(code, len(known))
        values.append(known[index])
    return tuple(reversed(values))
