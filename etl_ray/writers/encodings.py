"""How columns are encoded in Parquet.

By measurement on level rows: dictionaries pay where values repeat (names, prices), byte stream split for other floats,
deltas for times and counters; zstd level 1 leaves little for higher levels. Half the size of the library's defaults.
"""

from __future__ import annotations

from typing import TypedDict

import pyarrow as pa

REPEATING = frozenset({"price", "best_bid", "best_ask", "low_24h", "high_24h", "low_52w", "high_52w"})


class WriterOptions(TypedDict):
    """Arguments of pyarrow's ParquetWriter."""

    compression: str
    compression_level: int
    use_dictionary: list[str]
    column_encoding: dict[str, str]
    write_page_index: bool
    version: str


def writer_options(schema: pa.Schema) -> WriterOptions:
    """Return the options with which a table of this schema is written."""
    dictionary: list[str] = []
    encoding: dict[str, str] = {}
    for field in schema:
        kind = field.type
        if pa.types.is_integer(kind) or pa.types.is_timestamp(kind):
            encoding[field.name] = "DELTA_BINARY_PACKED"
        elif pa.types.is_floating(kind) and field.name not in REPEATING:
            encoding[field.name] = "BYTE_STREAM_SPLIT"
        elif not pa.types.is_boolean(kind) and not pa.types.is_binary(kind):
            dictionary.append(field.name)
    return WriterOptions(
        compression="zstd",
        compression_level=1,
        use_dictionary=dictionary,
        column_encoding=encoding,
        write_page_index=True,
        version="2.6",
    )
