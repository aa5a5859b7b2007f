"""What ParquetWriter writes, ParquetReader reads, whatever the types, the cuts and the partitions."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_ray import storage
from etl_ray.readers.parquet import ParquetReader
from etl_ray.writers.parquet import ParquetWriter

from .columns import concatenated, cuts, dense, same, tables

_PARTITION_TYPES = ("int8", "int32", "int64", "uint64", "bool", "date32", "date64", "string", "large_string")


def read(path: str, **options: object) -> pa.Table:
    return concatenated(list(ParquetReader(**options).read(path)))  # type: ignore[arg-type]


def as_stored(table: pa.Table, path: str) -> pa.Table:
    """Return the table with the types that Parquet keeps: no width of dictionary indices, no seconds."""
    first = next(info.url for info in storage.list_files(path))
    with storage.open_read(first) as file:
        return table.cast(pq.read_schema(file))


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_every_type_comes_back_from_both_decoders_whatever_the_cut(data: st.DataObject) -> None:
    table = data.draw(tables())
    batches = data.draw(cuts(table))
    writer = ParquetWriter(rows_per_group=data.draw(st.integers(1, 20)), rows_per_file=data.draw(st.integers(1, 50)))
    batch_rows = data.draw(st.integers(1, 30))
    with tempfile.TemporaryDirectory() as folder:
        for output in (folder, "memory://round-trip"):
            report = writer.write(iter(batches), output)
            by_polars = read(output, batch_rows=batch_rows)
            by_arrow = read(output, use_polars=False, batch_rows=batch_rows)
            stored = as_stored(table, output)
            storage.delete_tree(output)

            assert report.rows == len(table)
            assert stored.schema.metadata == table.schema.metadata
            assert same(by_arrow, stored)
            assert same(by_polars, stored)


@given(st.data())
@settings(max_examples=15, deadline=None)
def test_the_files_do_not_depend_on_how_rows_are_cut_into_batches(data: st.DataObject) -> None:
    table = data.draw(tables())
    keys = partition_keys(table)
    by = data.draw(st.lists(st.sampled_from(keys), unique=True, max_size=2)) if keys else []
    writer = ParquetWriter(rows_per_group=7, rows_per_file=16, max_buffered_rows=20, max_open_files=2)
    outputs = []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as output:
            writer.write(iter(data.draw(cuts(table))), output, by)
            outputs.append(
                {str(file.relative_to(output)): file.read_bytes() for file in Path(output).rglob("*.parquet")}
            )

    assert outputs[0] == outputs[1]


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_partitions_hold_their_rows_in_order_of_arrival(data: st.DataObject) -> None:
    table = data.draw(tables())
    keys = partition_keys(table)
    by = data.draw(st.lists(st.sampled_from(keys), min_size=1, max_size=2, unique=True)) if keys else []
    numbered = table.append_column("arrival", pa.array(range(len(table)), pa.int64()))
    writer = ParquetWriter(
        rows_per_group=data.draw(st.integers(1, 12)),
        rows_per_file=data.draw(st.integers(1, 24)),
        max_buffered_rows=data.draw(st.integers(1, 60)),
        max_open_files=data.draw(st.integers(1, 3)),
    )
    with tempfile.TemporaryDirectory() as output:
        report = writer.write(data.draw(cuts(numbered)), output, by)

        expected: dict[tuple[object, ...], list[int]] = {}
        for row in dense(numbered).to_pylist():
            expected.setdefault(tuple(row[name] for name in by), []).append(row["arrival"])
        found = {key: list(chain(*rows)) for key, rows in in_partitions(report.files, by)}
        assert found == expected or (by == [] and expected == {} and found == {(): []})
        if len(table):
            assert same(read(output).sort_by("arrival"), as_stored(numbered, output))


def partition_keys(table: pa.Table) -> list[str]:
    kinds = [name.partition(" ")[2] for name in table.column_names]
    return [
        name
        for name, kind in zip(table.column_names, kinds, strict=True)
        if kind.startswith((*_PARTITION_TYPES, "dictionary")) and "binary" not in kind
    ]


def in_partitions(files: tuple[str, ...], by: list[str]) -> Iterator[tuple[tuple[object, ...], list[list[int]]]]:
    """Yield the values of each directory and what its files hold; a file holds one partition."""
    folders: dict[str, list[pa.Table]] = {}
    for file in files:
        folders.setdefault(str(Path(file).parent), []).append(dense(pq.read_table(file, partitioning=None)))
    for parts in folders.values():
        values = {tuple(row[name] for name in by) for part in parts for row in part.to_pylist()}
        assert len(values) <= 1
        yield values.pop() if values else (), [part["arrival"].to_pylist() for part in parts]
