"""Segments of a recording, and the units of work that they are cut into."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import quote

from etl_ray import storage
from etl_ray.errors import ConfigError, StorageError
from etl_ray.readers.codecs import MAGIC_BYTES, codec_of
from etl_ray.storage import FileInfo
from etl_ray.tables.dates import date_in_name

SUFFIXES = (".ndjson", ".ndjson.gz", ".ndjson.zst")
_PACKED_SUFFIXES = (".gz", ".zst")
_NAME_CHARS = 100  # of an identity in a unit's name; file systems allow 255 bytes for the whole
_LOOKING_THREADS = 16  # requests of four bytes: waiting, not work


@dataclass(frozen=True, slots=True)
class Segment:
    """One recorded file. `identity` is its base name without .gz or .zst; `version` changes with its content."""

    identity: str
    url: str
    size: int
    version: str

    @property
    def date(self) -> str:
        """The first date in the identity as YYYY-MM-DD, or the word unknown."""
        return date_in_name(self.identity)


@dataclass(frozen=True, slots=True)
class Unit:
    """A whole segment, or the bytes [start, end) of a plain one.

    A line belongs to the range that holds its first byte; a byte order mark counts as part of the first line.
    `content` tells units of one place apart: by what is there, and by what is made of it.
    """

    segment: Segment
    start: int = 0
    end: int | None = None
    content: str = ""

    @property
    def stored_bytes(self) -> int:
        """Bytes to read, compressed as they are."""
        return self.segment.size if self.end is None else self.end - self.start

    @property
    def name(self) -> str:
        """A file name for what is made of this unit: the same in every run, another for every unit of a run."""
        identity = self.segment.identity
        # The hash tells names apart that are equal after cutting, or on a file system that ignores case.
        digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
        safe = quote(identity, safe="").lstrip(".")[:_NAME_CHARS]
        place = "" if self.end is None else f"-{self.start:015d}-{self.end:015d}"
        content = f"-{self.content}" if self.content else ""
        return f"{safe}-{digest}{place}{content}"


def find_segments(*input_urls: str) -> tuple[Segment, ...]:
    """Find the segments of directories, globs, files or URLs, taken together, sorted by identity.

    ConfigError if one of them has nothing, if a directory holds no segment, or if two files have one identity.
    """
    segments: dict[str, Segment] = {}
    for info in sorted({info.url: info for url in input_urls for info in _files(url)}.values(), key=lambda i: i.url):
        segment = _segment(info)
        other = segments.setdefault(segment.identity, segment)
        if other is not segment:
            raise ConfigError(
                f"two files of one identity {segment.identity!r}: {storage.redact(other.url)} and "
                f"{storage.redact(segment.url)}; expected each segment once"
            )
    return tuple(segments[identity] for identity in sorted(segments))


def _files(input_url: str) -> list[FileInfo]:
    """Return the files that an input names, or that lie below it and are segments by their names."""
    listing = storage.search(input_url)
    below = [info for info in listing.below if info.url.endswith(SUFFIXES)]
    if not listing.named and not below:
        raise ConfigError(
            f"no segments in {storage.redact(input_url)}: expected files that end in {', '.join(SUFFIXES)}, "
            f"found {len(listing.below):,} other file{'s' if len(listing.below) != 1 else ''}"
        )
    return [*listing.named, *below]


def plan_units(segments: Sequence[Segment], unit_bytes: int) -> tuple[Unit, ...]:
    """Cut plain segments that are larger than `unit_bytes` at its multiples; all others stay whole."""
    if unit_bytes < 1:
        raise ConfigError(f"expected units of at least 1 byte, found {unit_bytes}")
    large = [segment for segment in segments if segment.size > unit_bytes]
    with ThreadPoolExecutor(_LOOKING_THREADS) as pool:
        divisible = {segment for segment, plain in zip(large, pool.map(_is_plain, large), strict=True) if plain}
    units: list[Unit] = []
    for segment in segments:
        if segment not in divisible:
            units.append(Unit(segment))
            continue
        for start in range(0, segment.size, unit_bytes):
            units.append(Unit(segment, start, min(start + unit_bytes, segment.size)))
    return tuple(units)


def _segment(info: FileInfo) -> Segment:
    name = posixpath.basename(info.url)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"the name of {info.url!r} is not UTF-8, so no table can hold it; rename the file") from None
    for suffix in _PACKED_SUFFIXES:
        if name.endswith(suffix):
            return Segment(name.removesuffix(suffix), info.url, info.size, info.version)
    return Segment(name, info.url, info.size, info.version)


def _is_plain(segment: Segment) -> bool:
    if segment.url.endswith(_PACKED_SUFFIXES):
        return False
    try:
        with storage.open_read(segment.url) as file:
            return codec_of(file.read(MAGIC_BYTES), segment.url) is None
    except StorageError:
        # Whoever reads the unit meets the same failure and reports it with the segment.
        return False
