"""ParquetWriter: files, modes, and what is left when something goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl_ray import storage
from etl_ray.errors import ConfigError, SchemaError, StorageError
from etl_ray.readers.parquet import ParquetReader
from etl_ray.tables import SYMBOL
from etl_ray.writers.base import WriteReport
from etl_ray.writers.parquet import ParquetWriter


def numbers(first: int, last: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(range(first, last), pa.int64())], names=["x"])


def state(root: Path) -> dict[str, bytes | None]:
    """Return all files and directories, hidden ones included."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in sorted(root.rglob("*"))
    }


def read(path: Path | str) -> list[object]:
    batches = list(ParquetReader().read(str(path)))
    return pa.Table.from_batches(batches)["x"].to_pylist()


def groups(path: str | Path) -> list[int]:
    metadata = pq.read_metadata(path)
    return [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]


def test_row_groups_and_files_are_cut_at_their_sizes_whatever_the_batches(tmp_path: Path) -> None:
    writer = ParquetWriter(rows_per_group=4, rows_per_file=10)

    report = writer.write([numbers(0, 1), numbers(1, 1), numbers(1, 22), numbers(22, 23)], str(tmp_path / "out"))

    files = [str(tmp_path / "out" / f"part-{number:05}.parquet") for number in range(3)]
    assert report == WriteReport(tuple(files), rows=23, bytes=sum(Path(file).stat().st_size for file in files))
    assert [groups(file) for file in files] == [[4, 4, 2], [4, 4, 2], [3]]
    assert read(tmp_path / "out") == list(range(23))
    assert sorted(state(tmp_path)) == ["out", *(f"out/part-0000{number}.parquet" for number in range(3))]


def test_partitions_are_spelled_as_in_the_tables_of_the_job(tmp_path: Path) -> None:
    table = pa.table(
        {
            "product_id": pa.array(["BTC-USD", "a/b", None, "BTC-USD"], SYMBOL),
            "date": ["2025-11-26", "unknown", "2025-11-26", "2025-11-26"],
            "x": [1, 2, 3, 4],
        }
    )

    report = ParquetWriter().write(table, str(tmp_path), ["product_id", "date"])

    assert [file.removeprefix(f"{tmp_path}/") for file in report.files] == [
        "product_id=%61%2F%62/date=unknown/part-00000.parquet",
        "product_id=BTC-USD/date=2025-11-26/part-00000.parquet",
        "product_id=__HIVE_DEFAULT_PARTITION__/date=2025-11-26/part-00000.parquet",
    ]
    assert pq.ParquetFile(report.files[1]).read().to_pylist() == [
        {"product_id": "BTC-USD", "date": "2025-11-26", "x": 1},
        {"product_id": "BTC-USD", "date": "2025-11-26", "x": 4},
    ]
    assert pq.read_schema(report.files[1]) == table.schema
    assert read(tmp_path) == [2, 1, 4, 3]


def test_existing_files_are_refused_before_data_is_touched(tmp_path: Path) -> None:
    ParquetWriter(rows_per_file=2).write(numbers(0, 5), str(tmp_path))
    before = state(tmp_path)

    def untouched() -> Iterator[pa.RecordBatch]:
        pytest.fail("data was read")
        yield

    with pytest.raises(ConfigError) as caught:
        ParquetWriter().write(untouched(), str(tmp_path))

    assert str(caught.value) == (
        f"output_path {tmp_path} holds 3 Parquet files, the first is {tmp_path}/part-00000.parquet; expected none. "
        'Write elsewhere, or replace them with mode="overwrite"'
    )
    assert state(tmp_path) == before


def test_overwrite_replaces_all_visible_parquet_files_and_nothing_else(tmp_path: Path) -> None:
    old = pa.table({"k": ["A", "B"], "x": [1, 2]})
    ParquetWriter().write(old, str(tmp_path), ["k"])
    for kept in ("notes.txt", "_mine/part.parquet", ".hidden/part.parquet"):
        (tmp_path / kept).parent.mkdir(exist_ok=True)
        (tmp_path / kept).write_text("kept")

    report = ParquetWriter().write(pa.table({"k": ["B", "C"], "x": [3, 4]}), str(tmp_path), ["k"], mode="overwrite")

    assert report.rows == 2
    assert read(tmp_path) == [3, 4]
    assert [name for name, content in state(tmp_path).items() if content is not None] == [
        ".hidden/part.parquet",
        "_mine/part.parquet",
        "k=B/part-00000.parquet",
        "k=C/part-00000.parquet",
        "notes.txt",
    ]
    assert not (tmp_path / "k=A").exists()


def test_overwrite_of_what_is_being_read_is_safe(tmp_path: Path) -> None:
    ParquetWriter(rows_per_file=3).write(numbers(0, 10), str(tmp_path))
    for use_polars in (True, False):
        batches = ParquetReader(use_polars=use_polars, batch_rows=2).read(str(tmp_path))
        ParquetWriter(rows_per_file=4).write(batches, str(tmp_path), mode="overwrite")
    ParquetWriter().write(ParquetReader().scan(str(tmp_path)), str(tmp_path), mode="overwrite")

    assert sorted(state(tmp_path)) == ["part-00000.parquet"]
    assert read(tmp_path) == list(range(10))


def failing(error: BaseException) -> Iterator[pa.Table]:
    yield pa.table({"k": [f"K{value % 5}" for value in range(30)], "x": list(range(30))})
    raise error


@pytest.mark.parametrize("mode", ["error", "overwrite"])
@pytest.mark.parametrize("partition_cols", [(), ("k",)])
@pytest.mark.parametrize("error", [RuntimeError("no more data"), KeyboardInterrupt()])
def test_an_exception_of_the_data_leaves_everything_as_it_was(
    tmp_path: Path, mode: str, partition_cols: tuple[str, ...], error: BaseException
) -> None:
    writer = ParquetWriter(rows_per_group=2, rows_per_file=4, max_buffered_rows=8)
    if mode == "overwrite":
        writer.write(pa.table({"k": ["K9"], "x": [-1]}), str(tmp_path / "deep" / "out"), partition_cols)
    before = state(tmp_path)

    with pytest.raises(type(error)):
        writer.write(failing(error), str(tmp_path / "deep" / "out"), partition_cols, mode=mode)  # type: ignore[arg-type]

    assert state(tmp_path) == before


@pytest.mark.parametrize("root", ["local", "memory://parquet-writer"])
@pytest.mark.parametrize("partition_cols", [(), ("k",)])
def test_a_full_disk_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str, partition_cols: tuple[str, ...]
) -> None:
    output = str(tmp_path / "out") if root == "local" else root
    writer = ParquetWriter(rows_per_group=2, rows_per_file=4, max_buffered_rows=8)
    data = pa.table({"k": [f"K{value % 5}" for value in range(30)], "x": list(range(30))})
    writer.write(data.slice(0, 6), output, partition_cols)
    before = [(info.url, info.size) for info in storage.list_files(output)]
    room = iter(range(5))
    write = storage.writing.Writer.write

    def fill(self: storage.writing.Writer, data: bytes) -> int:
        if next(room, None) is None:
            raise StorageError("cannot write: No space left on device")
        return write(self, data)

    monkeypatch.setattr(storage.writing.Writer, "write", fill)
    try:
        with pytest.raises(StorageError, match="No space left on device"):
            writer.write(data, output, partition_cols, mode="overwrite")
        assert [(info.url, info.size) for info in storage.list_files(output)] == before
        if root == "local":
            assert [name for name in state(tmp_path / "out") if name.startswith(".")] == []
    finally:
        storage.delete_tree("memory://parquet-writer")


def test_a_failing_move_is_undone_where_nothing_was_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_second_move(monkeypatch)

    with pytest.raises(StorageError, match=r"^cannot move$"):
        ParquetWriter().write(pa.table({"k": ["A", "B"], "x": [1, 2]}), str(tmp_path / "out"), ["k"])

    assert state(tmp_path) == {}


def test_a_failing_replacement_says_where_the_new_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ParquetWriter().write(pa.table({"k": ["A"], "x": [0]}), str(tmp_path), ["k"])
    refuse_second_move(monkeypatch)

    with pytest.raises(StorageError) as caught:
        ParquetWriter().write(pa.table({"k": ["B", "C"], "x": [1, 2]}), str(tmp_path), ["k"], mode="overwrite")

    (staging,) = tmp_path.glob(".etl_ray-*")
    assert str(caught.value) == (
        "cannot move. All new files are complete: those that are not yet in place lie in "
        f"{staging}. Some of the 1 old ones are deleted. Write again, or move them"
    )
    assert read(tmp_path) == [1]
    assert read(staging) == [2]


def refuse_second_move(monkeypatch: pytest.MonkeyPatch) -> None:
    move = storage.move
    moves = iter([move])

    def refuse(src: str, dst: str) -> None:
        one = next(moves, None)
        if one is None:
            raise StorageError("cannot move")
        one(src, dst)

    monkeypatch.setattr(storage, "move", refuse)


def test_files_that_appear_meanwhile_are_not_replaced_by_mode_error(tmp_path: Path) -> None:
    def meanwhile() -> Iterator[pa.RecordBatch]:
        yield numbers(0, 3)
        pq.write_table(pa.table({"x": [7]}), tmp_path / "other.parquet")

    with pytest.raises(ConfigError, match=r"holds 1 Parquet files"):
        ParquetWriter().write(meanwhile(), str(tmp_path))

    assert sorted(state(tmp_path)) == ["other.parquet"]


@pytest.mark.parametrize("data", ["table", "batches", "no batches"])
def test_no_rows_are_a_file_with_the_schema_if_there_is_one(tmp_path: Path, data: str) -> None:
    schema = pa.schema([("x", pa.int64()), ("k", SYMBOL)], metadata={"made_by": "a test"})
    given: dict[str, object] = {
        "table": schema.empty_table(),
        "batches": iter(schema.empty_table().to_batches() or [pa.RecordBatch.from_pylist([], schema)]),
        "no batches": iter(()),
    }

    partitioned = ParquetWriter().write(schema.empty_table(), str(tmp_path / "partitioned"), ["k"])
    report = ParquetWriter().write(given[data], str(tmp_path / "plain"))  # type: ignore[arg-type]

    assert partitioned == WriteReport((), rows=0, bytes=0)
    assert report.rows == 0
    if data == "no batches":
        assert report.files == ()
    else:
        assert report.files == (str(tmp_path / "plain" / "part-00000.parquet"),)
        assert pq.read_schema(report.files[0]).equals(schema, check_metadata=True)
        assert groups(report.files[0]) in ([], [0])


def test_overwriting_with_no_rows_leaves_no_rows(tmp_path: Path) -> None:
    table = pa.table({"k": ["A"], "x": [1]})
    ParquetWriter().write(table, str(tmp_path), ["k"])

    ParquetWriter().write(table.slice(0, 0), str(tmp_path), ["k"], mode="overwrite")

    assert state(tmp_path) == {}


def test_urls_are_written_through_the_storage() -> None:
    output = "memory://parquet-writer/table"
    try:
        writer = ParquetWriter(rows_per_group=2, rows_per_file=4, max_buffered_rows=8)
        data = pa.table({"k": [f"K{value % 3}" for value in range(30)], "x": list(range(30))})
        first = writer.write(data, output, ["k"])
        second = writer.write(data.slice(15), output, ["k"], mode="overwrite")

        assert first.files[0] == f"{output}/k=K0/part-00000.parquet"
        assert len(first.files) == 9
        assert [info.url for info in storage.list_files(output)] == list(second.files)
        assert read(output) == [*range(15, 30, 3), *range(16, 30, 3), *range(17, 30, 3)]
        with pytest.raises(ConfigError, match=r"holds 6 Parquet files"):
            writer.write(data, output)
    finally:
        storage.delete_tree("memory://parquet-writer")


@pytest.mark.parametrize("mode", ["error", "overwrite"])
@pytest.mark.parametrize("inside", ["", "level2", "level2/product_id=BTC-USD/date=2025-11-26"])
def test_tables_of_the_job_are_never_replaced(tmp_path: Path, mode: str, inside: str) -> None:
    (tmp_path / "_etl_ray").mkdir()

    with pytest.raises(ConfigError) as caught:
        ParquetWriter().write(numbers(0, 1), str(tmp_path / inside), mode=mode)  # type: ignore[arg-type]

    assert str(caught.value) == (
        f"output_path {tmp_path / inside} belongs to the tables that `etl-ray run` has committed to {tmp_path}; "
        "expected another directory"
    )


def test_a_table_of_ones_own_may_lie_beside_those_of_the_job(tmp_path: Path) -> None:
    (tmp_path / "_etl_ray").mkdir()

    ParquetWriter().write(numbers(0, 1), str(tmp_path / "signals"), mode="overwrite")

    assert read(tmp_path / "signals") == [0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "append"}, "mode: expected error or overwrite, found 'append'"),
        ({"partition_cols": "k"}, "partition_cols: expected a list of names, found 'k'"),
        ({"partition_cols": ["k", "k"]}, "partition_cols: expected each name once, found k, k"),
        ({"partition_cols": ["kk"]}, "partition_cols: unknown column 'kk'; did you mean 'k'? known: k, f, ts"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path: Path, options: dict[str, object], said: str) -> None:
    data = pa.table({"k": ["a"], "f": [1.0], "ts": pa.array([1], pa.timestamp("ns"))})

    with pytest.raises(ConfigError) as caught:
        ParquetWriter().write(data, str(tmp_path / "out"), **options)  # type: ignore[arg-type]

    assert str(caught.value) == said
    assert state(tmp_path) == {}


@pytest.mark.parametrize("option", ["rows_per_file", "rows_per_group", "max_buffered_rows", "max_open_files"])
def test_sizes_below_one_are_refused(option: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ParquetWriter(**{option: 0})
    assert str(caught.value) == f"expected {option} of at least 1, found 0"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("f", "double"), ("ts", "timestamp[ns]"), ("d", "dictionary<values=double, indices=int32, ordered=0>")],
)
def test_only_what_stands_for_itself_can_partition(tmp_path: Path, name: str, kind: str) -> None:
    doubles = pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()), pa.array([1.0]))
    data = pa.table({"f": [1.0], "ts": pa.array([1], pa.timestamp("ns")), "d": doubles})

    with pytest.raises(SchemaError) as caught:
        ParquetWriter().write(data, str(tmp_path / "out"), [name])

    stored = "double" if name == "d" else kind
    assert str(caught.value) == (
        f"cannot partition by column {name!r} of type {stored}: expected text, an integer, a boolean or a date"
    )
    assert state(tmp_path) == {}


def test_a_type_that_parquet_does_not_know_is_told_with_its_column(tmp_path: Path) -> None:
    data = pa.table({"x": [1], "span": pa.array([None], pa.month_day_nano_interval())})

    with pytest.raises(SchemaError, match=r"^column 'span': Parquet cannot hold month_day_nano_interval: "):
        ParquetWriter().write(data, str(tmp_path / "out"))

    assert state(tmp_path) == {}


def test_views_within_nested_types_are_refused(tmp_path: Path) -> None:
    data = pa.table({"words": pa.array([["a"]], pa.list_(pa.string_view()))})

    with pytest.raises(SchemaError) as caught:
        ParquetWriter().write(data, str(tmp_path / "out"))

    assert str(caught.value) == (
        "column 'words' is list<item: string_view>; expected string or binary for the views in it"
    )


def test_a_file_is_no_place_for_a_table(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    path.write_bytes(b"")

    with pytest.raises(ConfigError) as caught:
        ParquetWriter().write(numbers(0, 1), str(path), mode="overwrite")

    assert str(caught.value) == f"output_path {path} is a file; expected a directory"


def test_dictionaries_hold_only_the_words_of_their_file(tmp_path: Path) -> None:
    words = pa.DictionaryArray.from_arrays(pa.array([2, 0, None, 2], pa.int8()), pa.array(["c", "unused", "a"]))
    report = ParquetWriter().write(pa.table({"k": words, "x": [1, 2, 3, 4]}), str(tmp_path))

    (column,) = pq.ParquetFile(report.files[0]).read()["k"].chunks

    assert column.type == SYMBOL
    assert column.dictionary.to_pylist() == ["a", "c"]
    assert column.to_pylist() == ["a", "c", None, "a"]


def test_the_order_of_an_ordered_dictionary_is_kept(tmp_path: Path) -> None:
    ordered = pa.dictionary(pa.int32(), pa.string(), ordered=True)
    sizes = pa.DictionaryArray.from_arrays(pa.array([1, 0], pa.int32()), pa.array(["small", "big"]), ordered=True)
    report = ParquetWriter().write(pa.table({"size": sizes}), str(tmp_path))

    (column,) = pq.ParquetFile(report.files[0]).read()["size"].chunks

    assert column.type == ordered
    assert column.dictionary.to_pylist() == ["small", "big"]
