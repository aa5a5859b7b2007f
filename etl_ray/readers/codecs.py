"""The unpacked bytes of a segment: plain, gzip or zstd, told apart by their first bytes, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol, cast

from etl_ray import storage
from etl_ray.errors import NotFoundError, StorageError

if TYPE_CHECKING:
    from typing_extensions import Buffer

Codec = Literal["gzip", "zstd"]

MAGIC_BYTES = 4
READ_BYTES = 128 << 10
UNPACK_BYTES = 64 << 10
_STEP_BYTES = 16 << 10  # what a member leaves over of a step is copied, which adds up where members are small

_GZIP = b"\x1f\x8b\x08"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"  # after a byte of 0x50 to 0x5f

_FIRST_BYTES: dict[Codec, bytes] = {"gzip": _GZIP[:1], "zstd": _ZSTD[:1] + bytes(range(0x50, 0x60))}


class DamageError(Exception):
    """The bytes of a segment end before they should; the readers make a SegmentError of it."""


class _BrokenError(DamageError):
    """A decompressor refuses its input."""


class Bytes(Protocol):
    """A stream of bytes."""

    def readinto(self, target: memoryview) -> int:
        """Fill the front of `target` and return the number of bytes, 0 at the end. DamageError if that is early."""
        ...

    def close(self) -> None:
        """Close the file behind it."""
        ...


class _Decompressor(Protocol):
    eof: bool
    needs_input: bool
    unused_data: bytes

    def decompress(self, data: Buffer, max_length: int) -> bytes: ...


def codec_of(head: bytes, url: str) -> Codec | None:
    """Tell the codec by the first bytes of a file; only where these are too few, by its name."""
    if head.startswith(_GZIP) or (url.endswith(".gz") and head and _GZIP.startswith(head)):
        return "gzip"
    if head.startswith(_ZSTD) or (url.endswith(".zst") and head and _ZSTD.startswith(head)):
        return "zstd"
    if len(head) >= MAGIC_BYTES and 0x50 <= head[0] <= 0x5F and head[1:].startswith(_ZSTD_SKIPPABLE):
        return "zstd"
    return None


def open_unpacked(url: str, *, size: int, version: str) -> Bytes:
    """Open a segment that had `size` bytes and `version` ("" is not compared) at planning, or raise DamageError."""
    raw = RawBytes(url, start=0, size=size, version=version)
    codec = codec_of(raw.peek(MAGIC_BYTES), url)
    if codec is None:
        return raw

    def reopen(slow_at: int) -> _Members:
        return _Members(RawBytes(url, start=0, size=size, version=version), codec, slow_at)

    return _Unpacked(_Members(raw, codec), reopen)


class RawBytes:
    """The bytes of a file from `start` to the `size` that it had at planning."""

    def __init__(self, url: str, *, start: int, size: int, version: str) -> None:
        self._size = size
        self._place = start
        self._head = b""
        self._changed = ""
        try:
            found = storage.file_info(url)
            self._file = storage.open_read(url, start=start)
        except NotFoundError as error:
            raise DamageError(f"it vanished after planning: {error}") from None
        except StorageError as error:
            raise DamageError(str(error)) from None
        if found.size != size:
            self._changed = f"it changed after planning: it had {size:,} bytes and has {found.size:,} now"
        elif version and found.version != version:
            self._changed = f"it was rewritten after planning: it was version {version} and is {found.version} now"

    def peek(self, count: int) -> bytes:
        """Return up to `count` next bytes, which stay unread."""
        target = bytearray(count)
        filled = 0
        while filled < count and (read := self._read(memoryview(target)[filled:])):
            filled += read
        self._head = bytes(target[:filled])
        return self._head

    def readinto(self, target: memoryview) -> int:
        """Fill the front of `target` and return the number of bytes, 0 at the planned end."""
        if self._head:
            count = min(len(self._head), len(target))
            target[:count] = self._head[:count]
            self._head = self._head[count:]
            return count
        count = self._read(target)
        if not count and self._changed:
            raise DamageError(self._changed)
        return count

    def _read(self, target: memoryview) -> int:
        left = self._size - self._place
        if left <= 0:
            return 0
        try:
            count = cast("Bytes", self._file).readinto(target[:left])
        except StorageError as error:
            raise DamageError(str(error)) from None
        if not count and not self._changed:
            self._changed = f"it was cut while it was read: {self._place:,} of {self._size:,} bytes are left"
        self._place += count
        return count

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _Unpacked:
    """The unpacked bytes of a compressed file, to the last one in front of damage."""

    def __init__(self, members: _Members, reopen: Callable[[int], _Members]) -> None:
        self._members = members
        self._reopen = reopen
        self._place = 0
        self._is_second = False

    def readinto(self, target: memoryview) -> int:
        """Fill the front of `target` and return the number of bytes, 0 after the last member."""
        try:
            count = self._members.readinto(target)
        except _BrokenError:
            if self._is_second:
                raise
            self._go_back()
            return self.readinto(target)
        self._place += count
        return count

    def close(self) -> None:
        """Close the file."""
        self._members.close()

    def _go_back(self) -> None:
        """Start again, slowly where it failed: what a decompressor makes in the step in which it fails is lost."""
        self._members.close()
        self._members = self._reopen(self._members.chunk_start)
        self._is_second = True
        scratch = memoryview(bytearray(UNPACK_BYTES))
        left = self._place
        while left:
            count = self._members.readinto(scratch[:left])
            if not count:
                raise DamageError("it changed while it was read")
            left -= count


class _Members:
    """The members or frames of a compressed file, one after the other; byte by byte around `slow_at`."""

    def __init__(self, raw: RawBytes, codec: Codec, slow_at: int | None = None) -> None:
        self.chunk_start = 0
        self._raw = raw
        self._codec = codec
        self._slow_at = slow_at
        self._new, self._failure = _decompressor(codec)
        self._decompressor = self._new()
        self._chunk = memoryview(bytearray(READ_BYTES))
        self._at = 0
        self._filled = 0

    def readinto(self, target: memoryview) -> int:
        """Fill the front of `target` and return the number of bytes, 0 after the last member."""
        while True:
            if self._decompressor.eof and not self._next_member():
                return 0
            data: Buffer = b""
            if self._decompressor.needs_input and not (data := self._step()):
                raise DamageError(f"the {self._codec} data is cut: it ends in the middle of a stream")
            try:
                unpacked = self._decompressor.decompress(data, min(len(target), UNPACK_BYTES))
            except self._failure as error:
                raise _BrokenError(f"broken {self._codec} data: {error}") from None
            if unpacked:
                target[: len(unpacked)] = unpacked
                return len(unpacked)

    def close(self) -> None:
        """Close the file."""
        self._raw.close()

    def _next_member(self) -> bool:
        self._at -= len(self._decompressor.unused_data)  # always the end of the last step
        while self._fetch():
            if self._codec != "gzip" or self._chunk[self._at]:
                self._check_begin()
                self._decompressor = self._new()
                return True
            # Zero bytes may fill up the last block of a tape or disk.
            self._at = self._filled - len(self._chunk[self._at : self._filled].tobytes().lstrip(b"\0"))
        return False

    def _check_begin(self) -> None:
        # A decompressor would wait for the rest of a header before it refuses it, and call a short one cut.
        if self._chunk[self._at] not in _FIRST_BYTES[self._codec]:
            raise DamageError(f"broken {self._codec} data: something else follows the end of a stream")

    def _step(self) -> memoryview:
        """Return the next bytes of the file, none at its end."""
        is_slow = self._fetch() and self._slow_at is not None and abs(self.chunk_start - self._slow_at) < READ_BYTES
        start, self._at = self._at, min(self._at + (1 if is_slow else _STEP_BYTES), self._filled)
        return self._chunk[start : self._at]

    def _fetch(self) -> bool:
        """Make sure that bytes are at hand; False at the end of the file."""
        if self._at == self._filled:
            self.chunk_start += self._filled
            self._at, self._filled = 0, self._raw.readinto(self._chunk)
        return self._filled > 0


def _decompressor(codec: Codec) -> tuple[Callable[[], _Decompressor], type[Exception]]:
    if codec == "gzip":
        from isal import igzip_lib

        return lambda: cast(_Decompressor, igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)), cast(
            type[Exception], igzip_lib.error
        )
    from backports import zstd

    return lambda: cast(_Decompressor, zstd.ZstdDecompressor()), zstd.ZstdError
