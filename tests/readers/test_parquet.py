"""ParquetReader: which files it reads, in which order, and what it says of files that do not fit."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from etl_ray import storage
from etl_ray.errors import ConfigError, SchemaError, StorageError
from etl_ray.readers.parquet import ParquetReader
from etl_ray.readers.parquet_decode import windows
from etl_ray.readers.parquet_files import RowGroup
from etl_ray.tables import SYMBOL, TICKER, Table

DECODERS = pytest.mark.parametrize("use_polars", [True, False], ids=["polars", "pyarrow"])


def put(path: Path | str, columns: dict[str, object] | pa.Table, **options: object) -> str:
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    with storage.open_write(str(path), durable=False) as file:
        pq.write_table(table, file, **options)
    return str(path)


def rows(path: Path | str, **options: object) -> list[dict[str, object]]:
    batches = list(ParquetReader(**options).read(str(path)))  # type: ignore[arg-type]
    return pa.Table.from_batches(batches).to_pylist()


def numbers(path: Path | str, **options: object) -> list[object]:
    return [row["x"] for row in rows(path, **options)]


def refusal(path: Path | str, kind: type[Exception], **options: object) -> str:
    """Return what is said before anything is read."""
    with pytest.raises(kind) as caught:
        ParquetReader(**options).read(str(path))  # type: ignore[arg-type]
    return str(caught.value)


@DECODERS
def test_files_come_in_the_order_of_their_paths_and_hidden_names_are_passed_over(
    tmp_path: Path, use_polars: bool
) -> None:
    put(tmp_path / "b" / "part-00001.parquet", {"x": [5]})
    put(tmp_path / "b" / "part-00000.parquet", {"x": [4, 3]})
    put(tmp_path / "a.pq", {"x": [1, 2]})
    for hidden in ("_etl_ray/c.parquet", ".staging/c.parquet", "b/_c.parquet", "b/.c.parquet"):
        put(tmp_path / hidden, {"x": [-1]})
    (tmp_path / "README.md").write_text("not data")

    assert numbers(tmp_path, use_polars=use_polars) == [1, 2, 4, 3, 5]
    assert numbers(tmp_path / "b", use_polars=use_polars) == [4, 3, 5]
    assert numbers(tmp_path / "*" / "*1.parquet", use_polars=use_polars) == [5]
    assert numbers(tmp_path / "**" / "*.parquet", use_polars=use_polars) == [4, 3, 5]
    assert numbers(tmp_path / "_*" / "*.parquet", use_polars=use_polars) == [-1]
    assert numbers(f"file://{tmp_path}/a.pq", use_polars=use_polars) == [1, 2]


def test_hidden_names_are_passed_over_below_a_hidden_directory_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "_mine" / "a" / "p.parquet", {"x": [1]})
    put(tmp_path / "_mine" / "a" / "_p.parquet", {"x": [-1]})
    monkeypatch.chdir(tmp_path)

    assert numbers("_mine") == [1]
    assert numbers("./_mine/*/*.parquet") == [1]
    assert numbers("_mine/a/_*") == [-1]


@DECODERS
def test_a_file_is_read_whatever_its_name_and_place(tmp_path: Path, use_polars: bool) -> None:
    for name in ("_hidden/table.data", "100%/a b?.parquet", "[x]*/p.parquet", "ä=%C3%A4/{1}.parquet"):
        path = put(tmp_path / name, {"x": [7]})
        assert numbers(path, use_polars=use_polars) == [7]


@DECODERS
def test_urls_are_read_through_the_storage(use_polars: bool) -> None:
    put("memory://bucket/t/side=a%2Fb/2.parquet", {"x": [3], "s": pa.array(["w"]).dictionary_encode()})
    put(
        "memory://bucket/t/side=__HIVE_DEFAULT_PARTITION__/1.parquet",
        {"x": [1, 2], "s": pa.array(["v", None]).dictionary_encode()},
    )
    try:
        assert rows("memory://bucket/t", use_polars=use_polars) == [
            {"x": 1, "s": "v", "side": None},
            {"x": 2, "s": None, "side": None},
            {"x": 3, "s": "w", "side": "a/b"},
        ]
        assert rows("memory://bucket/t/*/2.parquet", use_polars=use_polars, columns=["side"]) == [{"side": "a/b"}]
        assert numbers("memory://bucket/t", use_polars=use_polars, filters=[("side", "==", "a/b")]) == [3]
        assert numbers("memory://bucket/t", use_polars=use_polars, filters=[("x", "<", 2)]) == [1]
    finally:
        storage.delete_tree("memory://bucket/t")


@DECODERS
def test_batches_have_at_most_batch_rows_and_one_schema(tmp_path: Path, use_polars: bool) -> None:
    schema = pa.schema(
        [
            pa.field("x", pa.int64(), nullable=False, metadata={"unit": "base"}),
            pa.field("ts", pa.timestamp("ns", "UTC")),
            pa.field("word", SYMBOL),
        ],
        metadata={"made_by": "a test"},
    )
    for name, first in (("a", 0), ("b", 10)):
        values = list(range(first, first + 10))
        table = pa.table(
            [values, [value + 10**18 for value in values], pa.array(["w"] * 10).cast(SYMBOL)], schema=schema
        )
        put(tmp_path / f"{name}.parquet", table, row_group_size=4)

    batches = list(ParquetReader(use_polars=use_polars, batch_rows=3).read(str(tmp_path)))

    assert all(batch.schema.equals(schema, check_metadata=True) for batch in batches)
    assert max(batch.num_rows for batch in batches) == 3
    assert pa.Table.from_batches(batches)["x"].to_pylist() == list(range(20))
    assert pa.Table.from_batches(batches)["ts"].cast(pa.int64()).to_pylist() == [x + 10**18 for x in range(20)]


@DECODERS
def test_no_rows_are_one_empty_batch_with_the_schema(tmp_path: Path, use_polars: bool) -> None:
    put(tmp_path / "a.parquet", pa.table({"x": pa.array([], pa.int64()), "y": pa.array([], SYMBOL)}))

    (batch,) = ParquetReader(use_polars=use_polars, columns=["y"]).read(str(tmp_path))

    assert batch.num_rows == 0
    assert batch.schema == pa.schema([("y", SYMBOL)])


@DECODERS
def test_columns_are_selected_in_the_order_asked_for_and_matched_by_name(tmp_path: Path, use_polars: bool) -> None:
    put(tmp_path / "a.parquet", {"x": [1], "y": ["a"], "only_here": [0]})
    put(tmp_path / "b.parquet", {"y": ["b"], "x": [2]})

    assert [list(row.items()) for row in rows(tmp_path, use_polars=use_polars, columns=["y", "x"])] == [
        [("y", "a"), ("x", 1)],
        [("y", "b"), ("x", 2)],
    ]
    assert numbers(tmp_path, use_polars=use_polars, columns=["x"], filters=[("y", "==", "b")]) == [2]


@DECODERS
def test_hive_keys_that_are_no_columns_become_columns(tmp_path: Path, use_polars: bool) -> None:
    put(tmp_path / "_k=a%2Fb%25" / "day=2025-11-26" / "p.parquet", {"x": [1, 2]})
    put(tmp_path / "_k=__HIVE_DEFAULT_PARTITION__" / "day=2025-11-27" / "p.parquet", {"x": [3]})

    batches = list(ParquetReader(use_polars=use_polars).read(str(tmp_path)))

    assert batches[0].schema == pa.schema([("x", pa.int64()), ("_k", SYMBOL), ("day", SYMBOL)])
    assert pa.Table.from_batches(batches).to_pylist() == [
        {"x": 3, "_k": None, "day": "2025-11-27"},
        {"x": 1, "_k": "a/b%", "day": "2025-11-26"},
        {"x": 2, "_k": "a/b%", "day": "2025-11-26"},
    ]
    assert rows(tmp_path / "_k=a%2Fb%25", use_polars=use_polars, filters=[("x", ">", 1)]) == [
        {"x": 2, "_k": "a/b%", "day": "2025-11-26"}
    ]
    assert rows(tmp_path, use_polars=use_polars, columns=["day"], filters=[("_k", "!=", "a")]) == [
        {"day": "2025-11-26"},
        {"day": "2025-11-26"},
    ]


@DECODERS
def test_a_column_in_the_file_counts_more_than_its_path(tmp_path: Path, use_polars: bool) -> None:
    put(tmp_path / "k=1" / "p.parquet", {"x": [1], "k": pa.array([7], pa.int32())})

    assert rows(tmp_path, use_polars=use_polars) == [{"x": 1, "k": 7}]


@DECODERS
def test_files_that_a_filter_excludes_by_their_path_are_not_opened_again(tmp_path: Path, use_polars: bool) -> None:
    for day in ("2025-11-25", "2025-11-26", "2025-11-27"):
        put(tmp_path / f"day={day}" / "p.parquet", {"x": [int(day[-2:])], "day": pa.array([day]).cast(pa.date32())})
    batches = ParquetReader(use_polars=use_polars, filters=[("day", ">=", "2025-11-26")], columns=["x"]).read(
        str(tmp_path)
    )
    (tmp_path / "day=2025-11-25" / "p.parquet").unlink()

    assert pa.Table.from_batches(batches).to_pylist() == [{"x": 26}, {"x": 27}]


@DECODERS
def test_wider_dictionary_indices_of_some_files_are_no_difference(tmp_path: Path, use_polars: bool) -> None:
    put(tmp_path / "a.parquet", {"w": pa.array(["a"], pa.dictionary(pa.int8(), pa.string()))})
    put(tmp_path / "b.parquet", {"w": pa.array(["b"], pa.dictionary(pa.int16(), pa.string()))})

    batches = list(ParquetReader(use_polars=use_polars).read(str(tmp_path)))

    assert [batch.schema.field("w").type for batch in batches] == [SYMBOL, SYMBOL]
    assert pa.Table.from_batches(batches)["w"].to_pylist() == ["a", "b"]


def test_a_null_in_one_file_makes_the_column_nullable(tmp_path: Path) -> None:
    put(tmp_path / "a.parquet", pa.table({"x": [1]}, pa.schema([pa.field("x", pa.int64(), nullable=False)])))
    put(tmp_path / "b.parquet", {"x": [None, 2]})

    assert numbers(tmp_path) == [1, None, 2]


def test_types_that_differ_are_told_with_both_files(tmp_path: Path) -> None:
    first, second = put(tmp_path / "a.parquet", {"x": [1]}), put(tmp_path / "b.parquet", {"x": [1.0]})

    assert refusal(tmp_path, SchemaError) == (
        f"column 'x' is int64 in {first}, but double in {second}; expected one type"
    )


def test_a_column_that_some_files_lack_is_told_with_both_files(tmp_path: Path) -> None:
    first, second = put(tmp_path / "a.parquet", {"x": [1]}), put(tmp_path / "b.parquet", {"x": [1], "y": [2]})
    expected = (
        f"{first} has no column 'y', but {second} has; "
        "expected files of the same columns, or `columns` that all of them have"
    )

    assert refusal(tmp_path, SchemaError) == expected
    assert refusal(tmp_path, SchemaError, columns=["y"]) == expected


def test_unknown_columns_are_told_with_the_nearest_name(tmp_path: Path) -> None:
    put(tmp_path / "a.parquet", {"price": [1], "quantity": [2]})

    assert refusal(tmp_path, ConfigError, columns=["pirce"]) == (
        "unknown column 'pirce'; did you mean 'price'? known: price, quantity"
    )


def test_a_column_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "a.parquet", pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"]))

    assert refusal(path, SchemaError) == f"{path}: expected columns of different names, found 'x' twice"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"columns": []}, "columns: expected a list of at least one name, found []"),
        ({"columns": "price"}, "columns: expected a list of at least one name, found 'price'"),
        ({"columns": ["a", "b", "a"]}, "columns: expected each name once, found 'a' twice"),
        ({"batch_rows": 0}, "expected batch_rows of at least 1, found 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ParquetReader(**options)  # type: ignore[arg-type]
    assert str(caught.value) == said


def table_of(table: Table, **metadata: str) -> pa.Table:
    schema = table.schema()
    changed = {key.encode(): value.encode() for key, value in metadata.items()}
    return schema.with_metadata(schema.metadata | changed).empty_table()


def test_a_directory_of_several_tables_is_refused_and_they_are_named(tmp_path: Path) -> None:
    put(tmp_path / "ticker" / "a.parquet", table_of(TICKER))
    put(tmp_path / "level2" / "a.parquet", {"x": [1]})
    put(tmp_path / "errors" / "a.parquet", table_of(TICKER, **{"etl_ray.table": "errors"}))

    assert refusal(tmp_path, ConfigError) == (
        f"{tmp_path} holds several tables: errors (1 files), ticker (1 files). "
        f"Name one of them, for example {tmp_path}/errors"
    )


def test_another_version_of_a_table_is_refused_and_says_what_to_do(tmp_path: Path) -> None:
    old = put(tmp_path / "old.parquet", table_of(TICKER, **{"etl_ray.version": str(TICKER.version - 1)}))
    new = put(tmp_path / "new.parquet", table_of(TICKER, **{"etl_ray.version": str(TICKER.version + 1)}))
    odd = put(tmp_path / "odd.parquet", table_of(TICKER, **{"etl_ray.version": ""}))
    foreign = put(tmp_path / "foreign.parquet", table_of(TICKER, **{"etl_ray.table": "mine", "etl_ray.version": "9"}))

    ours = f"this etl-ray reads version {TICKER.version}"
    again = (
        "write the table anew from its recording (`etl-ray run INPUT OUTPUT --overwrite`), "
        "or read it with the release that wrote it"
    )
    assert (
        refusal(old, SchemaError) == f"{old} holds version {TICKER.version - 1} of the table 'ticker', {ours}: {again}"
    )
    assert refusal(odd, SchemaError) == f"{odd} holds version unknown of the table 'ticker', {ours}: {again}"
    assert refusal(new, SchemaError) == (
        f"{new} holds version {TICKER.version + 1} of the table 'ticker', {ours}: "
        "install the release that wrote it, or newer"
    )
    assert rows(foreign) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "Parquet file size is 0 bytes"),
        (b"product_id,price\nBTC-USD,1\n" * 9, "Parquet magic bytes not found in footer."),
    ],
)
def test_what_is_no_parquet_is_told_with_its_file(tmp_path: Path, content: bytes, said: str) -> None:
    put(tmp_path / "a.parquet", {"x": [1]})
    path = tmp_path / "b.parquet"
    path.write_bytes(content)

    message = refusal(tmp_path, StorageError)

    assert message.startswith(f"{path}: expected a whole Parquet file; {said}")


def test_a_truncated_file_is_told_before_anything_is_read(tmp_path: Path) -> None:
    path = Path(put(tmp_path / "a.parquet", {"x": list(range(1000))}))
    path.write_bytes(path.read_bytes()[:-100])

    assert refusal(tmp_path, StorageError).startswith(f"{path}: expected a whole Parquet file; ")


def test_types_that_polars_cannot_hold_are_told_with_the_way_out(tmp_path: Path) -> None:
    wide = pa.decimal256(50, 18)
    put(tmp_path / "a.parquet", pa.table({"x": [1], "big": pa.array([[Decimal("1.5")]], pa.list_(wide))}))

    assert refusal(tmp_path, SchemaError) == (
        "column 'big' is list<element: decimal256(50, 18)>, which Polars cannot hold: its decimals are not 128 bits "
        "wide. Read with use_polars=False, or leave it out by `columns`"
    )
    assert rows(tmp_path, columns=["x"]) == [{"x": 1}]
    assert rows(tmp_path, use_polars=False) == [{"x": 1, "big": [Decimal("1.5")]}]


@pytest.mark.parametrize("nested", [False, True])
def test_lists_of_one_size_beside_dictionaries_come_from_other_storages(nested: bool) -> None:
    pairs = pa.array([None, [None, 0.5], None, [0.5, 0.5]] * 10, pa.list_(pa.float64(), 2))
    column = pa.StructArray.from_arrays([pairs], ["pair"]) if nested else pairs
    table = pa.table({"text": pa.array(["a", None, "ccc", "dd"] * 10).dictionary_encode(), "x": column})
    put("memory://lists/part.parquet", table, row_group_size=7)
    assert rows("memory://lists", batch_rows=3) == table.to_pylist()
    storage.delete_tree("memory://lists")


@DECODERS
def test_damage_within_a_file_is_told_with_its_file(tmp_path: Path, use_polars: bool) -> None:
    path = Path(put(tmp_path / "a.parquet", {"x": list(range(10_000))}, compression="zstd", use_dictionary=False))
    data = bytearray(path.read_bytes())
    data[4:40] = b"\xff" * 36
    path.write_bytes(data)

    with pytest.raises(StorageError) as caught:
        list(ParquetReader(use_polars=use_polars).read(str(path)))

    assert str(caught.value).startswith(f"{path}: cannot be read as Parquet: ")


@DECODERS
def test_a_file_that_vanishes_after_planning_is_told(tmp_path: Path, use_polars: bool) -> None:
    path = Path(put(tmp_path / "a.parquet", {"x": [1]}))
    batches = ParquetReader(use_polars=use_polars).read(str(tmp_path))
    path.unlink()

    with pytest.raises(StorageError, match=str(path)):
        list(batches)


def test_places_without_parquet_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "segment_20251126T14_00001.ndjson").write_text("{}\n")

    assert refusal(tmp_path, ConfigError) == (
        f"no Parquet files at {tmp_path}: expected names that end in .parquet and do not begin with a dot or "
        "underscore; found 1 other files"
    )
    assert refusal(tmp_path / "x", ConfigError).startswith(f"nothing at {tmp_path}/x: ")


def test_a_storage_that_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "a.parquet", {"x": [1]})

    def refuse(url: str, *, start: int = 0) -> None:
        raise StorageError(f"cannot read {url}: Permission denied")

    monkeypatch.setattr(storage, "open_read", refuse)

    assert refusal(tmp_path, StorageError) == f"cannot read {path}: Permission denied"


def test_scan_is_lazy_and_pushes_down(tmp_path: Path) -> None:
    put(tmp_path / "a.parquet", {"x": [1, 2], "w": pa.array(["a", "b"]).dictionary_encode(), "z": [0, 0]})
    put(tmp_path / "b.parquet", {"w": pa.array(["a", None]).dictionary_encode(), "z": [0, 0], "x": [3, 4]})
    reader = ParquetReader(columns=["x", "w"], filters=[("x", ">", 1)])

    lazy = reader.scan(str(tmp_path))
    plan = lazy.filter(pl.col("w") == "a").select("x").explain()

    assert "PROJECT 2/3 COLUMNS" in plan
    assert "SELECTION" in plan
    assert "FILTER" not in plan
    expected = pl.DataFrame({"x": [2, 3, 4], "w": pl.Series(["b", "a", None], dtype=pl.Categorical)})
    assert_frame_equal(lazy.collect(), expected)


def test_scan_knows_keys_of_paths_and_urls(tmp_path: Path) -> None:
    schema = pa.schema([("x", pa.int64()), ("ts", pa.timestamp("ns", "UTC"))])
    for place in (str(tmp_path), "memory://scanned"):
        put(f"{place}/k=a/p.parquet", pa.table([[1, 2], [11, 12]], schema=schema), row_group_size=1)
        put(f"{place}/k=b/p.parquet", pa.table([[3, 4], [13, 14]], schema=schema))
    try:
        for place in (str(tmp_path), "memory://scanned"):
            lazy = ParquetReader().scan(place)
            assert dict(lazy.collect_schema()) == {
                "x": pl.Int64,
                "ts": pl.Datetime("ns", "UTC"),
                "k": pl.Categorical,
            }
            assert lazy.select("k", "x").collect(engine="streaming").rows() == [("a", 1), ("a", 2), ("b", 3), ("b", 4)]
            assert lazy.filter(pl.col("x") > 1, pl.col("k") == "a").select("x").collect().rows() == [(2,)]
            assert lazy.head(3).select("x").collect().rows() == [(1,), (2,), (3,)]
            assert lazy.head(3).filter(pl.col("x") > 1).select("x").collect().rows() == [(2,), (3,)]
            assert lazy.filter(pl.col("x") > 1).head(2).select("x").collect().rows() == [(2,), (3,)]
    finally:
        storage.delete_tree("memory://scanned")


def test_scan_takes_files_with_other_columns_if_those_asked_for_are_in_all(tmp_path: Path) -> None:
    put(tmp_path / "a.parquet", {"x": [1], "only_a": [0]})
    put(tmp_path / "b.parquet", {"only_b": [0], "x": [2]})

    assert ParquetReader(columns=["x"]).scan(str(tmp_path)).collect()["x"].to_list() == [1, 2]


def test_scan_gives_only_polars_frames(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        ParquetReader(use_polars=False).scan(str(tmp_path))
    assert str(caught.value) == "scan() gives a Polars frame; expected a ParquetReader with use_polars=True"


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([], []),
        ([0], []),
        ([100], [(0, 100)]),
        ([40, 60, 1, 99], [(0, 100), (100, 100)]),
        ([40, 61], [(0, 40), (40, 61)]),
        ([400], [(0, 400)]),
        ([10, 950, 20], [(0, 10), (10, 400), (410, 400), (810, 150), (960, 20)]),
    ],
)
def test_windows_are_whole_row_groups_but_for_huge_ones(groups: list[int], expected: list[tuple[int, int]]) -> None:
    assert list(windows([RowGroup(rows, 0) for rows in groups], 100)) == expected


@DECODERS
def test_long_rows_come_in_smaller_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use_polars: bool) -> None:
    path = put(tmp_path / "a.parquet", {"x": [f"{value:01000}" for value in range(100)]}, use_dictionary=False)
    monkeypatch.setattr("etl_ray.readers.parquet_decode._WINDOW_BYTES", 10_500)

    batches = list(ParquetReader(use_polars=use_polars).read(path))

    assert {batch.num_rows for batch in batches} == {10}
    assert pa.Table.from_batches(batches)["x"].to_pylist() == [f"{value:01000}" for value in range(100)]


def test_pyarrow_reads_without_polars(tmp_path: Path) -> None:
    path = put(tmp_path / "a.parquet", {"x": [1]})
    program = (
        "import sys; from etl_ray.readers.parquet import ParquetReader; "
        f"list(ParquetReader(use_polars=False).read({path!r})); assert 'polars' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", program], check=True)
