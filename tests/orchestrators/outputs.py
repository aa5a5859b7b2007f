"""Outputs of runs as plain values: bytes of files, rows of tables."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from etl_ray.orchestrators.committed import committed_receipts
from etl_ray.orchestrators.kept_composition import COMPOSED, name_of
from etl_ray.orchestrators.manifest import Ledger, Manifest
from etl_ray.orchestrators.pruning import is_prunable
from etl_ray.tables.lineage import ARRIVAL_ORDER

OWN = "_etl_ray"
_FINAL = re.compile(r"[a-z0-9_]+/([a-z_]+=[^/]+/)*part-[0-9]{5}-(?P<content>[0-9a-f]{12})\.parquet")


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
    """Return what a committed OUTPUT should not hold: what its newest manifest does not lead to, or what is not that.

    It leads to files of tables, named by their content; to manifests, receipts, results; and to the pieces of units.
    """
    ledger = Ledger(str(output))
    latest = ledger.latest()
    if latest is None:
        return list(files_of(output))
    known = {f"{OWN}/manifests/{number:06d}.json" for number in ledger.numbers()}
    beside = (*latest.receipts, *((latest.results,) if latest.results else ()))
    known |= {f"{OWN}/{path}" for path in beside}
    known |= {f"{OWN}/staged/{path}" for path in pieces_of(output)}
    known |= {f"{OWN}/{path}" for path in _notes_of(output, latest)}
    digests = {file.path: file.sha256 for file in latest.files}
    return [
        name
        for name, data in files_of(output).items()
        if name not in known and not _is_final(name, data, digests.get(name))
    ]


def _notes_of(output: Path, latest: Manifest) -> set[str]:
    """Return the notes of removed segments that the newest manifest does not tell of."""
    untold = {item.identity for item in latest.inputs if not item.is_removed}
    notes = (output / OWN / "removed").glob("*.json")
    return {f"removed/{path.name}" for path in notes if untold.intersection(json.loads(path.read_bytes()))}


def _is_final(name: str, data: bytes, digest: str | None) -> bool:
    """Say whether a file is the one of the manifest that has its name, and is named by its content."""
    match = _FINAL.fullmatch(name)
    found = hashlib.sha256(data).hexdigest()
    return match is not None and found == digest and match["content"] == found[:12]


def pieces_of(output: Path, staging: Path | None = None) -> set[str]:
    """Return what is kept of the units that OUTPUT was made of, below `staging` (None: below `_etl_ray`).

    That are their pieces, of old units only some, and of each product its composed book in a file that another names.
    """
    ledger = Ledger(str(output))
    manifest = ledger.latest()
    assert manifest is not None
    units = {name: item for item in manifest.inputs for name in item.units}
    pieces: set[str] = set()
    products: set[str] = set()
    for receipt in committed_receipts(ledger, manifest):
        paths = {file.path for file in receipt.files} | {receipt.numbered.path}
        if receipt.book is not None:
            paths |= receipt.book.sizes.keys()
            products |= {book.product for book in receipt.book.products}
        pieces |= {path for path in paths if not (units[receipt.unit].is_pruned and is_prunable(path))}
    root = (staging or output / OWN / "staged") / manifest.staged
    for product in products:
        name = f"{COMPOSED}/{name_of(product)}.json"
        if (root / name).exists():
            pieces |= {name, json.loads((root / name).read_bytes())["path"]}
    return {f"{manifest.staged}/{path}" for path in pieces}


def part_of(directory: Path, number: int = 0) -> Path:
    """Return the `number`-th file of a directory of a table, whatever its content."""
    (found,) = directory.glob(f"part-{number:05d}-*.parquet")
    return found


def rows_by_partition(output: Path) -> dict[str, pa.Table]:
    """Return the rows of each partition in the order of its files, but for the checkpoints of books.

    There is a checkpoint for each file of books, so these depend on the runs that have made OUTPUT.
    """
    return {name: rows for name, rows in partitions_of(output).items() if name.split("/")[0] != "book_checkpoints"}


def assert_same_rows(found: Path, expected: Path) -> None:
    """Compare the rows of all partitions, in their order."""
    rows, wanted = rows_by_partition(found), rows_by_partition(expected)
    assert rows.keys() == wanted.keys()
    for name in wanted:
        assert rows[name].num_rows == wanted[name].num_rows, name
        differing = [column for column in wanted[name].column_names if rows[name][column] != wanted[name][column]]
        assert differing == [], name
        assert rows[name].equals(wanted[name], check_metadata=True), name


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
