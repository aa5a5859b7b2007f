"""Damage: truncated, corrupt, changed and vanished segments, and storages that fail in the middle."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from etl_ray import storage
from etl_ray.errors import StorageError
from etl_ray.readers.codecs import READ_BYTES, codec_of
from etl_ray.readers.segments import Segment, Unit, find_segments, plan_units

from .recordings import (
    Line,
    flushed_gzip,
    flushed_zstd,
    gzipped,
    lines_of,
    read,
    segment_of,
    zstandardized,
)

PIECES = [b'{"line":%d,"text":"%d"}\n' % (number, number**9) for number in range(40)]
DATA = b"".join(PIECES)
CUT = {
    "gz": "the gzip data is cut: it ends in the middle of a stream",
    "zst": "the zstd data is cut: it ends in the middle of a stream",
}
SKIPPABLE = b"\x53\x2a\x4d\x18\x05\x00\x00\x00hello"


def joined(lines: list[Line]) -> bytes:
    return b"\n".join(line.text for line in lines)


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_truncation_at_every_byte_keeps_a_prefix_and_is_noticed(tmp_path: Path, suffix: str) -> None:
    pack = gzipped if suffix == "gz" else zstandardized
    first, second = pack(b"".join(PIECES[:15])), pack(b"".join(PIECES[15:]))
    whole = first + second
    for size in range(1, len(whole)):
        segment = segment_of(tmp_path / f"s.ndjson.{suffix}", whole[:size])

        lines, damages = read([Unit(segment)], block_bytes=300)

        kept = joined(lines)
        assert DATA.startswith(kept)
        assert lines == lines_of(DATA[: len(kept)] + (b"\n" if DATA[len(kept) : len(kept) + 1] == b"\n" else b""))
        if size == len(first):
            assert (len(lines), damages) == (15, [])
        else:
            assert [damage.args[2] for damage in damages] == [CUT[suffix]]
            assert len(lines) >= (15 if size > len(first) else 0)
            assert damages[0].offset in (len(kept), len(kept) + 1)


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_what_was_flushed_before_a_crash_is_kept(tmp_path: Path, suffix: str) -> None:
    flush = flushed_gzip if suffix == "gz" else flushed_zstd
    whole = flush(PIECES)
    for count in range(1, 40):
        size = len(flush(PIECES[:count])) - 16  # the end of the stream, after the last flush
        segment = segment_of(tmp_path / f"s.ndjson.{suffix}", whole[: size + 16])

        lines, damages = read([Unit(segment)], block_bytes=300)

        assert lines[:count] == lines_of(b"".join(PIECES[:count]))
        assert [damage.args[2] for damage in damages] == [CUT[suffix]]


def test_zero_bytes_after_a_member_are_no_damage(tmp_path: Path) -> None:
    padded = gzipped(DATA) + bytes(1000) + gzipped(b"more\n") + bytes(READ_BYTES + 1)
    segment = segment_of(tmp_path / "s.ndjson.gz", padded)

    assert read([Unit(segment)]) == (lines_of(DATA + b"more\n"), [])


def test_skippable_frames_and_frames_without_checksum_are_read(tmp_path: Path) -> None:
    frames = SKIPPABLE + zstandardized(DATA) + SKIPPABLE + zstandardized(b"more\n", b"", checksum=False) + SKIPPABLE
    segment = segment_of(tmp_path / "s.ndjson.zst", frames)

    assert read([Unit(segment)]) == (lines_of(DATA + b"more\n"), [])


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (gzipped(DATA) + b"garbage after it", "broken gzip data: "),
        (gzipped(DATA)[:-8] + b"12345678", "broken gzip data: "),
        (zstandardized(DATA) + b"garbage after it", "broken zstd data: "),
        (zstandardized(DATA)[:-4] + b"1234", "broken zstd data: "),
    ],
)
def test_garbage_and_wrong_checksums_are_damage_behind_the_data(tmp_path: Path, packed: bytes, reason: str) -> None:
    segment = segment_of(tmp_path / "s.ndjson", packed)

    lines, damages = read([Unit(segment)])

    assert lines == lines_of(DATA)
    assert [(damage.offset, damage.reason.startswith(reason)) for damage in damages] == [(len(DATA), True)]


@pytest.mark.parametrize("pack", [gzipped, zstandardized])
def test_corruption_in_the_middle_keeps_what_came_long_before_it(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    data = b"".join(b"%032x\n" % zlib.crc32(b"%d" % number) for number in range(60_000))
    packed = bytearray(pack(data))
    middle = len(packed) // 2
    packed[middle : middle + 2000] = bytes(2000)
    segment = segment_of(tmp_path / "s.ndjson", bytes(packed))

    lines, damages = read([Unit(segment)])

    assert len(damages) == 1
    assert lines[:20_000] == lines_of(data)[:20_000]


@pytest.mark.parametrize(
    ("head", "url", "codec"),
    [
        (b"\x1f\x8b\x08\x00", "s.ndjson", "gzip"),
        (b"\x28\xb5\x2f\xfd", "s.ndjson.gz", "zstd"),
        (b"\x5f\x2a\x4d\x18", "s.ndjson", "zstd"),
        (b'{"a"', "s.ndjson.gz", None),
        (b"\x1f\x8b", "s.ndjson.gz", "gzip"),
        (b"\x28", "s.ndjson.zst", "zstd"),
        (b"(", "s.ndjson", None),
        (b"P*M", "s.ndjson", None),
        (b"", "s.ndjson.gz", None),
    ],
)
def test_the_codec_is_told_by_content_and_by_name_only_where_that_is_too_short(
    head: bytes, url: str, codec: str | None
) -> None:
    assert codec_of(head, url) == codec


def test_a_plain_segment_that_grew_is_read_to_its_planned_end(tmp_path: Path) -> None:
    path = tmp_path / "s.ndjson"
    units = plan_units([segment_of(path, DATA)], 500)
    path.write_bytes(DATA + b"new\n")

    lines, damages = read(units)

    assert lines == lines_of(DATA)
    reason = f"it changed after planning: it had {len(DATA):,} bytes and has {len(DATA) + 4:,} now"
    assert {damage.reason for damage in damages} == {reason}


def test_a_segment_that_was_rewritten_in_its_size_is_noticed(tmp_path: Path) -> None:
    segment = segment_of(tmp_path / "s.ndjson.gz", gzipped(DATA))
    found = Segment(segment.identity, segment.url, segment.size, "17")

    lines, damages = read([Unit(found)])

    assert lines == lines_of(DATA)
    assert [damage.reason for damage in damages] == [
        f"it was rewritten after planning: it was version 17 and is {segment.version} now"
    ]


def test_a_segment_that_vanished_is_named(tmp_path: Path) -> None:
    segment = segment_of(tmp_path / "s.ndjson", DATA)
    (tmp_path / "s.ndjson").unlink()

    lines, damages = read([Unit(segment)])

    assert lines == []
    assert [str(damage) for damage in damages] == [
        f"{segment.url}: damaged after 0 unpacked bytes: it vanished after planning: "
        f"cannot look at {segment.url}: no such file, directory or bucket"
    ]


def test_a_segment_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = segment_of(tmp_path / "s.ndjson", DATA)

    def refuse(*_: object, **__: object) -> BinaryIO:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    lines, damages = read([Unit(segment)])

    assert lines == []
    assert [damage.reason for damage in damages] == [f"cannot read {segment.url}: Permission denied"]


class FailingFile(io.BytesIO):
    """Fails when it is read beyond its first 700 bytes, with a credential in its message."""

    def readinto(self, target: memoryview) -> int:  # type: ignore[override]
        if self.tell() >= 700:
            raise OSError("connection lost: https://host/bucket?X-Goog-Signature=abc123&token=s3cr3t")
        return super().readinto(target[: 700 - self.tell()])


class FailingFileSystem(MemoryFileSystem):
    """Memory whose files fail in the middle."""

    protocol = "failing"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.removeprefix("failing:/")))

    def _open(self, path: str, mode: str = "rb", **_: object) -> BinaryIO:
        return FailingFile(self.cat_file(path))


@pytest.fixture
def failing() -> Iterator[str]:
    fsspec.register_implementation("failing", FailingFileSystem, clobber=True)
    yield "failing://in"
    storage.delete_tree("memory://in")


@pytest.mark.parametrize("pack", [b"".join, flushed_gzip, flushed_zstd])
def test_a_storage_that_fails_in_the_middle_costs_the_rest_only(
    failing: str, pack: Callable[[Sequence[bytes]], bytes]
) -> None:
    pieces = [b"%d\n" % number**9 for number in range(400)]
    data = b"".join(pieces)
    storage.write_bytes("memory://in/s.ndjson", pack(pieces))
    (segment,) = find_segments(failing)

    lines, damages = read([Unit(segment)], block_bytes=100)

    assert len(lines) > 30
    assert lines[:-1] == lines_of(data)[: len(lines) - 1]
    assert [damage.reason for damage in damages] == [
        "cannot read failing://in/s.ndjson: OSError: connection lost: https://host/bucket"
    ]


def test_segments_in_memory_are_read_in_parallel_handles() -> None:
    storage.write_bytes("memory://two/s.ndjson", DATA)
    first, second = storage.open_read("memory://two/s.ndjson"), storage.open_read("memory://two/s.ndjson", start=5)

    assert (first.read(3), second.read(3), first.read(3)) == (DATA[:3], DATA[5:8], DATA[3:6])
    storage.delete_tree("memory://two")
    with pytest.raises(StorageError):
        storage.open_read("memory://two/s.ndjson")
