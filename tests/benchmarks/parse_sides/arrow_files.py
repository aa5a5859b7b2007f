"""How sides that end in Arrow tables keep them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def store(parsed: Mapping[str, pa.Table], output: str) -> None:
    """Write each table to a file below `output`."""
    for name, columns in parsed.items():
        folder = Path(output, name)
        folder.mkdir()
        pq.write_table(columns, folder / "rows.parquet", compression="none")
