"""The plain way: `json.loads` a line, a dict per row, one Arrow table of the dicts a segment."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from tests.benchmarks.columns import COLUMNS
from tests.benchmarks.parse_sides.arrow_files import store
from tests.benchmarks.sides.plain import columns_of, rows_of

__all__ = ["parse", "store"]


def parse(segments: Sequence[str]) -> dict[str, pa.Table]:
    """Return the columns of each table."""
    found: dict[str, list[pa.Table]] = {name: [] for name in COLUMNS}
    for segment in segments:
        for name, rows in rows_of(segment).items():
            if rows:
                found[name].append(columns_of(rows))
    return {name: pa.concat_tables(tables, promote_options="permissive") for name, tables in found.items()}
