"""Segments to columns in memory: this project's parser and seven other ways, in one run.

    python -m tests.benchmarks.parse [--input DIR] [--mb N] [--runs N] [--codecs raw,gz,zst] [--cores one,all]
        [--peers-venv DIR] [--json FILE] [--markdown FILE]

Ends with exit code 1 if a side does not find the same rows as the plain way.
"""

from __future__ import annotations

import sys

from tests.benchmarks.race import Side
from tests.benchmarks.race_program import RaceProgram, run_program

PROGRAM = RaceProgram(
    doc=__doc__,
    title="Segments to columns in memory",
    package="parse_sides",
    sides={
        "etl_scan": Side("etl-ray: columns of a block, as the job takes them"),
        "etl_tables": Side("etl-ray: columns of all blocks, kept"),
        "etl_reader": Side("etl-ray: NDJSONReader, RawParser"),
        "json_dicts": Side("plain: json.loads, dict per row"),
        "orjson_columns": Side("orjson: a list per column"),
        "duckdb_tables": Side("DuckDB to tables: read_json"),
        "duckdb_arrow": Side("DuckDB to Arrow: read_json"),
        "polars_frames": Side("Polars: scan_lines, collect_all"),
        "pyarrow_tables": Side("pyarrow: read_json"),
        "spark_frames": Side("Spark: local mode, read.json, cache", warm_ups=4, stays=True),
    },
    ours={
        "etl_scan": "parse block by block",
        "etl_tables": "parse and keep all",
        "etl_reader": "parse by public classes",
    },
    goals={
        ("etl_scan", "duckdb_tables"): 5.0,
        ("etl_scan", "duckdb_arrow"): 5.0,
        ("etl_tables", "duckdb_tables"): 5.0,
        ("etl_tables", "duckdb_arrow"): 5.0,
    },
    reference="json_dicts",
    spark="spark_frames",
)

if __name__ == "__main__":
    sys.exit(run_program(PROGRAM))
