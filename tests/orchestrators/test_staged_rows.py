"""Files of staged rows: what was written is read, and what is not as it was written is told."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from etl_ray.errors import StorageError
from etl_ray.orchestrators.staged_rows import GroupReader, GroupWriter
from etl_ray.tables.schema import SYMBOL, TIME

FIRST = pa.record_batch(
    {"n": pa.array([1, None, 3]), "word": pa.array(["a", "b", "a"]).dictionary_encode().cast(SYMBOL)}
)
SECOND = pa.record_batch({"n": pa.array([4]), "word": pa.array(["c"]).dictionary_encode().cast(SYMBOL)})
OTHER = pa.record_batch({"at": pa.array([5], TIME), "raw": pa.array([b"\x00"])})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "unit.rows"
    with found.open("wb") as file:
        writer = GroupWriter(file)
        for section, rows in (("numbers", FIRST), ("others", OTHER), ("numbers", SECOND)):
            writer.write(section, rows)
        writer.finish()
    assert writer.bytes == found.stat().st_size
    return found


def read_all(path: Path) -> dict[str, list[pa.RecordBatch]]:
    with GroupReader.open(str(path.parent), path.name) as file:
        return {name: [file.read(name, group) for group in range(file.count(name))] for name in file.sections}


def test_groups_come_back_by_section_in_order(path: Path) -> None:
    assert read_all(path) == {"numbers": [FIRST, SECOND], "others": [OTHER]}


def test_a_file_without_groups(tmp_path: Path) -> None:
    path = tmp_path / "unit.rows"
    with path.open("wb") as file:
        GroupWriter(file).finish()
    assert read_all(path) == {}
    with GroupReader.open(str(tmp_path), path.name) as file:
        assert file.count("numbers") == 0


def test_an_index_larger_than_what_is_read_first(tmp_path: Path) -> None:
    path = tmp_path / "unit.rows"
    with path.open("wb") as file:
        writer = GroupWriter(file)
        for _ in range(2_000):
            writer.write("numbers", SECOND)
        writer.finish()
    assert read_all(path) == {"numbers": [SECOND] * 2_000}


def test_no_byte_can_change_or_be_missing(path: Path) -> None:
    whole = path.read_bytes()
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 0x10
        for data in (bytes(changed), whole[:position]):
            path.write_bytes(data)
            with pytest.raises(StorageError, match=r"^the staged piece .*unit\.rows cannot be read: .* start again$"):
                read_all(path)
    path.write_bytes(whole)
    assert len(read_all(path)) == 2
