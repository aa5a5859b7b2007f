"""Output read back, and its comparison with the reference: whole rows, exact, in order."""

from __future__ import annotations

from collections.abc import Mapping
from math import isclose
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from etl_ray.tables import MARKET_TRADES, TABLES, Numbers, Table
from tests.reference.messages import Row
from tests.reference.run import Reference
from tests.reference.values import percent_encode

_FREE_TEXT = {"rejects": frozenset({"reason"})}
"""Columns that are for people to read and are not compared."""
_ROUNDED = ("mid", "spread", "weighted_mid", "imbalance_", "depth_", "sweep_", "ofi")
"""Columns of books that are computed, but for what begins like them and is counted."""
_COUNTS = ("ofi_n", "ofi_missing")
_TOLERANCE, _SWEEP_TOLERANCE = 1e-15, 1e-9
_MAX_SHOWN = 200


def read_output(
    out_dir: Path,
    numbers: Numbers = "float64",
    *,
    partition_cols: Mapping[str, tuple[str, ...]] | None = None,
    tables: Mapping[str, Table] = TABLES,
) -> dict[str, pa.Table]:
    """Read all tables below `out_dir`, partitions and files in the order of their paths.

    AssertionError if a file's schema is not its table's, a path's value not its column's, a partition not in order.
    `partition_cols` gives the keys of tables whose own ones were overridden, `tables` all tables of the run.
    """
    strangers = {path.name for path in out_dir.iterdir()} - {*TABLES, "_etl_ray"}
    assert not strangers, f"{out_dir} holds what is neither a table nor _etl_ray: {sorted(strangers)}"
    keys = partition_cols or {}
    return {
        name: _read_table(out_dir / name, table, numbers, keys.get(name, table.partition_cols))
        for name, table in tables.items()
    }


def assert_equal(
    out_tables: Mapping[str, pa.Table],
    reference: Reference,
    *,
    partition_cols: Mapping[str, tuple[str, ...]] | None = None,
) -> None:
    """Raise AssertionError that shows the first row in which `out_tables` differ from the reference.

    Features of books may be a few roundings away. `book_checkpoints` is not compared: see tests.reference.checkpoints.
    """
    assert set(out_tables) == set(TABLES), f"expected the tables {sorted(TABLES)}, found {sorted(out_tables)}"
    keys = partition_cols or {}
    for name, table in reference.schemas.items():
        if name == "book_checkpoints":
            continue
        rows = _in_path_order(reference.tables[name], keys.get(name, table.partition_cols))
        rounded = [
            column for column in table.names if name == "book" and column.startswith(_ROUNDED) and column not in _COUNTS
        ]
        compared = [column for column in table.names if column not in {*_FREE_TEXT.get(name, ()), *rounded}]
        expected = to_arrow(rows, table, reference.numbers).select(compared)
        found = out_tables[name].select(compared)
        if not _comparable(expected).equals(_comparable(found)):
            raise AssertionError(_difference(name, expected, found))
        for column in rounded:
            _assert_near(rows, column, out_tables[name][column].to_pylist())


def _assert_near(rows: list[Row], column: str, found: list[float | None]) -> None:
    """Raise AssertionError if a feature is not that of the reference but for some roundings."""
    tolerance = _SWEEP_TOLERANCE if column.startswith("sweep") else _TOLERANCE
    for row, had in zip(rows, found, strict=True):
        wanted = row[column]
        is_near = (
            wanted is None if had is None else isinstance(wanted, float) and isclose(had, wanted, rel_tol=tolerance)
        )
        assert is_near, f"book: {column} in {row['segment']}:{row['line']}: expected {wanted}, found {had}"


def to_arrow(rows: list[Row], table: Table, numbers: Numbers) -> pa.Table:
    """Return rows of the reference as an Arrow table with plain strings in the place of dictionaries."""
    schema = _decoded(table.schema(numbers))
    columns = [pa.array([row[field.name] for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _read_table(directory: Path, table: Table, numbers: Numbers, keys: tuple[str, ...]) -> pa.Table:
    schema = table.schema(numbers)
    partitions: dict[tuple[str, ...], list[pa.Table]] = {}
    for path in sorted(directory.rglob("*"), key=lambda path: path.parts):
        if path.is_dir():
            continue
        assert path.suffix == ".parquet", f"{path} is no Parquet file"
        found = pq.read_table(path, partitioning=None)
        assert pq.read_schema(path).equals(schema, check_metadata=True), (
            f"{path}: expected the schema\n{schema.to_string()}\nfound\n{pq.read_schema(path).to_string()}"
        )
        assert found.num_rows, f"{path} has no rows"
        folders = path.relative_to(directory).parts[:-1]
        found = found.cast(_decoded(schema))
        _check_partition(path, folders, found, keys)
        if table is MARKET_TRADES:
            _check_order(str(path), found, table)
        partitions.setdefault(folders, []).append(found)
    joined = {folders: pa.concat_tables(pieces) for folders, pieces in partitions.items()}
    if table is MARKET_TRADES:  # files are cut by id, which need not follow time
        order = [(name, "ascending") for name in table.order]
        joined = {folders: rows.sort_by(order) for folders, rows in joined.items()}
    for folders, rows in joined.items():
        _check_order("/".join((table.name, *folders)), rows, table)
    whole = list(joined.values())
    return pa.concat_tables(whole) if whole else _decoded(schema).empty_table()


def _check_partition(path: Path, folders: tuple[str, ...], found: pa.Table, keys: tuple[str, ...]) -> None:
    names = tuple(folder.partition("=")[0] for folder in folders)
    assert names == keys, f"{path}: expected the partition keys {keys}, found {names}"
    for folder in folders:
        name, _, encoded = folder.partition("=")
        values = pc.unique(found[name]).to_pylist()
        assert len(values) == 1, f"{path}: expected one {name}, found {values[:5]}"
        assert encoded == _in_path(name, values[0]), f"{path}: the column {name} holds {values[0]!r}"


def _in_path(key: str, value: str) -> str:
    return percent_encode(value) if key == "product_id" else value


def _check_order(partition: str, found: pa.Table, table: Table) -> None:
    order = found.select(list(table.order))
    sorted_order = order.sort_by([(name, "ascending") for name in table.order])
    assert order.equals(sorted_order), f"{partition} is not sorted by {', '.join(table.order)}"


def _decoded(schema: pa.Schema) -> pa.Schema:
    fields = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field for field in schema
    ]
    return pa.schema([field.with_nullable(True).remove_metadata() for field in fields])


def _in_path_order(rows: list[Row], keys: tuple[str, ...]) -> list[Row]:
    partitions: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        partitions.setdefault(tuple(str(row[key]) for key in keys), []).append(row)

    def path(values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"{key}={_in_path(key, value)}" for key, value in zip(keys, values, strict=True))

    return [row for values in sorted(partitions, key=path) for row in partitions[values]]


def _comparable(table: pa.Table) -> pa.Table:
    """Turn floats into their bits: Arrow takes -0.0 for equal to 0.0."""
    names = table.column_names
    columns = [
        pa.chunked_array([chunk.view(pa.int64()) for chunk in column.chunks], pa.int64())
        if pa.types.is_float64(column.type)
        else column
        for column in table.columns
    ]
    return pa.table(columns, names=names)


def _difference(name: str, expected: pa.Table, found: pa.Table) -> str:
    """Describe the first difference, found by bisection."""
    common = min(expected.num_rows, found.num_rows)
    wanted_bits, found_bits = _comparable(expected), _comparable(found)
    if wanted_bits.slice(0, common).equals(found_bits.slice(0, common)):
        side, longer = ("the reference", expected) if expected.num_rows > common else ("the output", found)
        return (
            f"{name}: expected {expected.num_rows:,} rows, found {found.num_rows:,}; "
            f"the first {common:,} are equal, then only {side} has\n{_row(longer, common)}"
        )
    low, high = 0, common
    while high - low > 1:  # rows before low are equal, one from low to high differs
        middle = (low + high) // 2
        if wanted_bits.slice(low, middle - low).equals(found_bits.slice(low, middle - low)):
            low = middle
        else:
            high = middle
    wanted, had = _row(expected, low), _row(found, low)
    lines = [
        f"  {column}: expected {wanted[column]}, found {had[column]}"
        for column in wanted
        if wanted[column] != had[column]
    ]
    sizes = f"{expected.num_rows:,} rows expected, {found.num_rows:,} found"
    return "\n".join([f"{name}: row {low:,} differs ({sizes})", *lines, f"expected row: {wanted}"])


def _row(table: pa.Table, index: int) -> dict[str, str]:
    """Return a row for people; times in ns, and a -0.0 is not a 0.0."""
    row = {}
    for column, field in zip(table.columns, table.schema, strict=True):
        value = column[index]
        plain = value.value if pa.types.is_timestamp(field.type) else value.as_py()
        row[field.name] = repr(plain)[:_MAX_SHOWN]
    return row
