"""Blocks of whole lines from a unit, in bounded memory at about the speed of the codec.

Where blocks are cut depends on the unit and on `block_bytes` alone, never on the buffer, the storage or what was read
before. Only the part of a line that a block leaves over is copied. Where a second thread helps, it reads on while a
block is worked on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from etl_ray import storage
from etl_ray.errors import SegmentError
from etl_ray.readers.codecs import Bytes, DamageError, RawBytes, open_unpacked
from etl_ray.readers.segments import Unit

PAD = 64
"""Zero bytes after the lines of every block, so that a scanner may load whole words and vectors."""

HEAD_BYTES = 65_536
_OVERRUN_BYTES = 256 << 10  # read at a time behind the end of a range, to finish its last line
_LEAST_BYTES = 4  # a block holds a byte order mark and one byte more
_MARK = b"\xef\xbb\xbf"
_LINE_END = b"\n"
_ZEROS = bytes(PAD)


@dataclass(frozen=True)
class Block:
    r"""Whole lines: `data[:size]`, then PAD zero bytes; `offset` is the place of data[0] in the unpacked segment.

    Only the very last line of a segment may lack its "\n". Valid until the next block is asked for.
    """

    data: npt.NDArray[np.uint8]
    size: int
    offset: int


@dataclass(frozen=True)
class LongLine:
    """A line longer than the limit, hashed while it streamed by; `length` and `sha256` are without its line feed."""

    offset: int
    length: int
    sha256: str
    head: bytes


class BlockBuffer:
    """Memory that blocks lie in. Fresh memory costs more than reading: keep one buffer for all units of a worker."""

    def __init__(self) -> None:
        self.memory = bytearray()
        self.view = memoryview(self.memory)
        self.data: npt.NDArray[np.uint8] = np.zeros(0, np.uint8)
        self._other: BlockBuffer | None = None

    @property
    def other(self) -> BlockBuffer:
        """The memory of every second block where one is read while the one before is worked on."""
        self._other = self._other or BlockBuffer()
        return self._other

    def reserve(self, size: int, *, keep: int) -> None:
        """Make room for `size` bytes and the pad; the first `keep` bytes stay."""
        if len(self.memory) >= size + PAD:
            return
        memory = bytearray(size + PAD)
        memory[:keep] = self.view[:keep]
        self.memory = memory
        self.view = memoryview(memory)
        self.data = np.frombuffer(memory, np.uint8)


def read_blocks(
    unit: Unit,
    *,
    block_bytes: int,
    max_line_bytes: int,
    buffer: BlockBuffer | None = None,
    ahead: bool | None = None,
) -> Generator[Block | LongLine, None, int]:
    """Yield the lines of a unit in order, in blocks of at most `block_bytes` or one longer line.

    A block is valid until the next one is asked for. A line of more than `max_line_bytes`, its line feed not counted,
    comes as LongLine. Returns where in the unpacked segment it ended. SegmentError after everything that could be read:
    a line that damage cuts is a line like others. With `ahead` a thread reads the next block meanwhile; without a word,
    where that pays.
    """
    if block_bytes < 1 or max_line_bytes < _LEAST_BYTES:
        raise ValueError(
            f"expected block_bytes >= 1 and max_line_bytes >= {_LEAST_BYTES}, found {block_bytes} and {max_line_bytes}"
        )
    path = storage.redact(unit.segment.url)
    try:
        source = _open(unit)
    except DamageError as error:
        raise SegmentError(path, 0, str(error)) from None
    with ExitStack() as stack:
        stack.callback(source.close)
        pays = not storage.is_local(unit.segment.url) or pa.cpu_count() > 1  # there is waiting, or a core that waits
        thread = stack.enter_context(ThreadPoolExecutor(1)) if (pays if ahead is None else ahead) else None
        lines = _Lines(
            source,
            unit,
            block_bytes=block_bytes,
            max_line_bytes=max_line_bytes,
            buffer=buffer or BlockBuffer(),
            thread=thread,
        )
        yield from lines.cut()
    if lines.damage is not None:
        raise SegmentError(path, lines.offset, lines.damage)
    return lines.offset


def _open(unit: Unit) -> Bytes:
    segment = unit.segment
    if unit.end is None and unit.start == 0:
        return open_unpacked(segment.url, size=segment.size, version=segment.version)
    # The byte before the range tells whether a line begins with the range.
    return RawBytes(segment.url, start=max(unit.start - 1, 0), size=segment.size, version=segment.version)


class _Lines:
    """Cuts a stream of bytes into blocks of lines. `offset` is the place of the first byte in the buffer."""

    def __init__(
        self,
        source: Bytes,
        unit: Unit,
        *,
        block_bytes: int,
        max_line_bytes: int,
        buffer: BlockBuffer,
        thread: Executor | None,
    ) -> None:
        self.damage: str | None = None
        self.offset = max(unit.start - 1, 0)
        self._source = source
        self._start = unit.start
        self._end = unit.end
        # A buffer that is full without a line end holds more than max_line_bytes of one line; nor does a longer block
        # hold a line that is too long among others.
        self._most_bytes = max_line_bytes + len(_LINE_END)
        self._block_bytes = min(max(block_bytes, _LEAST_BYTES), self._most_bytes)
        self._max_line_bytes = max_line_bytes
        self._buffer = buffer
        self._next = buffer if thread is None else buffer.other
        self._thread = thread
        self._filled = 0
        self._ended = False

    def cut(self) -> Iterator[Block | LongLine]:
        """Yield the lines that begin in the range."""
        if not self._begin():
            return
        searched = 0  # bytes at the front that are known to hold no line end
        want = self._block_bytes
        is_filled = False
        while True:
            if not is_filled:
                self._fill(self._target(want))
            is_filled = False
            size = self._whole_lines(searched)
            if not size and not self._ended and self._filled < self._most_bytes:
                searched = self._filled
                want = max(want, min(2 * self._filled, self._most_bytes))
                continue
            size = size or self._filled
            if not size:
                return
            if self._is_long(size):
                yield self._long_line()
                searched = 0
            else:
                searched = yield from self._block(size)
                is_filled = self._thread is not None
            if self._end is not None and self.offset >= self._end:
                return
            want = self._block_bytes

    def _begin(self) -> bool:
        """Go to the first line of the range; False if none begins in it."""
        if self._start == 0:
            self._fill(max(self._target(self._block_bytes), len(_MARK)))
            if self._buffer.memory.startswith(_MARK) and self._filled >= len(_MARK):
                self._drop(len(_MARK))
            return True
        last = (self._start if self._end is None else self._end) - 1
        while self.offset < last:
            self._fill(min(self._block_bytes, last - self.offset))
            at = self._buffer.memory.find(_LINE_END, 0, self._filled)
            if at >= 0:
                self._drop(at + 1)
                return True
            if not self._filled:
                return False
            self._drop(self._filled)
        return False

    def _target(self, want: int) -> int:
        if self._end is None:
            return want
        return min(want, max(self._end - self.offset, self._filled + _OVERRUN_BYTES))

    def _fill(self, size: int) -> None:
        """Read until the buffer holds `size` bytes or the source ends."""
        self._buffer.reserve(size, keep=self._filled)
        while self._filled < size and not self._ended:
            try:
                count = self._source.readinto(self._buffer.view[self._filled : size])
            except DamageError as error:
                self.damage = str(error)
                count = 0
            self._ended = not count
            self._filled += count

    def _drop(self, count: int) -> None:
        view = self._buffer.view
        view[: self._filled - count] = view[count : self._filled]
        self._filled -= count
        self.offset += count

    def _whole_lines(self, searched: int) -> int:
        """Return the size of the whole lines at the front that begin in the range; 0 if the first one is not whole."""
        find, rfind = self._buffer.memory.find, self._buffer.memory.rfind
        if self._end is not None and self.offset + self._filled >= self._end:
            last = max(self._end - 1 - self.offset, 0)
            at = find(_LINE_END, max(last, searched), self._filled)
            return (at if at >= 0 else rfind(_LINE_END, searched, last)) + 1
        return rfind(_LINE_END, searched, self._filled) + 1

    def _is_long(self, size: int) -> bool:
        if size <= self._max_line_bytes:
            return False
        at = self._buffer.memory.find(_LINE_END, 0, size)
        return (size if at < 0 else at) > self._max_line_bytes

    def _block(self, size: int) -> Generator[Block, None, int]:
        """Yield a block; return how many bytes of the buffer were left over then, which hold no line end."""
        if self._thread is not None:
            return (yield from self._block_ahead(size, self._thread))
        view = self._buffer.view
        covered = bytes(view[size : size + PAD])
        view[size : size + PAD] = _ZEROS
        yield Block(self._buffer.data[: size + PAD], size, self.offset)
        view[size : size + PAD] = covered
        self._drop(size)
        return self._filled

    def _block_ahead(self, size: int, thread: Executor) -> Generator[Block, None, int]:
        """Yield a block while what comes behind it is read into the other buffer."""
        block, rest = self._buffer, self._filled - size
        self._next.reserve(rest, keep=0)
        self._next.view[:rest] = block.view[size : self._filled]
        block.view[size : size + PAD] = _ZEROS
        self._buffer, self._next = self._next, block
        self._filled = rest
        self.offset += size
        goes_on = self._end is None or self.offset < self._end
        filling = thread.submit(self._fill, self._target(self._block_bytes)) if goes_on else None
        try:
            yield Block(block.data[: size + PAD], size, self.offset - size)
        finally:
            if filling is not None:
                filling.result()
        return rest

    def _long_line(self) -> LongLine:
        """Hash the line at the front while it streams by, and go behind it."""
        offset, digest, length, head = self.offset, hashlib.sha256(), 0, b""
        while True:
            at = self._buffer.memory.find(_LINE_END, 0, self._filled)
            end = self._filled if at < 0 else at
            digest.update(self._buffer.view[:end])
            head += bytes(self._buffer.view[: min(end, HEAD_BYTES - len(head))])
            length += end
            self._drop(end if at < 0 else at + 1)
            if at >= 0 or self._ended:
                return LongLine(offset, length, digest.hexdigest(), head)
            self._fill(self._block_bytes)
