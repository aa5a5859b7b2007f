"""Peak resident memory of a worker of this job over a big input, as one plain segment and as one .zst.

    python -m tests.benchmarks.memory [--gb N] [--json FILE] [--markdown FILE]

Ends with exit code 1 if a worker needs more than 1 GB with units of 128 MB.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import zstandard

from etl_ray.sample import SampleOptions, write_sample
from tests.benchmarks.measurement import BYTES_OF_MAXRSS, ROOT
from tests.benchmarks.report import table
from tests.benchmarks.section import Ratio, Section, add_output_options, finish

LIMIT_MB = 1000
UNIT_MB = 128
_SEED_MINUTES = 6.0
_RUN = "from etl_ray.cli import main; main()"


@dataclass(frozen=True)
class Footprint:
    """What one run over one segment needed; `peak_mb` is the largest process of the run."""

    segment: str
    unpacked_mb: float
    peak_mb: float
    cpu_s: float
    wall_s: float


def main() -> int:
    """Write the input, run the job over it in both forms, print a report; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gb", type=float, default=2.0, help="unpacked size of the segment in GB (2)")
    parser.add_argument("--work", type=Path, help="folder for input and outputs (the system's temporary one)")
    add_output_options(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="etl-ray-bench-", dir=arguments.work) as work:
        piece = _piece(Path(work))
        repeats = max(1, round(arguments.gb * 1e9 / len(piece)))
        footprints = [_footprint(piece, repeats, Path(work), suffix=suffix) for suffix in ("", ".zst")]
    return finish(_section(footprints), arguments)


def _piece(work: Path) -> bytes:
    """Return some minutes of a generated recording, to be repeated: each copy is a connection of its own."""
    paths = write_sample(str(work / "piece"), SampleOptions(connections=1, minutes=_SEED_MINUTES)).paths
    return b"".join(Path(path).read_bytes() for path in paths)


def _footprint(piece: bytes, repeats: int, work: Path, *, suffix: str) -> Footprint:
    """Write the segment, run the job over it in a process of its own, remove both; return what it needed."""
    segment = work / f"segment_20251126T23_00001.ndjson{suffix}"
    with segment.open("wb") as raw:
        sink = zstandard.ZstdCompressor(level=1).stream_writer(raw, closefd=False) if suffix else raw
        for _ in range(repeats):
            sink.write(piece)
        sink.close()
    output = work / f"output{suffix}"
    config = work / "config.yaml"
    config.write_text(f"staging: {{unit_mb: {UNIT_MB}}}\n")
    command = [sys.executable, "-c", _RUN, "run", str(segment), str(output), "--engine", "local", "--quiet"]
    command += ["--config", str(config)]
    start_s = time.perf_counter()
    child = subprocess.Popen(command, cwd=ROOT)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"the job ended with exit code {child.returncode} on {segment.name}")
    segment.unlink()
    return Footprint(
        segment=segment.name,
        unpacked_mb=len(piece) * repeats / 1e6,
        peak_mb=usage.ru_maxrss * BYTES_OF_MAXRSS / 1e6,
        cpu_s=usage.ru_utime + usage.ru_stime,
        wall_s=time.perf_counter() - start_s,
    )


def _section(footprints: list[Footprint]) -> Section:
    rows = [
        (
            footprint.segment,
            f"{footprint.peak_mb:.0f}",
            f"{footprint.unpacked_mb:.0f}",
            f"{footprint.cpu_s:.1f}",
            f"{footprint.wall_s:.1f}",
        )
        for footprint in footprints
    ]
    header = ("segment", "peak MB of the largest process", "unpacked MB", "CPU s", "wall s")
    above = [footprint for footprint in footprints if footprint.peak_mb > LIMIT_MB]
    return Section(
        title=f"Memory of a worker: one big segment in units of {UNIT_MB} MB, all channels with books, engine local",
        ratios=[
            Ratio(f"room for a worker: {footprint.segment}", "peak memory, in 1 GB", LIMIT_MB / footprint.peak_mb, 1.0)
            for footprint in footprints
        ],
        text=table(header, rows),
        figures={"footprints": [asdict(footprint) for footprint in footprints]},
        differences=[f"{item.segment}: {item.peak_mb:.0f} MB, above the limit of {LIMIT_MB} MB" for item in above],
    )


if __name__ == "__main__":
    sys.exit(main())
