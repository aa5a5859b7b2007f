"""What the reader tests share: packed bytes, segments of them, and a plain statement of what lines are."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from backports import zstd

from etl_ray.errors import SegmentError
from etl_ray.readers.blocks import HEAD_BYTES, PAD, Block, BlockBuffer, LongLine, read_blocks
from etl_ray.readers.segments import Segment, Unit

MARK = b"\xef\xbb\xbf"
CUT_NOTHING = 1 << 20


@dataclass(frozen=True)
class Line:
    """A line as a reader delivers it: its place, its text without line feed, and whether it came as LongLine."""

    offset: int
    text: bytes
    is_long: bool = False


def lines_of(data: bytes, max_line_bytes: int = CUT_NOTHING) -> list[Line]:
    """Say plainly, by split, which lines `data` has; a long one is told by hash, length and head."""
    offset = len(MARK) if data.startswith(MARK) else 0
    *ended, last = data[offset:].split(b"\n")
    lines = []
    for text in [*(line + b"\n" for line in ended), *([last] if last else [])]:
        bare = text.removesuffix(b"\n")
        is_long = len(bare) > max_line_bytes
        lines.append(Line(offset, told(bare) if is_long else bare, is_long))
        offset += len(text)
    return lines


def told(text: bytes) -> bytes:
    return f"{len(text)} {hashlib.sha256(text).hexdigest()} ".encode() + text[:HEAD_BYTES]


def lines_in(pieces: Iterable[Block | LongLine]) -> list[Line]:
    """Take the lines out of what read_blocks yields, and check the form of its blocks."""
    lines = []
    for piece in pieces:
        if isinstance(piece, LongLine):
            text = f"{piece.length} {piece.sha256} ".encode() + piece.head
            lines.append(Line(piece.offset, text, is_long=True))
            continue
        assert piece.size > 0
        assert piece.data.size >= piece.size + PAD
        assert not piece.data[piece.size : piece.size + PAD].any()
        lines += [
            Line(line.offset + piece.offset, line.text) for line in lines_of_block(piece.data[: piece.size].tobytes())
        ]
    return lines


def lines_of_block(data: bytes) -> list[Line]:
    """Split a block, which never begins with a byte order mark of its own."""
    return [Line(line.offset - 1, line.text) for line in lines_of(b"\n" + data)[1:]]


def read(
    units: Sequence[Unit], *, block_bytes: int = 1 << 16, max_line_bytes: int = CUT_NOTHING
) -> tuple[list[Line], list[SegmentError]]:
    """Read units one after the other with one buffer, as a worker does; return lines and damages.

    Whether a thread reads ahead makes no difference, not even to where blocks are cut.
    """
    found = [_read(units, block_bytes, max_line_bytes, ahead=ahead) for ahead in (False, True)]
    (pieces, damages), (pieces_ahead, damages_ahead) = found
    assert pieces_ahead == pieces
    assert [error.args for error in damages_ahead] == [error.args for error in damages]
    return [line for piece in pieces for line in piece], damages


def _read(
    units: Sequence[Unit], block_bytes: int, max_line_bytes: int, *, ahead: bool
) -> tuple[list[list[Line]], list[SegmentError]]:
    pieces: list[list[Line]] = []
    damages: list[SegmentError] = []
    buffer = BlockBuffer()
    for unit in units:
        try:
            for piece in read_blocks(
                unit, block_bytes=block_bytes, max_line_bytes=max_line_bytes, buffer=buffer, ahead=ahead
            ):
                pieces.append(lines_in([piece]))
        except SegmentError as error:
            damages.append(error)
    return pieces, damages


def segment_of(path: Path, data: bytes) -> Segment:
    """Write a file and describe it as planning would."""
    path.write_bytes(data)
    identity = path.name.removesuffix(".gz").removesuffix(".zst")
    return Segment(identity, str(path), len(data), str(path.stat().st_mtime_ns))


def gzipped(*members: bytes) -> bytes:
    return b"".join(zlib.compress(member, 6, 31) for member in members)


def zstandardized(*frames: bytes, checksum: bool = True) -> bytes:
    options = {zstd.CompressionParameter.checksum_flag: checksum}
    return b"".join(zstd.compress(frame, options=options) for frame in frames)


def flushed_gzip(pieces: Sequence[bytes]) -> bytes:
    """Pack as a collector does that flushes after every piece: a crash costs what came after the last flush."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, 31)
    packed = [compressor.compress(piece) + compressor.flush(zlib.Z_SYNC_FLUSH) for piece in pieces]
    return b"".join([*packed, compressor.flush()])


def flushed_zstd(pieces: Sequence[bytes]) -> bytes:
    """Do the same with zstd."""
    compressor = zstd.ZstdCompressor()
    packed = [compressor.compress(piece, zstd.ZstdCompressor.FLUSH_BLOCK) for piece in pieces]
    return b"".join([*packed, compressor.flush()])
