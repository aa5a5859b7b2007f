"""What this machine can do at best on one core, in the terms of the job: the yardstick of its profile.

    python -m tests.benchmarks.limits [--input DIR] [--mb N] [--json FILE] [--markdown FILE]

Each figure is the least of several runs, on buffers that have been touched before.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from isal import isal_zlib

from etl_ray.writers.encodings import writer_options
from tests.benchmarks.columns import COLUMNS
from tests.benchmarks.inputs import make_input
from tests.benchmarks.measurement import pin_to_one_core
from tests.benchmarks.report import table
from tests.benchmarks.section import Section, add_output_options, finish
from tests.benchmarks.sides.etl_job import convert

_TRIES = 5
_GZIP_LEVEL, _ZSTD_LEVEL = 6, 3
_GZIP_WINDOW = 31


@dataclass(frozen=True)
class Limit:
    """Something done alone: to how many megabytes of what, in how many CPU seconds (wall for the disk)."""

    name: str
    of: str
    mb: float
    seconds: float

    @property
    def mb_per_s(self) -> float:
        """Return the rate."""
        return self.mb / self.seconds


def main() -> int:
    """Measure, print a report; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, help="folder of recorded segments; without it they are generated")
    parser.add_argument("--mb", type=float, default=100.0, help="size of the generated input in MB (100)")
    add_output_options(parser)
    arguments = parser.parse_args()
    pin_to_one_core()
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    with tempfile.TemporaryDirectory(prefix="etl-ray-bench-") as work:
        source = make_input(arguments.input, arguments.mb, Path(work))
        convert(source.segments, f"{work}/output")
        found = measure_limits(source.segments, Path(work, "output"))
    return finish(
        Section(
            title=f"What one core can do: {source.source}, {source.mb:.1f} MB",
            ratios=[],
            text=limit_table(found),
            figures={"limits": [asdict(limit) for limit in found]},
        ),
        arguments,
    )


def limit_table(limits: Sequence[Limit]) -> str:
    """Return limits as Markdown."""
    rows = [(item.name, item.of, f"{item.mb:.1f}", f"{item.seconds:.4f}", f"{item.mb_per_s:,.0f}") for item in limits]
    return table(("alone, on one core", "of", "MB", "s", "MB/s"), rows)


def measure_limits(segments: Sequence[str], output: Path) -> list[Limit]:
    """Return what it takes to do nothing but one thing to `segments`, or to the tables of a run in `output`."""
    return [*_of_input(segments), *_of_output(output)]


def _of_input(segments: Sequence[str]) -> list[Limit]:
    plain = [Path(segment).read_bytes() for segment in segments]
    mb = sum(map(len, plain)) / 1e6
    memory = bytearray(max(map(len, plain)))
    target = np.frombuffer(memory, np.uint8)
    arrays = [np.frombuffer(data, np.uint8) for data in plain]
    zstd_packed = [zstandard.compress(data, _ZSTD_LEVEL) for data in plain]
    gzip_packed = [gzip.compress(data, _GZIP_LEVEL) for data in plain]

    def copy() -> None:
        for array in arrays:
            np.copyto(target[: len(array)], array)

    def read() -> None:
        view = memoryview(memory)
        for segment in segments:
            with Path(segment).open("rb", buffering=0) as file:
                file.readinto(view)

    def unpack_zstd() -> None:
        for data in zstd_packed:
            with zstandard.ZstdDecompressor().stream_reader(data) as unpacked:
                unpacked.readinto(memory)

    def unpack_gzip() -> None:
        for data in gzip_packed:
            isal_zlib.decompress(data, _GZIP_WINDOW)

    raw = "raw input"
    return [
        Limit("copy in memory", raw, mb, _least(copy)),
        Limit("read files that the system has in memory", raw, mb, _least(read)),
        Limit("unpack zstd into a buffer that stays", raw, mb, _least(unpack_zstd)),
        Limit("unpack gzip with isal", raw, mb, _least(unpack_gzip)),
    ]


def _of_output(output: Path) -> list[Limit]:
    paths = [path for name in COLUMNS for path in sorted((output / name).rglob("*.parquet"))]
    files = [path.read_bytes() for path in paths]
    tables = [pq.ParquetFile(path).read() for path in paths]
    columns_mb = sum(rows.nbytes for rows in tables) / 1e6
    files_mb = sum(map(len, files)) / 1e6
    buffers = [buffer for rows in tables for column in rows.columns for buffer in _buffers(column)]
    buffers_mb = sum(buffer.size for buffer in buffers) / 1e6

    def write(options_of: Callable[[pa.Schema], dict[str, object]]) -> Callable[[], None]:
        def run() -> None:
            for rows in tables:
                with pq.ParquetWriter(pa.MockOutputStream(), rows.schema, **options_of(rows.schema)) as writer:
                    writer.write_table(rows)

        return run

    options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)

    def stream(rows: pa.Table) -> pa.Buffer:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema, options=options) as writer:
            writer.write_table(rows)
        return sink.getvalue()

    streams = [stream(rows) for rows in tables]

    def write_streams() -> None:
        for rows in tables:
            stream(rows)

    def read_streams() -> None:
        for data in streams:
            pa.ipc.open_stream(data).read_all()

    def read() -> None:
        for data in files:
            pq.ParquetFile(io.BytesIO(data)).read()

    def compress() -> None:
        for buffer in buffers:
            pa.Codec("zstd", 1).compress(buffer)

    def digest() -> None:
        for data in files:
            hashlib.sha256(data).digest()

    def store() -> None:
        for number, data in enumerate(files):
            with Path(output, f"limit-{number}").open("wb") as file:
                file.write(data)
                os.fsync(file.fileno())

    columns, stored = "columns of the final tables", "final files"
    return [
        Limit(
            "Parquet, settings of the job",
            columns,
            columns_mb,
            _least(write(lambda schema: dict(writer_options(schema)))),
        ),
        Limit("Parquet, pyarrow's defaults with zstd 1", columns, columns_mb, _least(write(_defaults))),
        Limit("read the final files", columns, columns_mb, _least(read)),
        Limit("Arrow stream with LZ4, write", columns, columns_mb, _least(write_streams)),
        Limit("Arrow stream with LZ4, read", columns, columns_mb, _least(read_streams)),
        Limit("zstd, level 1", "buffers of the final tables", buffers_mb, _least(compress)),
        Limit("SHA-256", stored, files_mb, _least(digest)),
        Limit("write and fsync, wall time", stored, files_mb, _least(store, clock=time.perf_counter)),
    ]


def _defaults(schema: pa.Schema) -> dict[str, object]:
    return {"compression": "zstd", "compression_level": 1}


def _buffers(column: pa.ChunkedArray) -> list[pa.Buffer]:
    return [buffer for chunk in column.chunks for buffer in chunk.buffers() if buffer is not None]


def _least(action: Callable[[], None], *, clock: Callable[[], float] = time.process_time) -> float:
    """Return the seconds of the fastest of several runs, the first of which warms up."""
    taken = []
    for _ in range(_TRIES):
        began_s = clock()
        action()
        taken.append(clock() - began_s)
    return min(taken[1:])


if __name__ == "__main__":
    sys.exit(main())
