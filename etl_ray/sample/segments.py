"""Lines into segment files: rotated by size and hour, visible under their name only when complete."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, cast

import zstandard

from etl_ray.errors import ConfigError, StorageError
from etl_ray.sample.clock import segment_hour
from etl_ray.sample.options import Compression

_SUFFIXES: dict[Compression, str] = {"none": "", "gz": ".gz", "zst": ".zst"}
_GZIP_LEVEL = 4
_ZSTD_LEVEL = 3
# Text is encoded and written in pieces of about this size.
_WRITE_CHARS = 1 << 19


class SegmentWriter:
    """Write lines in arrival order to `segment_YYYYMMDDTHH_NNNNN.ndjson` in `out_dir`, which must hold no visible file.

    A segment ends after the line with which it reaches `segment_bytes`, and before a line received in another hour.
    It is written under a hidden name and renamed when it is complete. `on_progress` gets the unpacked bytes so far.
    `line` is the number of the last line within its segment, from 1.
    """

    def __init__(
        self,
        out_dir: str,
        *,
        compress: Compression,
        segment_bytes: int,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        self._directory = _prepared(Path(out_dir))
        self._compress = compress
        self._segment_bytes = segment_bytes
        self._on_progress = on_progress
        self._file: BinaryIO | None = None
        self._hour = ""
        self._pending: list[str] = []
        self._pending_chars = self._chars_in_segment = 0
        self.line = 0
        self.paths: list[str] = []
        self.bytes = 0

    def __enter__(self) -> SegmentWriter:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error_type is None:
                self._finish()
        finally:
            self._discard()

    def write(self, line: str, *, capture_ns: int) -> None:
        """Add a line, its line end included: one character a byte, ASCII but for garbage."""
        hour = segment_hour(capture_ns)
        if hour != self._hour or self._chars_in_segment >= self._segment_bytes:
            self._finish()
            self._begin(hour)
        self._pending.append(line)
        self._chars_in_segment += len(line)
        self._pending_chars += len(line)
        self.line += 1
        if self._pending_chars >= _WRITE_CHARS:
            self._flush()

    def cut(self) -> None:
        """End the recording here, as if its collector had died: what compresses is flushed, but not ended."""
        assert self._file is not None  # noqa: S101 - for the type checker; there is a line to cut
        self._flush()
        try:
            self._file.flush()
            stored_bytes = self._hidden_path.stat().st_size
        except OSError as error:
            raise StorageError(f"cannot write {self._hidden_path}: {error}") from error
        self._finish(stored_bytes=stored_bytes)

    @property
    def segment(self) -> str:
        """Return the identity of the segment that is being written: its name without the codec's suffix."""
        return f"segment_{self._hour}_{len(self.paths) + 1:05d}.ndjson"

    @property
    def _path(self) -> Path:
        return self._directory / f"{self.segment}{_SUFFIXES[self._compress]}"

    @property
    def _hidden_path(self) -> Path:
        return self._path.with_name(f".{self._path.name}")

    def _begin(self, hour: str) -> None:
        self._hour = hour
        self._chars_in_segment = self.line = 0
        try:
            self._file = _open(self._hidden_path, self._compress)
        except OSError as error:
            raise StorageError(f"cannot write {self._hidden_path}: {error}") from error

    def _flush(self) -> None:
        if not self._pending:
            return
        assert self._file is not None  # noqa: S101 - for the type checker; lines are pending only in an open segment
        data = "".join(self._pending).encode("latin-1")
        try:
            self._file.write(data)
        except OSError as error:
            raise StorageError(f"cannot write {self._hidden_path}: {error}") from error
        self.bytes += len(data)
        self._pending.clear()
        self._pending_chars = 0
        if self._on_progress is not None:
            self._on_progress(self.bytes)

    def _finish(self, *, stored_bytes: int | None = None) -> None:
        if self._file is None:
            return
        self._flush()
        path = self._path
        try:
            self._file.close()
            if stored_bytes is not None:
                os.truncate(self._hidden_path, stored_bytes)
            if path.exists():
                raise StorageError(f"{path} appeared while the sample was written; it is left as it is")
            self._hidden_path.replace(path)
        except OSError as error:
            raise StorageError(f"cannot complete {path}: {error}") from error
        self._file = None
        self.paths.append(str(path))

    def _discard(self) -> None:
        if self._file is None:
            return
        # The error that brought us here is the one to report.
        with suppress(OSError):
            self._file.close()
        self._hidden_path.unlink(missing_ok=True)
        self._file = None


def _prepared(directory: Path) -> Path:
    expected = "a folder that is new, empty or holds hidden files only"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        visible = sorted(entry.name for entry in directory.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise ConfigError(f"sample OUT: expected {expected}, found {str(directory)!r}: {error.strerror}") from error
    if visible:
        raise ConfigError(
            f"sample OUT: expected {expected}, found {str(directory)!r} with {len(visible)} entries,"
            f" the first {visible[0]!r}"
        )
    return directory


def _open(path: Path, compress: Compression) -> BinaryIO:
    raw = path.open("wb")
    match compress:
        case "gz":
            # No name and no time in the header: the bytes depend on the lines only.
            return cast("BinaryIO", _OwningGzip(raw))
        case "zst":
            return cast("BinaryIO", zstandard.ZstdCompressor(level=_ZSTD_LEVEL).stream_writer(raw, closefd=True))
        case "none":
            return raw
    raise AssertionError(compress)


class _OwningGzip(gzip.GzipFile):
    """A gzip stream that closes the file below it."""

    def __init__(self, raw: BinaryIO) -> None:
        super().__init__(filename="", mode="wb", fileobj=raw, compresslevel=_GZIP_LEVEL, mtime=0)
        self._raw = raw

    def close(self) -> None:
        """Close both."""
        try:
            super().close()
        finally:
            self._raw.close()
