"""This project, as its job parses: blocks of segments, the scanner, columns of a block, which the next block replaces.

The columns are all that the job makes of a line, so some more than the other sides make; none are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from etl_ray.readers.blocks import Block, BlockBuffer, read_blocks
from etl_ray.readers.segments import Unit, find_segments
from etl_ray.scan import LineParser
from etl_ray.venues import VENUES
from tests.benchmarks.columns import COLUMNS

BLOCK_BYTES = 32_000_000
MAX_LINE_BYTES = 16_000_000
_VENUE = VENUES["coinbase"]


def parse(segments: Sequence[str]) -> list[str]:
    """Make the columns of each table; return the segments, so that they can be kept."""
    for _ in batches(segments, own=False):
        pass
    return list(segments)


def store(parsed: Sequence[str], output: str) -> None:
    """Parse once more, and write each batch to a file below `output` before the next."""
    with ExitStack() as stack:
        writers: dict[str, pq.ParquetWriter] = {}
        for name, batch in batches(parsed, own=False):
            if name not in writers:
                folder = Path(output, name)
                folder.mkdir()
                writers[name] = stack.enter_context(pq.ParquetWriter(folder / "rows.parquet", batch.schema))
            writers[name].write_batch(batch)


def batches(segments: Sequence[str], *, own: bool) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield tables and their columns; without `own` they are valid until the next block is asked for."""
    parser, buffer = _worker(own)
    for segment in find_segments(*segments):
        parser.begin_unit()
        blocks = read_blocks(Unit(segment), block_bytes=BLOCK_BYTES, max_line_bytes=MAX_LINE_BYTES, buffer=buffer)
        for block in blocks:
            if not isinstance(block, Block):
                raise ValueError(f"{segment.url}: expected lines of at most {MAX_LINE_BYTES:,} bytes")
            for parsed in parser.parse(block.data, block.size, block.offset):
                for name in COLUMNS:
                    if name in parsed.rows:
                        yield name, pa.RecordBatch.from_pydict(_VENUE.assemble[name](parsed.rows[name]))


@lru_cache(maxsize=1)
def _worker(own: bool) -> tuple[LineParser, BlockBuffer]:
    """Return what a worker allocates once."""
    return LineParser(_VENUE, "float64", block_bytes=BLOCK_BYTES, own=own, exact=False), BlockBuffer()
