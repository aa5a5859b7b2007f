"""How large the files are that a side has written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from tests.benchmarks.columns import COLUMNS
from tests.benchmarks.race import Side
from tests.benchmarks.report import table


@dataclass(frozen=True)
class OutputSize:
    """The files of the three tables; `compared_bytes` are those of the columns alone that all sides write."""

    files: int
    bytes: int
    compared_bytes: Mapping[str, int]


def output_size(output: str) -> OutputSize:
    """Return the size of what is below `output`."""
    paths = {name: sorted(Path(output, name).rglob("*.parquet")) for name in COLUMNS}
    return OutputSize(
        files=sum(len(found) for found in paths.values()),
        bytes=sum(path.stat().st_size for found in paths.values() for path in found),
        compared_bytes={name: sum(_compared(path, name) for path in found) for name, found in paths.items()},
    )


def _compared(path: Path, name: str) -> int:
    metadata = pq.ParquetFile(path).metadata
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    chunks = [group.column(index) for group in groups for index in range(group.num_columns)]
    return sum(chunk.total_compressed_size for chunk in chunks if chunk.path_in_schema in COLUMNS[name])


def size_table(sizes: Mapping[str, OutputSize], sides: Mapping[str, Side]) -> str:
    """Return sizes as Markdown, in megabytes."""
    rows = [
        (
            sides[side].name,
            f"{sum(size.compared_bytes.values()) / 1e6:.2f}",
            *(f"{size.compared_bytes[name] / 1e6:.2f}" for name in COLUMNS),
            f"{size.bytes / 1e6:.2f}",
            f"{size.files:,}",
        )
        for side, size in sizes.items()
    ]
    header = ("", "MB of the compared columns", *(f"{name}" for name in COLUMNS), "MB of whole files", "files")
    return table(header, rows)
