"""Partitions of any number and order, in few rows of memory and few open files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl_ray import storage
from etl_ray.errors import StorageError
from etl_ray.readers.parquet import ParquetReader
from etl_ray.tables.partitions import partition_path
from etl_ray.writers.folders import partition_folder
from etl_ray.writers.parquet import ParquetWriter
from etl_ray.writers.partitioned import PartitionedFiles
from etl_ray.writers.spill import SpillFile


def batches(keys: list[int], size: int) -> Iterator[pa.RecordBatch]:
    """Yield a row per key, in batches; `arrival` counts them."""
    table = pa.table({"k": pa.array(keys, pa.int32()), "arrival": pa.array(range(len(keys)), pa.int64())})
    yield from table.to_batches(max_chunksize=size)


def arrivals(output: Path, key: int) -> list[list[int]]:
    files = sorted((output / f"k={key}").iterdir())
    return [pq.ParquetFile(file).read()["arrival"].to_pylist() for file in files]


class Watch:
    """Watches a writer at work: how much is spilled and written anew, held and open."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.spilled_rows = 0
        self.rewritten_rows = 0
        self.most_held_rows = 0
        self.most_open_files = 0
        self._open_files = 0
        put, add, read = SpillFile.put, PartitionedFiles._add, pq.ParquetFile.read_row_group
        open_write = storage.open_write

        def watched_put(spill: SpillFile, rows: pa.Table) -> object:
            self.spilled_rows += len(rows)
            return put(spill, rows)

        def watched_add(files: PartitionedFiles, run: pa.Table) -> None:
            # A run is there twice while it is split.
            self.most_held_rows = max(self.most_held_rows, files._held_rows() + 2 * len(run))
            add(files, run)

        def watched_read(file: pq.ParquetFile, index: int) -> pa.Table:
            rows = read(file, index)
            self.rewritten_rows += len(rows)
            return rows

        @contextmanager
        def watched_open(url: str) -> Iterator[BinaryIO]:
            self._open_files += 1
            self.most_open_files = max(self.most_open_files, self._open_files)
            with open_write(url) as file:
                yield file
            self._open_files -= 1

        monkeypatch.setattr(SpillFile, "put", watched_put)
        monkeypatch.setattr(PartitionedFiles, "_add", watched_add)
        monkeypatch.setattr(pq.ParquetFile, "read_row_group", watched_read)
        monkeypatch.setattr(storage, "open_write", watched_open)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


WRITER = ParquetWriter(rows_per_group=10, rows_per_file=25, max_buffered_rows=100, max_open_files=3)


def test_sorted_input_streams(tmp_path: Path, watch: Watch) -> None:
    WRITER.write(batches([arrival // 60 for arrival in range(1200)], 7), str(tmp_path), ["k"])

    assert (watch.spilled_rows, watch.rewritten_rows) == (0, 0)
    assert watch.most_open_files <= 3
    assert watch.most_held_rows <= 100
    for key in range(20):
        first = 60 * key
        expected = [(first, first + 25), (first + 25, first + 50), (first + 50, first + 60)]
        assert arrivals(tmp_path, key) == [list(range(*bounds)) for bounds in expected]


def test_few_interleaved_partitions_stream(tmp_path: Path, watch: Watch) -> None:
    WRITER.write(batches([arrival % 3 for arrival in range(300)], 7), str(tmp_path), ["k"])

    assert (watch.spilled_rows, watch.rewritten_rows, watch.most_open_files) == (0, 0, 3)
    for key in range(3):
        rows = list(range(key, 300, 3))
        assert arrivals(tmp_path, key) == [rows[begin : begin + 25] for begin in range(0, 100, 25)]


def test_many_interleaved_partitions_are_spilled(tmp_path: Path, watch: Watch) -> None:
    WRITER.write(batches([arrival % 20 for arrival in range(600)], 7), str(tmp_path), ["k"])

    assert watch.spilled_rows > 400
    assert watch.rewritten_rows == 0
    assert watch.most_open_files == 1
    assert watch.most_held_rows <= 100
    for key in range(20):
        rows = list(range(key, 600, 20))
        assert arrivals(tmp_path, key) == [rows[:25], rows[25:]]


def test_a_partition_that_goes_on_after_it_was_completed_is_written_anew(tmp_path: Path, watch: Watch) -> None:
    keys = [0] * 37 + [1 + arrival // 30 for arrival in range(600)] + [0] * 20 + [1] * 3
    WRITER.write(batches(keys, 7), str(tmp_path), ["k"])

    assert watch.rewritten_rows == 12 + 5  # what was in the last files of 0 and 1
    assert arrivals(tmp_path, 0) == [list(range(25)), [*range(25, 37), *range(637, 650)], list(range(650, 657))]
    assert arrivals(tmp_path, 1) == [list(range(37, 62)), [*range(62, 67), *range(657, 660)]]
    assert sum(len(part) for key in range(21) for part in arrivals(tmp_path, key)) == len(keys)


def test_many_partitions_at_random(tmp_path: Path, watch: Watch) -> None:
    rng = np.random.default_rng(1)
    keys = np.minimum(rng.geometric(0.05, 3000), 100).tolist()
    WRITER.write(batches(keys, 50), str(tmp_path), ["k"])

    assert watch.most_open_files <= 3 + 1  # one is being completed while three stream
    assert watch.most_held_rows <= 100
    for key in set(keys):
        rows = [arrival for arrival, one in enumerate(keys) if one == key]
        assert arrivals(tmp_path, key) == [rows[begin : begin + 25] for begin in range(0, len(rows), 25)]


def test_a_full_disk_under_the_temporary_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("etl_ray.writers.spill.tempfile.TemporaryFile", refuse)

    with pytest.raises(StorageError, match=r"^cannot write a temporary file in .*: No space left on device$"):
        WRITER.write(batches([arrival % 40 for arrival in range(1200)], 7), str(tmp_path / "out"), ["k"])

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("columns", "values", "expected"),
    [
        (("product_id", "date"), ("BTC-USD", "2025-11-26"), "product_id=BTC-USD/date=2025-11-26"),
        (("product_id",), ("a/b",), "product_id=%61%2F%62"),
        (("product_id",), ("..",), "product_id=%2E%2E"),
        (("date",), ("unknown",), "date=unknown"),
        (("date",), ("a/b",), "date=%61%2F%62"),
        (("day",), (date(2025, 11, 26),), "day=2025-11-26"),
        (("n", "flag"), (-7, True), "n=-7/flag=true"),
        (("k",), (None,), "k=__HIVE_DEFAULT_PARTITION__"),
        (("k",), ("__HIVE_DEFAULT_PARTITION__",), "k=%5F_HIVE_DEFAULT_PARTITION__"),
        (("k",), ("",), "k="),
        (("a/b=c",), ("X",), "a%2Fb%3Dc=X"),
        ((".k",), ("X",), "%2Ek=X"),
    ],
)
def test_folders(columns: tuple[str, ...], values: tuple[object, ...], expected: str) -> None:
    assert partition_folder(columns, values) == expected


def test_folders_are_those_of_the_job() -> None:
    for values in (("BTC-USD", "2025-11-26"), ("ä b", "unknown"), (".", "2025-11-26")):
        ours = partition_folder(("product_id", "date"), values)
        assert f"level2/{ours}" == partition_path("level2", ("product_id", "date"), values)


@pytest.mark.parametrize("place", ["local", "memory://partitions"])
def test_hostile_values_come_back_from_paths_alone(tmp_path: Path, place: str) -> None:
    output = str(tmp_path) if place == "local" else place
    words = ["BTC-USD", "a/b", "..", "", "ä=%", "__HIVE_DEFAULT_PARTITION__", None, "x" * 60, "A", "a"]
    try:
        report = ParquetWriter().write(pa.table({"a/b": words, "x": list(range(len(words)))}), output, ["a/b"])
        for file in report.files:
            rows = pq.ParquetFile(storage.open_read(file)).read()
            with storage.open_write(file) as bare:
                pq.write_table(rows.select(["x"]), bare)

        back = pa.Table.from_batches(ParquetReader().read(output)).sort_by("x")

        assert back["a/b"].to_pylist() == words
    finally:
        storage.delete_tree("memory://partitions")
