"""No schema changes by accident."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from etl_ray.tables import LEVEL2, TABLES, Column, Table
from tests.tables.freeze import CHANGELOG, change_name, complaint, describe, read_frozen


@pytest.mark.parametrize("name", TABLES)
def test_table_is_as_published(name: str) -> None:
    found = complaint(TABLES[name], read_frozen().get(name))
    if found is not None:
        pytest.fail(found)


def test_no_table_has_gone() -> None:
    assert list(read_frozen()) == list(TABLES)


def test_changelog_names_every_raised_version() -> None:
    changes = CHANGELOG.read_text(encoding="utf-8")
    raised = [change_name(name, table.version) for name, table in TABLES.items() if table.version > 1]
    assert [name for name in raised if name not in changes] == []


def changed(**more: object) -> Table:
    """Return `level2` with a changed column."""
    price = replace(LEVEL2.column("price"), **more)  # type: ignore[arg-type]
    return replace(LEVEL2, columns=tuple(price if one.name == "price" else one for one in LEVEL2.columns))


CHANGES = {
    "name": changed(name="level"),
    "type": changed(type=pa.float32()),
    "unit": changed(unit="base"),
    "nullable": changed(nullable=False),
    "meaning": changed(meaning="something else"),
    "fewer": replace(LEVEL2, columns=LEVEL2.columns[:-1]),
    "more": replace(LEVEL2, columns=(*LEVEL2.columns, Column("x", pa.int8(), "y"))),
    "order of columns": replace(LEVEL2, columns=LEVEL2.columns[::-1]),
    "partitions": replace(LEVEL2, partition_cols=("date",)),
    "order": replace(LEVEL2, order=("ts_event",)),
}


@pytest.mark.parametrize("what", CHANGES)
def test_change_without_raised_version_is_refused(what: str) -> None:
    frozen = describe(LEVEL2)
    found = complaint(CHANGES[what], frozen)
    assert found is not None
    assert (
        "raise `version` to 2 in etl_ray/tables/level2.py, add a line with `level2` (version 2) to CHANGELOG" in found
    )
    raised = complaint(replace(CHANGES[what], version=2), frozen)
    assert raised is not None
    assert raised.startswith("add a line with `level2` (version 2) to CHANGELOG.md")


def test_lowered_version_and_new_table() -> None:
    assert "raise `version` to 4" in str(complaint(LEVEL2, describe(LEVEL2) | {"version": 3}))
    assert complaint(LEVEL2, None) == (
        "table 'level2' is new: add a line to CHANGELOG.md, then run: python -m tests.tables.freeze"
    )


def test_description_is_whole() -> None:
    described = describe(LEVEL2)
    assert described["metadata"] == {"etl_ray.table": "level2", "etl_ray.version": "1"}
    columns = described["columns"]
    assert isinstance(columns, list)
    assert columns[7] == {
        "name": "price",
        "types": ["double", "decimal128(38, 18)"],
        "nullable": True,
        "meaning": "price of the level; null in the one row of an empty snapshot",
        "unit": "quote",
    }
