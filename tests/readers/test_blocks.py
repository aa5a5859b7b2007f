"""Lines, blocks and byte ranges, whatever the bytes, the codec and the sizes."""

from __future__ import annotations

import hashlib
import io
import threading
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from etl_ray import storage
from etl_ray.errors import SegmentError
from etl_ray.readers import blocks
from etl_ray.readers.blocks import PAD, Block, BlockBuffer, LongLine, read_blocks
from etl_ray.readers.codecs import codec_of
from etl_ray.readers.segments import Segment, Unit, plan_units

from .recordings import MARK, Line, gzipped, lines_in, lines_of, read, segment_of, zstandardized

TOKENS = [b"\n", b"\r\n", b"\r", b"a", b"{}", b"\x00", b"\xff", MARK, b" ", b"long line " * 4]
ANY_BYTES = st.one_of(st.lists(st.sampled_from(TOKENS), max_size=40).map(b"".join), st.binary(max_size=200))
LIMITS = st.integers(4, 60)
BLOCKS = st.integers(1, 70)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("segments")


def blocks_of(segment: Segment, block_bytes: int, buffer: BlockBuffer | None = None) -> list[tuple[int, bytes]]:
    pieces = read_blocks(Unit(segment), block_bytes=block_bytes, max_line_bytes=1000, buffer=buffer)
    return [(piece.offset, piece.data[: piece.size].tobytes()) for piece in pieces if isinstance(piece, Block)]


@given(data=ANY_BYTES, block_bytes=BLOCKS, max_line_bytes=LIMITS)
@example(data=b"a\r\n", block_bytes=1, max_line_bytes=4)
@example(data=b"abcd\r\nabcde\nabcdef", block_bytes=1, max_line_bytes=4)
@example(data=b"\nabcde", block_bytes=6, max_line_bytes=4)
@settings(max_examples=200, deadline=None)
def test_plain_bytes_are_read_as_split_says(folder: Path, data: bytes, block_bytes: int, max_line_bytes: int) -> None:
    if codec_of(data[:4], "x.ndjson") is not None:
        data = b"x" + data
    segment = segment_of(folder / "plain.ndjson", data)

    lines, damages = read([Unit(segment)], block_bytes=block_bytes, max_line_bytes=max_line_bytes)

    assert lines == lines_of(data, max_line_bytes)
    assert damages == []


@given(data=ANY_BYTES, block_bytes=BLOCKS, max_line_bytes=LIMITS, unit_bytes=st.integers(1, 90))
@example(data=MARK + b"a\nb", block_bytes=1, max_line_bytes=4, unit_bytes=1)
@example(data=MARK, block_bytes=1, max_line_bytes=4, unit_bytes=2)
@example(data=b"a\n" + b"x" * 50 + b"\r\nb\n", block_bytes=3, max_line_bytes=4, unit_bytes=7)
@settings(max_examples=200, deadline=None)
def test_any_cut_into_ranges_gives_the_same_lines(
    folder: Path, data: bytes, block_bytes: int, max_line_bytes: int, unit_bytes: int
) -> None:
    if codec_of(data[:4], "x.ndjson") is not None:
        data = b"x" + data
    segment = segment_of(folder / "ranges.ndjson", data)

    units = plan_units([segment], unit_bytes)
    lines, damages = read(units, block_bytes=block_bytes, max_line_bytes=max_line_bytes)

    assert len(units) == max(1, -(-len(data) // unit_bytes))
    assert lines == lines_of(data, max_line_bytes)
    assert damages == []


@given(
    data=ANY_BYTES,
    cuts=st.lists(st.integers(0, 200), max_size=4),
    codec=st.sampled_from([gzipped, zstandardized]),
    padding=st.integers(0, 3),
    block_bytes=BLOCKS,
    max_line_bytes=LIMITS,
)
@settings(max_examples=200, deadline=None)
def test_packed_bytes_are_read_as_split_says(
    folder: Path, data: bytes, cuts: list[int], codec: object, padding: int, block_bytes: int, max_line_bytes: int
) -> None:
    members = [data[start:end] for start, end in pairwise([0, *sorted(cuts), max(200, len(data))])]
    packed = gzipped(*members) + bytes(padding) if codec is gzipped else zstandardized(*members)
    segment = segment_of(folder / "misnamed.ndjson", packed)

    lines, damages = read([Unit(segment)], block_bytes=block_bytes, max_line_bytes=max_line_bytes)

    assert lines == lines_of(data, max_line_bytes)
    assert damages == []


def test_a_line_belongs_to_the_range_that_holds_its_first_byte(tmp_path: Path) -> None:
    segment = segment_of(tmp_path / "s.ndjson", b"aaaa\nbbbb\ncccc")

    def texts(start: int, end: int) -> list[bytes]:
        return [line.text for line in read([Unit(segment, start, end)])[0]]

    assert texts(0, 5) == [b"aaaa"]
    assert texts(0, 6) == [b"aaaa", b"bbbb"]
    assert texts(5, 6) == [b"bbbb"]
    assert texts(6, 10) == []
    assert texts(6, 11) == [b"cccc"]
    assert texts(1, 4) == []


def test_blocks_do_not_depend_on_the_buffer_or_what_it_held(tmp_path: Path) -> None:
    data = b"".join(b"%d" % number + b"x" * (number % 90) + b"\n" for number in range(300))
    plain = segment_of(tmp_path / "s.ndjson", data)
    packed = segment_of(tmp_path / "t.ndjson.gz", gzipped(data[:5000], data[5000:]))
    used = BlockBuffer()
    used.reserve(5000, keep=0)
    used.view[:] = b"\n" * len(used.view)

    fresh = blocks_of(plain, 64)

    assert blocks_of(plain, 64, used) == fresh
    assert blocks_of(packed, 64, used) == fresh
    assert b"".join(block for _, block in fresh) == data
    assert max(len(block) for _, block in fresh) <= 128


def test_a_block_holds_whole_lines_and_then_the_pad(tmp_path: Path) -> None:
    segment = segment_of(tmp_path / "s.ndjson", b"aa\nbb\ncc\ndd")

    blocks = [
        (piece.offset, piece.size, piece.data.tobytes())
        for piece in read_blocks(Unit(segment), block_bytes=8, max_line_bytes=100)
        if isinstance(piece, Block)
    ]

    assert blocks == [
        (0, 6, b"aa\nbb\n" + bytes(PAD)),
        (6, 3, b"cc\n" + bytes(PAD)),
        (9, 2, b"dd" + bytes(PAD)),
    ]


def test_a_line_longer_than_a_block_makes_the_block_longer_once(tmp_path: Path) -> None:
    segment = segment_of(tmp_path / "s.ndjson", b"a\n" + b"x" * 100 + b"\n" + b"b\n" * 20)

    blocks = blocks_of(segment, 10)

    assert blocks[0] == (0, b"a\n")
    assert blocks[1][1].startswith(b"x" * 100 + b"\nb\n")
    assert all(len(block) <= 10 for _, block in blocks[2:])


def test_the_mark_is_skipped_at_the_beginning_only(tmp_path: Path) -> None:
    segment = segment_of(tmp_path / "s.ndjson.gz", gzipped(MARK + b"a\n", MARK + b"b\n"))

    assert read([Unit(segment)]) == ([Line(3, b"a"), Line(5, MARK + b"b")], [])


def test_an_empty_file_yields_nothing(tmp_path: Path) -> None:
    names = ["s.ndjson", "t.ndjson.gz", "u.ndjson.zst"]

    assert [read([Unit(segment_of(tmp_path / name, b""))]) for name in names] == [([], [])] * 3


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
@pytest.mark.parametrize("size", [65_538, 70_000, 100_001, 1_000_003])
def test_a_long_line_is_hashed_and_its_neighbours_are_read(tmp_path: Path, size: int, end: bytes) -> None:
    text = (b"0123456789abcdef" * (size // 16 + 1))[: size - 1] + b"\r"
    behind = b"behind\n" if end else b""
    segment = segment_of(tmp_path / "s.ndjson", b"before\r\n" + text + end + behind)

    pieces = []
    for piece in read_blocks(Unit(segment), block_bytes=5_000, max_line_bytes=65_536):
        pieces.append(piece if isinstance(piece, LongLine) else piece.data[: piece.size].tobytes())

    bare = text + end.removesuffix(b"\n")
    expected = LongLine(8, len(bare), hashlib.sha256(bare).hexdigest(), bare[:65_536])
    assert pieces == [b"before\r\n", expected, *([behind] if behind else [])]


def test_a_line_of_just_the_limit_is_not_long(tmp_path: Path) -> None:
    lines = [b"x" * 10 + b"\n", b"x" * 10 + b"\r\n", b"x" * 11 + b"\n", b"x" * 11 + b"\r\n", b"x" * 10]
    segment = segment_of(tmp_path / "s.ndjson", b"".join(lines))

    found = [line.is_long for line in read([Unit(segment)], max_line_bytes=10)[0]]

    assert found == [False, True, True, True, False]


def test_an_endless_line_and_a_bomb_stay_within_memory(tmp_path: Path) -> None:
    bomb = segment_of(tmp_path / "s.ndjson.gz", gzipped(bytes(64 << 20), b"\nend\n"))
    frames = segment_of(tmp_path / "t.ndjson.zst", zstandardized(bytes(64 << 20), b"\nend\n"))
    for segment in (bomb, frames):
        tracemalloc.start()
        pieces = []
        for piece in read_blocks(Unit(segment), block_bytes=1 << 20, max_line_bytes=2 << 20):
            pieces.append(piece.length if isinstance(piece, LongLine) else piece.data[: piece.size].tobytes())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

        assert pieces == [64 << 20, b"end\n"]
        assert peak < 8 << 20


def test_sizes_that_cannot_work_are_refused(tmp_path: Path) -> None:
    segment = segment_of(tmp_path / "s.ndjson", b"a\n")

    with pytest.raises(ValueError, match="expected block_bytes >= 1 and max_line_bytes >= 4, found 0 and 3"):
        list(read_blocks(Unit(segment), block_bytes=0, max_line_bytes=3))


def test_a_reader_that_is_left_closes_its_file(tmp_path: Path) -> None:
    segment = segment_of(tmp_path / "s.ndjson", b"a\nb\nc\n")
    pieces = read_blocks(Unit(segment), block_bytes=2, max_line_bytes=10)

    first = next(pieces)
    assert isinstance(first, Block)
    assert first.data.dtype == np.uint8
    pieces.close()  # type: ignore[attr-defined]

    assert list(pieces) == []


class _Told(io.BytesIO):
    """Bytes that say when the last of them were asked for."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.ended = threading.Event()

    def readinto(self, target: memoryview) -> int:  # type: ignore[override]
        count = super().readinto(target)
        if self.tell() == len(self.getbuffer()):
            self.ended.set()
        return count


@pytest.mark.parametrize("pack", [bytes, gzipped, zstandardized])
def test_the_next_block_is_read_while_one_is_worked_on(
    pack: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(7).bytes(1 << 20).replace(b"\n", b"")
    segment = segment_of(tmp_path / "s.ndjson", pack(noise[: 1 << 19] + b"\n" + noise[1 << 19 :]))
    file = _Told(Path(segment.url).read_bytes())
    monkeypatch.setattr(storage, "open_read", lambda url, start: file)
    pieces = read_blocks(Unit(segment), block_bytes=(1 << 19) + 1, max_line_bytes=1 << 20, ahead=True)

    first = next(pieces)

    assert isinstance(first, Block)
    assert file.ended.wait(60)
    assert first.data[: first.size].tobytes() == noise[: 1 << 19] + b"\n"
    (second,) = pieces
    assert isinstance(second, Block)
    assert second.data[: second.size].tobytes() == noise[1 << 19 :]


def test_reading_ahead_goes_no_further_behind_a_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_OVERRUN_BYTES", 4)
    data = b"aa\n" * 8 + b"ccccc\n" + b"d" * 20 + b"\n"
    segment = segment_of(tmp_path / "s.ndjson", data)

    for end in range(12, len(data)):
        for block_bytes in range(9, 24, 3):
            lines, _ = read([Unit(segment, 0, end), Unit(segment, end, len(data))], block_bytes=block_bytes)
            assert lines == lines_of(data)


def test_a_reader_that_is_left_ends_its_thread(tmp_path: Path) -> None:
    segment = segment_of(tmp_path / "s.ndjson", b"a\nb\nc\n" * 100)
    before = threading.active_count()
    pieces = read_blocks(Unit(segment), block_bytes=2, max_line_bytes=10, ahead=True)

    next(pieces)
    assert threading.active_count() == before + 1
    pieces.close()

    assert threading.active_count() == before


@pytest.mark.parametrize(("cores", "url", "threads"), [(1, "", 0), (2, "", 1), (1, "memory:///s.ndjson", 1)])
def test_a_thread_reads_ahead_where_a_core_or_a_bucket_waits(
    cores: int, url: str, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pa, "cpu_count", lambda: cores)
    segment = segment_of(tmp_path / "s.ndjson", b"aaa\nbbb\n")
    if url:
        storage.write_bytes(url, b"aaa\nbbb\n")
        segment = Segment("s.ndjson", url, 8, "")
    before = threading.active_count()
    pieces = read_blocks(Unit(segment), block_bytes=4, max_line_bytes=10)

    next(pieces)

    assert threading.active_count() == before + threads
    assert len(list(pieces)) == 1


def test_damage_keeps_what_was_read_and_says_where(tmp_path: Path) -> None:
    segment = segment_of(tmp_path / "s.ndjson", b"aaaa\nbbbb\n")
    (tmp_path / "s.ndjson").write_bytes(b"aaaa\nbb")
    pieces = read_blocks(Unit(segment), block_bytes=100, max_line_bytes=100)

    assert lines_in([next(pieces)]) == [Line(0, b"aaaa")]
    assert lines_in([next(pieces)]) == [Line(5, b"bb")]
    with pytest.raises(SegmentError) as caught:
        next(pieces)
    assert caught.value.args == (
        str(tmp_path / "s.ndjson"),
        7,
        "it changed after planning: it had 10 bytes and has 7 now",
    )
