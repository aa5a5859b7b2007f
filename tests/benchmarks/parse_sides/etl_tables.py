"""This project, as its job parses, but all columns are kept: the memory is fresh, and has to be asked of the system."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from tests.benchmarks.columns import COLUMNS
from tests.benchmarks.parse_sides.arrow_files import store
from tests.benchmarks.parse_sides.etl_scan import batches

__all__ = ["parse", "store"]


def parse(segments: Sequence[str]) -> dict[str, pa.Table]:
    """Return the columns of each table."""
    found: dict[str, list[pa.RecordBatch]] = {name: [] for name in COLUMNS}
    for name, batch in batches(segments, own=True):
        found[name].append(batch)
    return {name: pa.Table.from_batches(parts) for name, parts in found.items()}
