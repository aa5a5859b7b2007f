"""This project, as its job parses: blocks of segments, the scanner, columns of the three tables.

The columns are all that the job makes of a line, so some more than the other sides make.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import pyarrow as pa

from etl_ray.readers.blocks import Block, BlockBuffer, read_blocks
from etl_ray.readers.segments import Unit, find_segments
from etl_ray.scan import LineParser
from etl_ray.venues import VENUES
from tests.benchmarks.columns import COLUMNS
from tests.benchmarks.parse_sides.arrow_files import store

__all__ = ["parse", "store"]

BLOCK_BYTES = 32_000_000
MAX_LINE_BYTES = 16_000_000
_VENUE = VENUES["coinbase"]


@lru_cache(maxsize=1)
def _worker() -> tuple[LineParser, BlockBuffer]:
    """Return what a worker allocates once."""
    return LineParser(_VENUE, "float64", block_bytes=BLOCK_BYTES, exact=False), BlockBuffer()


def parse(segments: Sequence[str]) -> dict[str, pa.Table]:
    """Return the columns of each table."""
    parser, buffer = _worker()
    batches: dict[str, list[pa.RecordBatch]] = {name: [] for name in COLUMNS}
    for segment in find_segments(*segments):
        parser.begin_unit()
        for block in read_blocks(Unit(segment), block_bytes=BLOCK_BYTES, max_line_bytes=MAX_LINE_BYTES, buffer=buffer):
            if not isinstance(block, Block):
                raise ValueError(f"{segment.url}: a line of {block.length:,} bytes")
            for parsed in parser.parse(block.data, block.size, block.offset):
                for name, found in batches.items():
                    if name in parsed.rows:
                        columns = _VENUE.assemble[name](parsed.rows[name])
                        found.append(pa.RecordBatch.from_pydict(columns))
    return {name: pa.Table.from_batches(found) for name, found in batches.items()}
