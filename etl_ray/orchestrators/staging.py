"""Staged pieces: one Parquet file per (unit, table), a row group per partition and block, in arrival order.

A staged table lacks what only the whole run knows, `segment` and `connection_id`, and has `message_index`, the
message's position among those of the unit, in their place; its `line` counts from the unit's beginning.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from etl_ray import storage
from etl_ray.orchestrators.receipts import StagedFile, StagedGroup, TradeIds
from etl_ray.tables import DELIVERED, DELIVERED_TRADES, STATUS, Numbers, Table

MESSAGE_INDEX = "message_index"
ADDED_LATER = ("segment", "connection_id")
SOURCES: dict[str, Table] = {**DELIVERED, "instruments": STATUS}
"""What is staged for each table: its rows as delivered; `instruments` is found in all rows of `status`."""


@cache
def staged_schema(table: str, numbers: Numbers) -> pa.Schema:
    """Return the schema of the staged rows of a table."""
    fields = [item for item in SOURCES[table].schema(numbers) if item.name not in ADDED_LATER]
    if "connection_id" in SOURCES[table].names:
        fields.append(pa.field(MESSAGE_INDEX, pa.int32(), nullable=False))
    return pa.schema(fields)


@dataclass
class _Open:
    writer: pq.ParquetWriter
    path: str
    groups: list[StagedGroup] = field(default_factory=list)


class StagedWriter:
    """Writes the staged files of one unit; they appear when it is closed without an exception."""

    def __init__(self, root: str, unit: str, numbers: Numbers, partition_cols: Mapping[str, tuple[str, ...]]) -> None:
        self._root = root
        self._unit = unit
        self._numbers: Numbers = numbers
        self._partition_cols = partition_cols
        self._stack = ExitStack()
        self._open: dict[str, _Open] = {}

    def __enter__(self) -> StagedWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]

    def write(self, table: str, columns: Mapping[str, pa.Array]) -> None:
        """Append rows of a table, given in arrival order; they are sorted apart by partition."""
        schema = staged_schema(table, self._numbers)
        rows = pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)
        if not len(rows):
            return
        if table not in self._open:
            self._open[table] = self._begin(table, schema)
        target = self._open[table]
        for partition, part in split(rows, self._partition_cols[table]):
            target.writer.write_table(part, row_group_size=len(part))
            ids = _trade_ids(part) if table == DELIVERED_TRADES.name else None
            target.groups.append(StagedGroup(partition, len(part), ids))

    def _begin(self, table: str, schema: pa.Schema) -> _Open:
        path = f"{table}/{self._unit}.parquet"
        file = self._stack.enter_context(storage.open_write(storage.join(self._root, path), durable=False))
        # Read once and removed: cheap to write counts more than small. A power cut may damage what was not flushed to
        # the disk; the checksums tell.
        writer = pq.ParquetWriter(
            file,
            schema,
            compression="lz4",
            use_dictionary=[item.name for item in schema if pa.types.is_dictionary(item.type)],
            write_statistics=False,
            write_page_checksum=True,
        )
        self._stack.callback(writer.close)
        return _Open(writer, path)

    def finish(self) -> tuple[StagedFile, ...]:
        """Close the files and describe them."""
        self._stack.close()
        return tuple(
            StagedFile(
                table, item.path, storage.file_info(storage.join(self._root, item.path)).size, tuple(item.groups)
            )
            for table, item in sorted(self._open.items())
        )


def _trade_ids(rows: pa.Table) -> TradeIds:
    ids = rows.column("trade_id").to_numpy()
    updates = ids[~rows.column("is_snapshot").to_numpy()]
    return TradeIds(int(ids.min()), int(ids.max()), int(updates.min()) if len(updates) else None)


def split(rows: pa.Table, partition_cols: tuple[str, ...]) -> list[tuple[tuple[str, ...], pa.Table]]:
    """Return the rows of each partition, in their order, partitions sorted by their values."""
    if not partition_cols:
        return [((), rows)]
    codes = np.zeros(len(rows), np.int64)
    words: list[list[str]] = []
    for name in partition_cols:
        column = rows.column(name).chunk(0)
        words.append(column.dictionary.to_pylist())
        codes = codes * len(words[-1]) + column.indices.to_numpy()
    if codes.min() == codes.max():
        return [(_values(int(codes[0]), words), rows)]
    found = np.unique(codes)
    narrow = codes.astype(np.int16) if int(found[-1]) < 2**15 else codes  # radix sort where there are few
    rows = rows.take(pa.array(np.argsort(narrow, kind="stable")))
    counts = np.bincount(np.searchsorted(found, codes))
    parts = []
    begin = 0
    for code, count in zip(found, counts, strict=True):
        parts.append((_values(int(code), words), rows.slice(begin, int(count))))
        begin += int(count)
    return sorted(parts, key=lambda part: part[0])


def _values(code: int, words: list[list[str]]) -> tuple[str, ...]:
    values = []
    for known in reversed(words):
        code, index = divmod(code, len(known))
        values.append(known[index])
    return tuple(reversed(values))
