"""The lines of recorded segments as Arrow batches, for people who go on by themselves."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from etl_ray.errors import ConfigError, SegmentError
from etl_ray.readers.blocks import Block, BlockBuffer, LongLine, read_blocks
from etl_ray.readers.segments import Segment, Unit, find_segments

LINES = pa.schema(
    [
        pa.field("segment", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("line", pa.int64(), nullable=False),
        pa.field("byte_offset", pa.int64(), nullable=False),
        pa.field("raw", pa.large_binary()),
    ]
)
"""What NDJSONReader yields. `line` counts from 1, blank lines included; `byte_offset` is that of the unpacked segment;
`raw` is the line without its line feed, null if it is longer than the limit."""

_MB = 1 << 20


class NDJSONReader:
    """Reads segments (plain, .gz, .zst) line by line into batches of about `block_mb` megabytes.

    Where a segment is damaged, its good lines come and a warning follows; with `strict` a SegmentError.
    """

    def __init__(self, *, block_mb: int = 32, max_line_mb: int = 16, strict: bool = False) -> None:
        if block_mb < 1 or max_line_mb < 1:
            raise ConfigError(f"expected block_mb and max_line_mb of at least 1, found {block_mb} and {max_line_mb}")
        self._block_bytes = block_mb * _MB
        self._max_line_bytes = max_line_mb * _MB
        self._strict = strict

    def read(self, input_path: str) -> Iterator[pa.RecordBatch]:
        """Yield batches of LINES from a directory, glob, file or URL, segments in order of their identity."""
        buffer = BlockBuffer()
        for segment in find_segments(input_path):
            try:
                yield from self._read_segment(segment, buffer)
            except SegmentError as error:
                if self._strict:
                    raise
                warnings.warn(f"{error}; its lines up to there were read", stacklevel=2)

    def _read_segment(self, segment: Segment, buffer: BlockBuffer) -> Iterator[pa.RecordBatch]:
        first_line = 1
        for piece in read_blocks(
            Unit(segment), block_bytes=self._block_bytes, max_line_bytes=self._max_line_bytes, buffer=buffer
        ):
            if isinstance(piece, LongLine):
                warnings.warn(
                    f"{segment.url}: line {first_line:,} has {piece.length:,} bytes, more than the limit of "
                    f"{self._max_line_bytes:,}; its raw text is null",
                    stacklevel=3,
                )
                offsets = np.array([piece.offset], np.int64)
                raw = pa.array([None], pa.large_binary())
            else:
                offsets, raw = _lines(piece)
            yield _batch(segment, first_line, offsets, raw)
            first_line += len(raw)


def _lines(block: Block) -> tuple[npt.NDArray[np.int64], pa.Array]:
    data = block.data[: block.size]
    newlines = np.flatnonzero(data == ord("\n"))
    ends = newlines.copy() if data[-1] == ord("\n") else np.append(newlines, block.size)
    starts = np.concatenate([[0], ends[:-1] + 1])
    # Lines and line ends take turns in an array over the block; taking the lines copies them out of it.
    bounds = np.append(np.stack([starts, ends], axis=1).ravel(), block.size)
    pieces = pa.Array.from_buffers(
        pa.large_binary(), 2 * len(starts), [None, pa.py_buffer(bounds), pa.py_buffer(block.data)]
    )
    return starts + block.offset, pieces.take(pa.array(np.arange(0, 2 * len(starts), 2)))


def _batch(segment: Segment, first_line: int, offsets: npt.NDArray[np.int64], raw: pa.Array) -> pa.RecordBatch:
    count = len(raw)
    names = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([segment.identity]))
    lines = pa.array(np.arange(first_line, first_line + count, dtype=np.int64))
    return pa.RecordBatch.from_arrays([names, lines, pa.array(offsets), raw], schema=LINES)
