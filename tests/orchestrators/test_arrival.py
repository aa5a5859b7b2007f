"""Rows of stored tables in arrival order."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl_ray.orchestrators import arrival


def test_rows_of_row_groups_that_overlap_come_in_arrival_order(tmp_path: Path) -> None:
    # What is known of a row group are its least and its greatest segment, and line: the second seems to begin first.
    one = [("a", 2), ("a", 3), ("a", 3), ("a", 3), ("a", 9), ("b", 1), ("b", 4), ("b", 4), ("b", 6)]
    two = [("a", 1), ("b", 1), ("b", 5), ("c", 3)]
    for name, places, size in (("one", one, 3), ("two", two, 2)):
        count = len(places)
        rows = pa.table(
            {
                "product_id": pa.array(["X"] * count),
                "segment": pa.array([segment for segment, _ in places]).dictionary_encode(),
                "line": pa.array([line for _, line in places]),
                "ts_server": pa.array([0] * count),
                "row": pa.array(range(count)),
            }
        )
        pq.write_table(rows, tmp_path / name, row_group_size=size)
    groups = arrival.placed_groups(str(tmp_path), [["one"], ["two"]])
    assert [(group.path, group.index, *group.first, *group.last) for group in groups] == [
        ("two", 0, "a", 1, "b", 1),
        ("one", 0, "a", 2, "a", 3),
        ("one", 1, "a", 2, "b", 6),
        ("two", 1, "b", 3, "c", 5),
        ("one", 2, "b", 4, "b", 6),
    ]
    columns = ["segment", "line", "row"]
    tables = [
        [tuple(row.values()) for row in rows.to_pylist()]
        for rows in arrival.rows_in_order(str(tmp_path), groups, columns, product="X")
    ]
    expected = sorted(
        [(*place, row) for row, place in enumerate(one)] + [(*place, row) for row, place in enumerate(two)]
    )
    assert [row for rows in tables for row in rows] == expected


@pytest.mark.parametrize("rows_at_once", [1, 2, 3, 100])
@pytest.mark.parametrize("pieces", [[9], [1] * 9, [4, 0, 5], [2, 6, 1]], ids=str)
def test_messages_stay_whole_however_rows_come(pieces: list[int], rows_at_once: int) -> None:
    places = [("a", 1), ("a", 1), ("a", 2), ("b", 2), ("b", 2), ("b", 2), ("b", 3), ("b", 5), ("b", 5)]
    rows = pa.table(
        {
            "segment": pa.array([segment for segment, _ in places]).dictionary_encode(),
            "line": pa.array([line for _, line in places]),
        }
    )
    begins = [sum(pieces[:k]) for k in range(len(pieces))]
    tables = (rows.slice(begin, count) for begin, count in zip(begins, pieces, strict=True))
    found = [[tuple(row.values()) for row in part.to_pylist()] for part in arrival.whole_messages(tables, rows_at_once)]
    assert [place for part in found for place in part] == places
    for part, following in pairwise(found):
        assert part[-1] != following[0]
    assert all(len(part) <= rows_at_once or len(set(part)) == 1 for part in found)
