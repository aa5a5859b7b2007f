"""Segments to partitioned Parquet: this job, the plain way, DuckDB, Polars, pyarrow and Spark, in one run.

    python -m tests.benchmarks.end_to_end [--input DIR] [--mb N] [--runs N] [--codecs raw,gz,zst] [--cores one,all]
        [--peers-venv DIR] [--json FILE] [--markdown FILE]

Ends with exit code 1 if a side does not write the same rows as the plain way.
"""

from __future__ import annotations

import sys

from tests.benchmarks.race import Side
from tests.benchmarks.race_program import RaceProgram, run_program

PROGRAM = RaceProgram(
    doc=__doc__,
    title="Segments to partitioned Parquet",
    package="sides",
    sides={
        "etl_job": Side("etl-ray, engine local"),
        "plain": Side("plain: json.loads, dict per row"),
        "duckdb_sql": Side("DuckDB: read_json, COPY"),
        "polars_lazy": Side("Polars: scan_lines, sink"),
        "pyarrow_json": Side("pyarrow: read_json, write_dataset"),
        "spark_sql": Side("Spark: local mode, read.json, partitionBy", warm_ups=4, stays=True),
        "etl_job_books": Side("etl-ray, engine local, with books"),
        "etl_job_ray": Side("etl-ray, engine ray", stays=True, all_cores_only=True),
    },
    ours={"etl_job": "whole chain", "etl_job_books": "with books", "etl_job_ray": "on Ray"},
    goals={
        ("etl_job", "duckdb_sql"): 2.0,
        ("etl_job", "polars_lazy"): 3.0,
        ("etl_job", "plain"): 15.0,
        ("etl_job_books", "duckdb_sql"): 1.0,
    },
    reference="plain",
    spark="spark_sql",
)

if __name__ == "__main__":
    sys.exit(run_program(PROGRAM))
