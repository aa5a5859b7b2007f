"""The merge of files: what it writes, what it refuses, and that its proof finds every kind of mistake."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_ray.errors import NotFoundError, StorageError
from etl_ray.orchestrators import compact_merge
from etl_ray.orchestrators.compact_merge import MergeOptions, merge
from etl_ray.orchestrators.compact_plan import BY_ID, Merge
from etl_ray.orchestrators.final_files import file_number, write_final
from etl_ray.orchestrators.receipts import Built, BuiltFile
from etl_ray.tables.schema import SYMBOL, TIME

DIRECTORY = "market_trades/product_id=A/date=2025-11-26"
TRADES = pa.schema([("ts_event", TIME), ("trade_id", pa.int64()), ("price", pa.float64()), ("side", SYMBOL)])

Trade = tuple[int, int]
"""Time and id."""


def trades(found: Iterable[Trade]) -> pa.Table:
    rows = sorted(found)
    return pa.table(
        {
            "ts_event": [time for time, _ in rows],
            "trade_id": [number for _, number in rows],
            "price": [number / 7 for _, number in rows],
            "side": [("buy", "sell")[number % 2] for _, number in rows],
        }
    ).cast(TRADES)


def written(root: Path, tables: Sequence[pa.Table], *, group: int, table: str = BY_ID) -> tuple[BuiltFile, ...]:
    return tuple(
        write_final(
            table,
            DIRECTORY.replace(BY_ID, table),
            number,
            [rows.slice(begin, group) for begin in range(0, len(rows), group)],
            output=str(root),
            schema=rows.schema,
        )
        for number, rows in enumerate(tables)
    )


def merged(root: Path, files: tuple[BuiltFile, ...], *, rows_per_group: int = 4) -> Built:
    (table,) = {file.table for file in files}
    item = Merge(table, DIRECTORY.replace(BY_ID, table), 3, files, table == BY_ID, rows_per_group)
    return merge(item, MergeOptions(str(root), str(root / "new")))


def rows_of(root: Path, built: Built) -> list[Trade]:
    (file,) = built.files
    rows = pq.read_table(root / "new" / file.path, partitioning=None)
    return list(zip(rows["ts_event"].cast(pa.int64()).to_pylist(), rows["trade_id"].to_pylist(), strict=True))


@settings(max_examples=60, deadline=None)
@given(
    times=st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=9), min_size=1, max_size=5),
    group=st.integers(1, 4),
    rows_per_group=st.integers(1, 6),
)
def test_trades_are_sorted_by_time_and_id(
    tmp_path_factory: pytest.TempPathFactory, times: list[list[int]], group: int, rows_per_group: int
) -> None:
    root = tmp_path_factory.mktemp("trades")
    found = [[(time, 100 * number + k) for k, time in enumerate(some)] for number, some in enumerate(times)]
    files = written(root, [trades(some) for some in found], group=group)

    built = merged(root, files, rows_per_group=rows_per_group)

    every = sorted(trade for some in found for trade in some)
    assert rows_of(root, built) == every
    (file,) = built.files
    assert (file.rows, file.ts_min, file.ts_max) == (len(every), every[0][0], every[-1][0])
    assert (file_number(file.path), file.table) == (3, BY_ID)


def test_merged_rows_have_dictionaries_of_their_own_words(tmp_path: Path) -> None:
    rows = [pa.table({"segment": pa.array(words).dictionary_encode().cast(SYMBOL)}) for words in ("ab", "bc", "cd")]
    files = written(tmp_path, rows, group=2, table="errors")

    (file,) = merged(tmp_path, files, rows_per_group=3).files

    with pq.ParquetFile(tmp_path / "new" / file.path) as found:
        groups = [found.read_row_group(k).column("segment").chunk(0) for k in range(2)]
        bounds = [found.metadata.row_group(k).column(0).statistics for k in range(2)]
    assert [group.to_pylist() for group in groups] == [["a", "b", "b"], ["c", "c", "d"]]
    assert [group.dictionary.to_pylist() for group in groups] == [["a", "b"], ["c", "d"]]
    assert [(item.min, item.max) for item in bounds] == [("a", "b"), ("c", "d")]


def test_a_file_that_is_not_what_was_committed_is_refused(tmp_path: Path) -> None:
    files = written(tmp_path, [trades([(1, 1)]), trades([(2, 2)])], group=9)
    path = tmp_path / files[1].path
    path.write_bytes(path.read_bytes()[:-1] + b"x")

    with pytest.raises(StorageError, match=r"part-00001-.*: expected the bytes that were committed, found others"):
        merged(tmp_path, files)
    path.unlink()
    with pytest.raises(NotFoundError):
        merged(tmp_path, files)


@pytest.mark.parametrize(
    "others",
    [
        pa.table({"x": pa.array([1], pa.int32())}),
        pa.table({"y": pa.array([1], pa.int64())}),
        pa.table({"x": pa.array([1], pa.int64())}).replace_schema_metadata({"etl_ray.version": "2"}),
    ],
)
def test_files_of_other_columns_are_left_alone(tmp_path: Path, others: pa.Table) -> None:
    files = written(tmp_path, [pa.table({"x": pa.array([1], pa.int64())}), others], group=9, table="ticker")
    assert merged(tmp_path, files) == Built(())


def test_trades_whose_ids_overlap_are_left_alone(tmp_path: Path) -> None:
    files = written(tmp_path, [trades([(1, 1), (2, 5)]), trades([(3, 5)])], group=9)
    assert merged(tmp_path, files) == Built(())


FLOATS = pa.table(
    {
        "x": pa.array([math.nan, -0.0, None, 1.5], pa.float64()),
        "y": pa.array([[math.nan], None, [], [2.0, 3.0]], pa.list_(pa.float64())),
        "z": pa.array([b"\xff", None, b"", b"a"], pa.binary()),
    }
)


def test_values_that_are_not_equal_to_themselves_are_equal_to_their_copies(tmp_path: Path) -> None:
    files = written(tmp_path, [FLOATS, FLOATS.slice(1, 2), FLOATS], group=2, table="ticker")
    (file,) = merged(tmp_path, files, rows_per_group=3).files
    found = pq.read_table(tmp_path / "new" / file.path, partitioning=None)
    assert repr(found.to_pylist()) == repr(pa.concat_tables([FLOATS, FLOATS.slice(1, 2), FLOATS]).to_pylist())


def changed(rows: pa.Table, column: str, row: int, value: object) -> pa.Table:
    values = rows.column(column).to_pylist()
    values[row] = value
    field = rows.schema.field(column)
    return rows.set_column(rows.schema.get_field_index(column), field, pa.array(values, field.type))


@pytest.mark.parametrize(
    ("column", "row", "value"),
    [("x", 1, 0.0), ("x", 0, None), ("x", 3, 1.5000000000000002), ("y", 3, [2.0, 4.0]), ("y", 1, []), ("z", 2, None)],
)
def test_the_proof_finds_every_other_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: str, row: int, value: object
) -> None:
    files = written(tmp_path, [FLOATS, FLOATS], group=2, table="ticker")

    def spoiled(_tables: Iterator[pa.Table], _rows: int) -> Iterator[pa.Table]:
        yield FLOATS
        yield changed(FLOATS, column, row, value)

    monkeypatch.setattr(compact_merge, "grouped", spoiled)
    with pytest.raises(AssertionError, match=rf"part-00003-.*: {column} differs from what was merged"):
        merged(tmp_path, files)


FIRST, SECOND = trades([(1, 1), (2, 2), (4, 3)]), trades([(3, 4), (5, 5)])


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([trades([(1, 1), (2, 2), (3, 4), (4, 3)])], "has 4 rows, of which 4 were compared; expected 5"),
        ([FIRST, SECOND], "is not sorted by ts_event and trade_id"),
        ([trades([(1, 1), (1, 1), (2, 2), (4, 3), (3, 4), (5, 5)])], "is not sorted by ts_event and trade_id"),
        ([trades([(1, 1), (2, 2), (3, 4), (4, 3), (5, 6)])], "trade_id differs from what was merged"),
        ([trades([(1, 1), (2, 2), (3, 4), (4, 3), (6, 5)])], "ts_event differs from what was merged"),
        ([trades([(1, 1), (2, 2), (3, 4), (4, 3), (5, 5), (6, 6)])], "differs from what was merged"),
    ],
)
def test_the_proof_finds_trades_that_are_lost_doubled_moved_or_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[pa.Table], problem: str
) -> None:
    files = written(tmp_path, [FIRST, SECOND], group=2)
    monkeypatch.setattr(compact_merge, "grouped", lambda _tables, _rows: iter(rows))
    with pytest.raises(AssertionError, match=problem):
        merged(tmp_path, files)


def test_few_row_groups_are_held_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of trades whose times follow their ids, as those of the venue do."""
    files = written(tmp_path, [trades((k, k) for k in range(n, n + 40)) for n in range(0, 400, 40)], group=4)
    held: list[int] = []
    take = compact_merge._Waiting.take

    def counted(self: compact_merge._Waiting, before: int | None) -> pa.Table:
        held.append(len(self.rows))
        return take(self, before)

    monkeypatch.setattr(compact_merge._Waiting, "take", counted)
    assert rows_of(tmp_path, merged(tmp_path, files)) == [(k, k) for k in range(400)]
    assert max(held) <= 8


@pytest.mark.parametrize("table", [BY_ID, "ticker"])
def test_few_files_are_open_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    files = written(tmp_path, [trades([(n, n), (n + 1, n + 1)]) for n in range(0, 80, 2)], group=1, table=table)
    opened_now: list[str] = []
    most = 0
    open_file = compact_merge._open

    def counted(url: str, opened: ExitStack) -> pq.ParquetFile:
        nonlocal most
        opened_now.append(url)
        opened.callback(lambda: opened_now.remove(url))
        most = max(most, len(opened_now))
        return open_file(url, opened)

    monkeypatch.setattr(compact_merge, "_open", counted)
    assert len(rows_of(tmp_path, merged(tmp_path, files))) == 80
    assert (most <= 4, opened_now) == (True, [])
