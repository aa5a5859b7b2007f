"""DuckDB: one typed `read_json` into a table in memory, then rows as Arrow tables."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from tests.benchmarks.parse_sides.arrow_files import store
from tests.benchmarks.sides.duckdb_sql import READ, SELECTS, connect

__all__ = ["parse", "store"]


def parse(segments: Sequence[str]) -> dict[str, pa.Table]:
    """Return the columns of each table."""
    with connect() as connection:
        connection.execute(READ, {"segments": list(segments)})
        return {name: connection.sql(select).to_arrow_table() for name, select in SELECTS.items()}
