"""Segments and their lines."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import zstandard

_SUFFIXES = (".ndjson", ".ndjson.gz", ".ndjson.zst")
_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Segment:
    """What can be read of a segment; `is_damaged` if that ended early."""

    identity: str
    raw: bytes
    is_damaged: bool


def find_segments(paths: Iterable[Path]) -> list[Segment]:
    """Return all segments, in arrival order; directories are searched recursively."""
    segments: dict[str, tuple[Path, Segment]] = {}
    for path in _files(paths):
        identity = path.name.removesuffix(".gz").removesuffix(".zst")
        if identity in segments:
            raise ValueError(f"two files of one identity {identity!r}: {segments[identity][0]} and {path}")
        raw, is_whole = _unpack(path)
        segments[identity] = path, Segment(identity, raw, is_damaged=not is_whole)
    return [segments[identity][1] for identity in sorted(segments)]


def read_segments(paths: Iterable[Path]) -> list[tuple[str, bytes]]:
    """Return (identity, unpacked bytes) of all segments, in arrival order."""
    return [(segment.identity, segment.raw) for segment in find_segments(paths)]


def split_lines(raw: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield (number from 1, byte offset, line without its line end) of a segment."""
    offset = len(_MARK) if raw.startswith(_MARK) else 0
    lines = raw[offset:].split(b"\n")
    if not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, start=1):
        yield number, offset, line
        offset += len(line) + 1


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            for file in path.rglob("*"):
                hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
                if file.is_file() and file.name.endswith(_SUFFIXES) and not hidden:
                    yield file
        else:
            yield path


def _unpack(path: Path) -> tuple[bytes, bool]:
    """Return what can be unpacked of a file, and whether that is all."""
    packed = path.read_bytes()
    unpacked = b""
    while packed and path.suffix in (".gz", ".zst"):
        member = zlib.decompressobj(wbits=31) if path.suffix == ".gz" else zstandard.ZstdDecompressor().decompressobj()
        try:
            unpacked += member.decompress(packed)
        except (zlib.error, zstandard.ZstdError) as error:
            raise ValueError(f"{path}: this reference reads what is cut, not what is changed: {error}") from None
        if not member.eof:
            return unpacked, False
        packed = member.unused_data
    return unpacked or packed, True
