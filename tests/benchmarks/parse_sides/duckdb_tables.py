"""DuckDB: one typed `read_json` into a table in memory, then a table of rows for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb

from tests.benchmarks.sides.duckdb_sql import READ, SELECTS, connect


def parse(segments: Sequence[str]) -> duckdb.DuckDBPyConnection:
    """Return a connection that has the tables."""
    connection = connect()
    connection.execute(READ, {"segments": list(segments)})
    for name, select in SELECTS.items():
        connection.execute(f"CREATE TABLE {name} AS {select}")
    return connection


def store(parsed: duckdb.DuckDBPyConnection, output: str) -> None:
    """Write each table to a file below `output`."""
    for name in SELECTS:
        Path(output, name).mkdir()
        parsed.execute(f"COPY {name} TO '{output}/{name}/rows.parquet' (FORMAT parquet)")
