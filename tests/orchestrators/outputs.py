"""Outputs of runs as plain values: bytes of files, rows of tables."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from etl_ray.tables.lineage import ARRIVAL_ORDER

OWN = "_etl_ray"
_EXPECTED = re.compile(
    rf"[a-z0-9_]+/([a-z_]+=[^/]+/)*part-[0-9]{{5}}\.parquet|{OWN}/(manifests/[0-9]{{6}}\.json|receipts/[0-9]{{6}}\.jsonl)"
)


def plain_rows(table: pa.Table) -> list[dict[str, object]]:
    """Return rows as dicts; times are ints of ns, which datetime cannot hold."""
    columns = {
        name: (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def files_of(output: Path) -> dict[str, bytes]:
    """Return the content of every file below OUTPUT but the lock, hidden ones included."""
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in sorted(output.rglob("*"))
        if path.is_file() and path != output / OWN / "lock"
    }


def table_files_of(output: Path) -> dict[str, bytes]:
    """Return the content of every file that is not below `_etl_ray`."""
    return {name: data for name, data in files_of(output).items() if not name.startswith(OWN)}


def strays_of(output: Path) -> list[str]:
    """Return what a committed OUTPUT should not hold: anything but tables' files, the lock, manifests and receipts."""
    return [name for name in files_of(output) if not _EXPECTED.fullmatch(name)]


def partitions_of(output: Path) -> dict[str, pa.Table]:
    """Return the rows of each partition directory in the order of its files, with plain strings."""
    found: dict[str, list[pa.Table]] = {}
    for path in sorted(output.rglob("*.parquet")):
        if OWN not in path.relative_to(output).parts:
            found.setdefault(str(path.parent.relative_to(output)), []).append(
                decoded(pq.read_table(path, partitioning=None))
            )
    return {name: pa.concat_tables(pieces).combine_chunks() for name, pieces in found.items()}


def decoded(table: pa.Table) -> pa.Table:
    """Return a table with strings in the place of dictionaries, whose codes depend on the cut."""
    fields = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields, metadata=table.schema.metadata))


def rows_of(output: Path, table: str) -> list[dict[str, object]]:
    """Return all rows of a table as plain values, partitions in the order of their paths."""
    pieces = [rows for name, rows in partitions_of(output).items() if name.split("/")[0] == table]
    return [row for piece in pieces for row in plain_rows(piece)]


KEYS = {
    "level2": ARRIVAL_ORDER,
    "market_trades": ARRIVAL_ORDER,
    "book": ("product_id", "segment", "line"),
    "book_checkpoints": ("product_id", "segment", "line", "side", "level"),
    "coverage": ("channel", "product_id", "segment_start", "line_start"),
    "connections": ("connection_id",),
}
"""What no two rows of a table have in common."""


def places_of(output: Path, table: str) -> list[tuple[object, ...]]:
    """Return the keys of all rows of a table that a glob finds; of a raw one (segment, line, event, row)."""
    names = list(KEYS[table])
    found: list[tuple[object, ...]] = []
    for path in output.glob(f"{table}/**/*.parquet"):
        columns = pq.read_table(path, columns=names, partitioning=None, use_threads=False).to_pydict()
        found += zip(*(columns[name] for name in names), strict=True)
    return found
