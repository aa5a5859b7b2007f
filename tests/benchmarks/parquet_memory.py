"""Peak resident memory of Parquet to Parquet: ParquetReader, a processor that adds a column, ParquetWriter.

    python -m tests.benchmarks.parquet_memory [--gb N] [--work DIR] [--json FILE] [--markdown FILE]

The input is level2 rows of many products, interleaved, in unpartitioned files; its size is that of the rows in Arrow.
The output is once unpartitioned and once partitioned by product and date, so that every batch touches every partition.
Ends with exit code 1 if a process needs more than 1.5 GB.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from etl_ray.processors.base import BaseProcessor
from etl_ray.readers.parquet import ParquetReader
from etl_ray.tables import LEVEL2, TIME
from etl_ray.writers.parquet import ParquetWriter
from tests.benchmarks.measurement import BYTES_OF_MAXRSS, ROOT
from tests.benchmarks.report import table
from tests.benchmarks.section import Section, add_output_options, finish

LIMIT_MB = 1500
_BATCH_ROWS = 131_072
_PRODUCTS = [f"P{number:02}-USD" for number in range(60)]
_SEGMENTS = [f"segment_20251126T{hour:02}_00001.ndjson" for hour in range(24)]
_START_NS = 1_764_115_200_000_000_000  # 2025-11-26T00:00:00Z
_PARTITIONS = ("product_id", "date")
_RUN = "import sys; from tests.benchmarks.parquet_memory import convert; convert(*sys.argv[1:])"


class AddNotional(BaseProcessor):
    """Adds `notional`, price times quantity."""

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            notional = pc.multiply(batch.column("price"), batch.column("quantity"))
            yield batch.append_column("notional", notional)


@dataclass(frozen=True)
class Footprint:
    """What one run needed; `peak_mb` is the resident memory of its process."""

    decoder: str
    partition_cols: str
    peak_mb: float
    cpu_s: float
    wall_s: float


def convert(decoder: str, source: str, output: str, *partition_cols: str) -> None:
    """Read, add a column, write: the process that is measured."""
    reader = ParquetReader(use_polars=decoder == "polars")
    ParquetWriter().write(AddNotional().process(reader.read(source)), output, partition_cols)


def main() -> int:
    """Write the input, run the four ways over it, print a report; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gb", type=float, default=5.0, help="size of the rows in Arrow, in GB (5)")
    parser.add_argument("--work", type=Path, help="folder for input and outputs (the system's temporary one)")
    add_output_options(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="etl-ray-bench-", dir=arguments.work) as work:
        source = f"{work}/input"
        written = ParquetWriter().write(_rows(arguments.gb * 1e9), source)
        footprints = [
            _footprint(decoder, source, f"{work}/output", partition_cols)
            for decoder in ("polars", "pyarrow")
            for partition_cols in ((), _PARTITIONS)
        ]
    section = _section(footprints, gb=arguments.gb, rows=written.rows, file_mb=written.bytes / 1e6)
    return finish(section, arguments)


def _rows(total_bytes: float) -> Iterator[pa.RecordBatch]:
    rng = np.random.default_rng(20251126)
    size = 0
    line = 0
    while size < total_bytes:
        batch = _batch(rng, line)
        yield batch
        size += batch.nbytes
        line += len(batch)


def _batch(rng: np.random.Generator, line: int) -> pa.RecordBatch:
    count = _BATCH_ROWS
    lines = np.arange(line, line + count)
    ts_server = _START_NS + lines * 1_000_000 + rng.integers(0, 1_000_000, count)
    hour = pa.array((lines // 3_600_000 % 24).astype(np.int32))
    segment = pa.DictionaryArray.from_arrays(hour, pa.array(_SEGMENTS))
    connection = pa.DictionaryArray.from_arrays(hour, pa.array([f"{name}:1" for name in _SEGMENTS]))
    columns = {
        "product_id": _words(rng, _PRODUCTS),
        "date": _words(rng, ["2025-11-26"]),
        "ts_event": pa.array(ts_server - rng.integers(0, 50_000_000, count)).cast(TIME),
        "ts_server": pa.array(ts_server).cast(TIME),
        "ts_capture": pa.array(ts_server + rng.integers(0, 50_000_000, count)).cast(TIME),
        "sequence_num": pa.array(lines // 10),
        "side": _words(rng, ["bid", "ask"]),
        "price": pa.array(np.round(rng.normal(80_000, 500, count), 2)),
        "quantity": pa.array(np.round(rng.random(count), 8)),
        "is_snapshot": pa.array(np.zeros(count, bool)),
        "is_last": pa.array(rng.random(count) < 0.1),
        "connection_id": connection,
        "segment": segment,
        "line": pa.array(lines),
        "event_index": pa.array(np.zeros(count, np.int32)),
        "row_index": pa.array((lines % 10).astype(np.int32)),
    }
    return LEVEL2.batch(columns)


def _words(rng: np.random.Generator, words: list[str]) -> pa.DictionaryArray:
    codes = rng.integers(0, len(words), _BATCH_ROWS).astype(np.int32)
    return pa.DictionaryArray.from_arrays(codes, pa.array(words))


def _footprint(decoder: str, source: str, output: str, partition_cols: tuple[str, ...]) -> Footprint:
    """Convert in a process of its own, remove the output; return what it needed."""
    start_s = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-c", _RUN, decoder, source, output, *partition_cols], cwd=ROOT)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"{decoder} to {partition_cols} ended with exit code {child.returncode}")
    wall_s = time.perf_counter() - start_s
    shutil.rmtree(output)
    return Footprint(
        decoder=decoder,
        partition_cols=", ".join(partition_cols) or "none",
        peak_mb=usage.ru_maxrss * BYTES_OF_MAXRSS / 1e6,
        cpu_s=usage.ru_utime + usage.ru_stime,
        wall_s=wall_s,
    )


def _section(footprints: list[Footprint], *, gb: float, rows: int, file_mb: float) -> Section:
    cells = [
        (
            footprint.decoder,
            footprint.partition_cols,
            f"{footprint.peak_mb:.0f}",
            f"{footprint.cpu_s:.1f}",
            f"{footprint.wall_s:.1f}",
        )
        for footprint in footprints
    ]
    header = ("decoder", "partitioned by", "peak MB", "CPU s", "wall s")
    above = [footprint for footprint in footprints if footprint.peak_mb > LIMIT_MB]
    verdict = "ABOVE" if above else "Within"
    return Section(
        title=f"Memory of Parquet to Parquet: {rows:,} level2 rows, {gb:g} GB in Arrow, {file_mb:.0f} MB in files",
        ratios=[],
        text=f"{verdict} the limit of {LIMIT_MB} MB.\n\n{table(header, cells)}",
        figures={"footprints": [asdict(footprint) for footprint in footprints]},
        differences=[
            f"{item.decoder}, partitioned by {item.partition_cols}: {item.peak_mb:.0f} MB, above {LIMIT_MB} MB"
            for item in above
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
