"""A segment that is cut after any of its bytes: its whole lines are kept, and what is left of the last one is told."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from backports import zstd

from etl_ray.errors import SegmentError
from etl_ray.readers.blocks import Block, read_blocks
from etl_ray.readers.segments import Unit, find_segments
from etl_ray.scan import LineParser, Parsed
from tests.scan.outcome import COINBASE, Outcome, difference, outcome, parse_once
from tests.scan.test_fast_path import CHANNELS
from tests.scan.wire import Style, write

STYLES = (Style(), Style(envelope=True))
LINES = [write(content, STYLES[number % 2]) for number, content in enumerate(CHANNELS.values())]
ENDS = [sum(len(line) + 1 for line in LINES[:count]) for count in range(len(LINES) + 1)]
DATA = b"".join(line + b"\n" for line in LINES)
# Every byte, and in the fast tests some of them: one of nine, and those around line ends.
STEPS = pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.slow)])


def cuts(first: int, size: int, step: int) -> list[int]:
    """Return where to cut."""
    around = {end + beside for end in ENDS for beside in (-1, 0, 1)}
    return [end for end in range(first, size + 1) if (end - first) % step == 0 or end in around or end == size]


def read(path: Path, parser: LineParser, block_bytes: int) -> tuple[list[Parsed], int, int | None]:
    """Return what is found in a segment, in how many of its bytes, and where reading ended early, if it did."""
    (segment,) = find_segments(str(path))
    parser.begin_unit()
    found: list[Parsed] = []
    end = 0
    try:
        for block in read_blocks(Unit(segment), block_bytes=block_bytes, max_line_bytes=1 << 20):
            assert isinstance(block, Block)
            found += parser.parse(block.data, block.size, block.offset)
            end = block.offset + block.size
    except SegmentError as error:
        return found, end, error.offset
    return found, end, None


@cache
def whole(count: int) -> Outcome:
    """Return the outcome of the first lines."""
    return parse_once(DATA[: ENDS[count]])


def assert_kept(found: list[Parsed], end: int) -> None:
    """Hold what was found against the first `end` bytes."""
    # A line that lacks nothing but its line end is a whole one.
    count = sum(line_end - 1 <= end for line_end in ENDS[1:])
    left = DATA[ENDS[count] : end]
    tables = {name: table for name, table in outcome(found).items() if len(table)}
    rejects, counts = tables.pop("rejects", None), tables.pop("counts")
    assert difference(tables, {name: table for name, table in whole(count).items() if name != "counts"}) is None
    assert counts.column(0).to_pylist() == [count + bool(left), 0, 0]
    if not left:
        assert rejects is None
        return
    assert rejects is not None
    (reject,) = rejects.to_pylist()
    assert reject["reason"].startswith("not JSON: ")
    assert {name: reject[name] for name in ("line", "byte_offset", "length", "sha256")} == {
        "line": count + 1,
        "byte_offset": ENDS[count],
        "length": len(left),
        "sha256": hashlib.sha256(left).hexdigest(),
    }
    assert reject["raw"] in (left, None)


@STEPS
@pytest.mark.parametrize("block_bytes", [300, 1 << 16])
def test_plain(block_bytes: int, step: int, tmp_path: Path) -> None:
    path = tmp_path / "segment_20251126T14_00001.ndjson"
    parser = LineParser(COINBASE, "float64", block_bytes=block_bytes)
    for end in cuts(1, len(DATA), step):
        path.write_bytes(DATA[:end])
        found, read_bytes, damaged = read(path, parser, block_bytes)
        assert (read_bytes, damaged) == (end, None)
        assert_kept(found, end)


@STEPS
@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".zst", zstd.compress)], ids=["gz", "zst"])
def test_packed(suffix: str, pack: Callable[[bytes], bytes], step: int, tmp_path: Path) -> None:
    path = tmp_path / f"segment_20251126T14_00001.ndjson{suffix}"
    # In pieces, as a collector writes that flushes after each line.
    packed = b"".join(pack(line + b"\n") for line in LINES)
    parser = LineParser(COINBASE, "float64", block_bytes=1 << 16)
    ends = []
    for end in cuts(4, len(packed), step):
        path.write_bytes(packed[:end])
        found, read_bytes, damaged = read(path, parser, 1 << 16)
        assert damaged in (None, read_bytes)
        assert_kept(found, read_bytes)
        ends.append(read_bytes)
    assert ends == sorted(ends)
    assert ends[-1] == len(DATA)
    assert step > 1 or set(ENDS) <= {*ends}
