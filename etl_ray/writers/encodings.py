"""How columns are encoded in Parquet: chosen for cheap writing first, small files second, by measurement.

`python -m tests.benchmarks.encodings` measures every choice that there is. What it showed:

- Values that a message gives to all of its rows come in runs, which zstd finds cheaper than the delta encoding;
  elsewhere deltas cost less and are smaller.
- A dictionary of numbers pays only for the prices of `level2`; elsewhere hashing costs more than it saves.
- LZ4 would save a seventh of the time of zstd at level 1, but files would be a seventh larger; they are kept for long.
- Looking at 1,024 values at a time, as the library does unless it is told, costs a fourth of the time of words.

Byte stream split is out of the question: Spark before version 4 cannot read it.
"""

from __future__ import annotations

from typing import TypedDict

import pyarrow as pa
import pyarrow.types as pat

_ROWS_PER_PAGE = 65_536  # what a reader can skip by the page index
_ROWS_AT_ONCE = 16_384
_TEXTS_AT_ONCE = 1_024  # only behind these does the library look how large its page has become: texts may be any size

_RUNS = "level2"  # the table whose messages have many rows
_REPEATING = "price"  # numbers of that table, which come back often enough for a dictionary


class WriterOptions(TypedDict):
    """Arguments of pyarrow's ParquetWriter."""

    compression: str
    compression_level: int
    use_dictionary: list[str]
    column_encoding: dict[str, str]
    write_page_index: bool
    write_batch_size: int
    max_rows_per_page: int
    version: str


def writer_options(schema: pa.Schema) -> WriterOptions:
    """Return the options with which a table of this schema is written."""
    has_runs = (schema.metadata or {}).get(b"etl_ray.table") == _RUNS.encode()
    counting = [field.name for field in schema if _is_counting(field.type)]
    return WriterOptions(
        compression="zstd",
        compression_level=1,
        use_dictionary=[
            field.name for field in schema if _is_naming(field.type) or (has_runs and field.name == _REPEATING)
        ],
        column_encoding={} if has_runs else dict.fromkeys(counting, "DELTA_BINARY_PACKED"),
        write_page_index=True,
        write_batch_size=_ROWS_AT_ONCE if all(_is_small(field.type) for field in schema) else _TEXTS_AT_ONCE,
        max_rows_per_page=_ROWS_PER_PAGE,
        version="2.6",
    )


def _is_counting(kind: pa.DataType) -> bool:
    """Tell whether values are counters, places or times."""
    return bool(pat.is_integer(kind) or pat.is_timestamp(kind))


def _is_naming(kind: pa.DataType) -> bool:
    """Tell whether values are words or days, of which there are few."""
    is_number = _is_counting(kind) or pat.is_floating(kind) or pat.is_decimal(kind) or pat.is_boolean(kind)
    return not is_number and not pat.is_binary(kind)


def _is_small(kind: pa.DataType) -> bool:
    """Tell whether values are of one size, or words of a dictionary."""
    return bool(pat.is_primitive(kind) or pat.is_decimal(kind) or pat.is_dictionary(kind))
