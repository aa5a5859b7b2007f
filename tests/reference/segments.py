"""Segments and their lines."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

_SUFFIXES = (".ndjson", ".ndjson.gz", ".ndjson.zst")
_MARK = b"\xef\xbb\xbf"


def read_segments(paths: Iterable[Path]) -> list[tuple[str, bytes]]:
    """Return (identity, unpacked bytes) of all segments, in arrival order; directories are searched recursively."""
    segments: dict[str, tuple[Path, bytes]] = {}
    for path in _files(paths):
        identity = path.name.removesuffix(".gz").removesuffix(".zst")
        if identity in segments:
            raise ValueError(f"two files of one identity {identity!r}: {segments[identity][0]} and {path}")
        segments[identity] = path, _unpack(path)
    return [(identity, segments[identity][1]) for identity in sorted(segments)]


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


def _unpack(path: Path) -> bytes:
    packed = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(packed)
    if path.suffix == ".zst":
        with pa.input_stream(pa.BufferReader(packed), compression="zstd") as stream:
            unpacked: bytes = stream.read()
        return unpacked
    return packed
