"""Which files are merged: those of closed dates that follow each other and fit together."""

from __future__ import annotations

import json

import pytest

from etl_ray.orchestrators.compact_plan import Part, joined, strands
from etl_ray.orchestrators.final_files import file_number
from etl_ray.orchestrators.manifest import Manifest
from etl_ray.orchestrators.receipts import BuiltFile, Counts


def part(number: int, **sizes: int) -> Part:
    files = tuple(
        BuiltFile(table, f"{table}/date=2025-11-26/part-{number:05}-000000000000.parquet", 1, size, "", None, None)
        for table, size in sizes.items()
    )
    return Part(number, files, files)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(4, 1), (5, 1), (1, 1)], [[0, 1, 2]]),
        ([(4, 1), (7, 1), (3, 1), (1, 1)], [[0], [1, 2], [3]]),
        ([(1, 6), (1, 5), (1, 4)], [[0], [1, 2]]),
        ([(30, 0), (1, 0), (2, 0)], [[0], [1, 2]]),
        ([(1, 1)], [[0]]),
    ],
)
def test_parts_are_joined_as_long_as_each_file_stays_below_the_target(
    sizes: list[tuple[int, int]], expected: list[list[int]]
) -> None:
    strand = [part(number, book=book, checkpoints=other) for number, (book, other) in enumerate(sizes)]
    found = joined(strand, 10)
    assert [[file_number(file.path) for file in item.files if file.table == "book"] for item in found] == expected
    assert [item.is_joined for item in found] == [len(numbers) > 1 for numbers in expected]
    assert [item.number for item in found] == [numbers[0] for numbers in expected]


def manifest_with(paths: list[str], **semantic: object) -> Manifest:
    files = tuple(BuiltFile(path.split("/")[0], path, 1, 1, "", None, None) for path in paths)
    channels = {"market_trades": {"processors": [], "partition_cols": ["product_id", "date"]}}
    text = json.dumps({"channels": channels | semantic})
    return Manifest(1, "", "", text, None, None, (), (), files, Counts(), {}, (), ())


def at(directory: str, *numbers: int) -> list[str]:
    return [f"{directory}/part-{number:05}-000000000000.parquet" for number in numbers]


def test_strands_are_of_closed_dates_and_of_tables_whose_files_follow_each_other() -> None:
    paths = [
        *at("level2/product_id=A/date=2025-11-25", 2, 0, 1),
        *at("level2/product_id=A/date=2025-11-26", 3),
        *at("level2/product_id=B/date=2025-11-27", 0, 1),
        *at("rejects/date=unknown", 0, 1),
        *at("instruments", 0, 1),
        *at("candles/product_id=A/date=2025-11-25", 0, 1),
        *at("ticker/date=2025-11-26", 7, 12),
    ]
    found = [[part.sources[0].path for part in strand] for strand in strands(manifest_with(paths))]
    assert found == [sorted(paths[:3]), paths[-2:]]


def test_trades_of_several_products_or_of_processors_are_left_alone() -> None:
    paths = [*at("market_trades/date=2025-11-25", 0, 1), *at("level2/date=2025-11-26", 0)]
    cases = [
        {"processors": [], "partition_cols": ["date"]},
        {"processors": [{"path": "a:B", "options": {}}], "partition_cols": ["product_id", "date"]},
    ]
    assert [strands(manifest_with(paths, market_trades=case)) for case in cases] == [[], []]
    assert len(strands(manifest_with(paths))) == 1


def test_shards_of_a_book_are_apart_where_their_dates_are() -> None:
    book, checkpoints = "book/product_id=A/date=2025-11-", "book_checkpoints/product_id=A/date=2025-11-"
    paths = [
        *at(f"{book}24", 0, 1),
        *at(f"{checkpoints}24", 1, 2),
        *at(f"{book}24", 2),
        *at(f"{book}25", 2, 3, 4, 5),
        *at(f"{checkpoints}25", 4),
        *at(f"{book}26", 5, 6, 7),
    ]
    found = [[part.number for part in strand] for strand in strands(manifest_with(paths))]
    assert found == [[0, 1], [3, 4]]
