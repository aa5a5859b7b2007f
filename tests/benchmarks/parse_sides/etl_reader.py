"""This project by its public classes: `NDJSONReader`, then `RawParser`: all columns, connections included."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from etl_ray import NDJSONReader, RawParser
from tests.benchmarks.columns import COLUMNS
from tests.benchmarks.parse_sides.arrow_files import store

__all__ = ["parse", "store"]


def parse(segments: Sequence[str]) -> dict[str, pa.Table]:
    """Return the columns of each table."""
    batches: dict[str, list[pa.RecordBatch]] = {name: [] for name in COLUMNS}
    lines = NDJSONReader().read(str(Path(segments[0]).parent))
    for batch in RawParser(source="coinbase").process(lines):
        name = batch.schema.metadata[b"etl_ray.table"].decode()
        if name in batches:
            batches[name].append(batch)
    return {name: pa.Table.from_batches(found) for name, found in batches.items()}
