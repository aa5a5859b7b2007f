"""Finding segments and cutting them into units."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_ray import storage
from etl_ray.errors import ConfigError
from etl_ray.readers.segments import Segment, Unit, find_segments, plan_units

from .recordings import gzipped, segment_of, zstandardized


def fill(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"{}\n")


def segment(identity: str, size: int = 1) -> Segment:
    return Segment(identity, f"/in/{identity}", size, "")


def test_segments_are_found_below_a_directory_in_order_of_identity(tmp_path: Path) -> None:
    fill(tmp_path, "z/a.ndjson.zst", "y/c.ndjson", "b.ndjson.gz", "notes.txt", ".d.ndjson", ".old/e.ndjson", "f.json")

    found = find_segments(str(tmp_path))

    assert found == tuple(
        Segment(identity, str(path), 3, str(path.stat().st_mtime_ns))
        for identity, path in [
            ("a.ndjson", tmp_path / "z/a.ndjson.zst"),
            ("b.ndjson", tmp_path / "b.ndjson.gz"),
            ("c.ndjson", tmp_path / "y/c.ndjson"),
        ]
    )


def test_a_file_or_glob_names_segments_of_any_suffix(tmp_path: Path) -> None:
    fill(tmp_path, "a.jsonl", "b.jsonl", "day1/c.ndjson", "day1/readme", "day2/d.ndjson.gz")

    def identities(pattern: str) -> list[str]:
        return [found.identity for found in find_segments(str(tmp_path / pattern))]

    assert identities("a.jsonl") == ["a.jsonl"]
    assert identities("*.jsonl") == ["a.jsonl", "b.jsonl"]
    assert identities("day*") == ["c.ndjson", "d.ndjson"]
    assert identities("**/*.ndjson*") == ["c.ndjson", "d.ndjson"]
    assert identities("day1/*") == ["c.ndjson", "readme"]


def test_segments_are_found_by_url() -> None:
    storage.write_bytes("memory://recording/b.ndjson", b"{}\n")
    storage.write_bytes("memory://recording/day/a.ndjson.gz", b"{}\n")

    found = [(segment.identity, segment.url, segment.size) for segment in find_segments("memory://recording")]
    storage.delete_tree("memory://recording")

    assert found == [
        ("a.ndjson", "memory://recording/day/a.ndjson.gz", 3),
        ("b.ndjson", "memory://recording/b.ndjson", 3),
    ]


@pytest.mark.parametrize("name", ["missing", "*.ndjson", "missing/*.ndjson"])
def test_an_input_that_leads_nowhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_segments(str(tmp_path / name))

    assert str(caught.value) == (
        f"nothing at {tmp_path / name}: expected a directory, a file, or a glob that matches at least one"
    )


def test_a_directory_without_segments_is_refused_with_what_is_there(tmp_path: Path) -> None:
    fill(tmp_path, "a.json", "b.parquet", "c/d.csv")

    with pytest.raises(ConfigError) as caught:
        find_segments(str(tmp_path))

    assert str(caught.value) == (
        f"no segments in {tmp_path}: expected files that end in .ndjson, .ndjson.gz, .ndjson.zst, found 3 other files"
    )


def test_two_files_of_one_identity_are_refused_with_both(tmp_path: Path) -> None:
    fill(tmp_path, "x/a.ndjson.gz", "a.ndjson")

    with pytest.raises(ConfigError) as caught:
        find_segments(str(tmp_path))

    assert str(caught.value) == (
        f"two files of one identity 'a.ndjson': {tmp_path}/a.ndjson and {tmp_path}/x/a.ndjson.gz; "
        "expected each segment once"
    )


def test_a_name_that_no_table_can_hold_is_refused(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"a\xff.ndjson")).write_bytes(b"{}\n")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")

    with pytest.raises(ConfigError, match=r"a\\udcff\.ndjson' is not UTF-8"):
        find_segments(str(tmp_path))


@pytest.mark.parametrize(
    ("identity", "date"),
    [
        ("segment_20251126T14_00001.ndjson", "2025-11-26"),
        ("20240229.ndjson", "2024-02-29"),
        ("20251126140000.ndjson", "2025-11-26"),
        ("segment_20250229.ndjson", "unknown"),
        ("00000001_20251126.ndjson", "2025-11-26"),
        ("segment_2025112.ndjson", "unknown"),
        ("segment_\u0662\u0660\u0662\u0665\u0661\u0661\u0662\u0666.ndjson", "unknown"),
        ("segment.ndjson", "unknown"),
    ],
)
def test_the_date_is_the_first_eight_digits_that_are_one(identity: str, date: str) -> None:
    assert segment(identity).date == date


def test_plain_segments_are_cut_at_multiples_and_packed_ones_stay_whole(tmp_path: Path) -> None:
    lines = b"0123456789\n" * 30
    small = segment_of(tmp_path / "a.ndjson", lines[:100])
    large = segment_of(tmp_path / "b.ndjson", lines[:250])
    packed = segment_of(tmp_path / "c.ndjson.gz", b"x" * 250)
    misnamed = segment_of(tmp_path / "d.ndjson", gzipped(os.urandom(250)))
    frames = segment_of(tmp_path / "e.ndjson", zstandardized(os.urandom(250)))
    gone = segment("f.ndjson", 250)

    units = plan_units([small, large, packed, misnamed, frames, gone], 100)

    assert units == (
        Unit(small),
        Unit(large, 0, 100),
        Unit(large, 100, 200),
        Unit(large, 200, 250),
        Unit(packed),
        Unit(misnamed),
        Unit(frames),
        Unit(gone),
    )


def test_units_of_no_bytes_are_refused() -> None:
    with pytest.raises(ConfigError, match="expected units of at least 1 byte, found 0"):
        plan_units([segment("a.ndjson")], 0)


def test_names_of_units_are_stable() -> None:
    assert Unit(segment("segment_20251126T14_00001.ndjson")).name == "segment_20251126T14_00001.ndjson-3ca974685c4d"
    assert Unit(segment("a b/..ndjson"), 100, 200).name == (
        "a%20b%2F..ndjson-618b9e37bbff-000000000000100-000000000000200"
    )


@given(st.sets(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300), min_size=2, max_size=5))
def test_names_of_units_fit_any_file_system_and_differ(identities: set[str]) -> None:
    names = [Unit(segment(identity), *place).name for identity in identities for place in [(0, None), (0, 5), (5, 9)]]

    assert all(name.isascii() and "/" not in name and not name.startswith(".") and len(name) < 160 for name in names)
    assert len({name.lower() for name in names}) == 3 * len(identities)
