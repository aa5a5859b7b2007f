"""NDJSONReader: lines as Arrow batches."""

from __future__ import annotations

import warnings
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_ray.errors import ConfigError, SegmentError
from etl_ray.readers.ndjson import LINES, NDJSONReader

from .recordings import MARK, gzipped, lines_of

MB = 1 << 20


def rows(batches: list[pa.RecordBatch]) -> list[tuple[str, int, int, bytes | None]]:
    return [tuple(row.values()) for row in pa.Table.from_batches(batches, LINES).to_pylist()]


def test_lines_come_with_their_segment_number_and_place(tmp_path: Path) -> None:
    (tmp_path / "b.ndjson").write_bytes(MARK + b'{"x": 1}\r\n\n\xff\r\r\n  ')
    (tmp_path / "a.ndjson.gz").write_bytes(gzipped(b"first\n", b"second\n"))

    batches = list(NDJSONReader().read(str(tmp_path)))

    assert [batch.schema for batch in batches] == [LINES] * len(batches)
    assert rows(batches) == [
        ("a.ndjson", 1, 0, b"first"),
        ("a.ndjson", 2, 6, b"second"),
        ("b.ndjson", 1, 3, b'{"x": 1}\r'),
        ("b.ndjson", 2, 13, b""),
        ("b.ndjson", 3, 14, b"\xff\r\r"),
        ("b.ndjson", 4, 18, b"  "),
    ]
    for batch in batches:
        batch.validate(full=True)


@given(data=st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"ab", b"\x00"]), max_size=30).map(b"".join))
@settings(max_examples=200, deadline=None)
def test_any_lines_are_split_as_said(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.ndjson"
    path.write_bytes(data)

    found = rows(list(NDJSONReader(block_mb=1).read(str(path))))

    assert found == [("any.ndjson", number, line.offset, line.text) for number, line in enumerate(lines_of(data), 1)]


def test_batches_outlive_the_buffer_and_numbers_go_on(tmp_path: Path) -> None:
    data = b"".join(b"%d " % number + b"x" * 5000 + b"\n" for number in range(500))
    (tmp_path / "a.ndjson").write_bytes(data)

    batches = list(NDJSONReader(block_mb=1).read(str(tmp_path)))

    assert [batch.num_rows for batch in batches] == [209, 209, 82]
    assert rows(batches) == [
        ("a.ndjson", number, line.offset, line.text) for number, line in enumerate(lines_of(data), 1)
    ]


def test_a_line_over_the_limit_is_null_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(b"a\n" + b"x" * (MB + 1) + b"\nb\n")

    with pytest.warns(UserWarning) as caught:
        batches = list(NDJSONReader(block_mb=1, max_line_mb=1).read(str(path)))

    assert rows(batches) == [("a.ndjson", 1, 0, b"a"), ("a.ndjson", 2, 2, None), ("a.ndjson", 3, MB + 4, b"b")]
    assert [str(warning.message) for warning in caught] == [
        f"{path}: line 2 has 1,048,577 bytes, more than the limit of 1,048,576; its raw text is null"
    ]


def damaged(folder: Path) -> Path:
    path = folder / "a.ndjson.gz"
    path.write_bytes(gzipped(b"one\n", b"two\n")[:-12])
    (folder / "b.ndjson").write_bytes(b"three\n")
    return path


def test_damage_is_a_warning_and_the_next_segment_is_read(tmp_path: Path) -> None:
    path = damaged(tmp_path)

    with pytest.warns(UserWarning) as caught:
        found = rows(list(NDJSONReader().read(str(tmp_path))))

    assert found[0] == ("a.ndjson", 1, 0, b"one")
    assert found[-1] == ("b.ndjson", 1, 0, b"three")
    assert len(caught) == 1
    message = str(caught[0].message)
    assert message.startswith(f"{path}: damaged after ")
    assert message.endswith("the gzip data is cut: it ends in the middle of a stream; its lines up to there were read")


def test_damage_is_an_error_where_it_must_be(tmp_path: Path) -> None:
    path = damaged(tmp_path)
    batches = NDJSONReader(strict=True).read(str(tmp_path))

    assert rows([next(batches)])[0] == ("a.ndjson", 1, 0, b"one")
    with warnings.catch_warnings(), pytest.raises(SegmentError) as caught:
        warnings.simplefilter("error")
        list(batches)
    assert caught.value.path == str(path)


def test_sizes_below_one_are_refused() -> None:
    with pytest.raises(ConfigError, match="expected block_mb and max_line_mb of at least 1, found 32 and 0"):
        NDJSONReader(max_line_mb=0)
