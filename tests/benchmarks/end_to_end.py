"""Segments to partitioned Parquet on one core: this job, the plain way, DuckDB and Polars, in one run.

    python -m tests.benchmarks.end_to_end [--input DIR] [--mb N] [--runs N] [--json FILE] [--markdown FILE]

Ends with exit code 1 if a side does not write the same rows as the plain way.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from etl_ray.sample import SampleOptions, write_sample
from tests.benchmarks.agreement import Fingerprint, differences, fingerprint
from tests.benchmarks.columns import COLUMNS
from tests.benchmarks.inputs import unpack
from tests.benchmarks.measurement import Run, measure
from tests.benchmarks.report import spread, table, versions

SIDES = {
    "etl_job": "etl-ray, engine local",
    "plain": "plain: json.loads, dict per row",
    "duckdb_sql": "DuckDB: read_json, COPY",
    "polars_lazy": "Polars: scan_lines, sink",
}
"""Modules of `sides` and their names in the report; each round runs them in this order."""

MB_PER_MINUTE = 10.2
"""About what the generator writes with its default products and rate."""


def main() -> int:
    """Measure, compare the outputs, print a report; return the exit code."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="etl-ray-bench-", dir=arguments.work) as work:
        segments = _segments(arguments.input, arguments.mb, Path(work))
        size_mb = sum(Path(segment).stat().st_size for segment in segments) / 1e6
        runs, prints = _measure_all(segments, Path(work), runs=arguments.runs, sides=arguments.sides)
    found = _differences(prints)
    source = arguments.input.name if arguments.input else "generated"
    title = f"Segments to partitioned Parquet: {size_mb:.1f} MB in {len(segments)} segments ({source}), one core"
    text = "\n\n".join((f"### {title}", _agreement(prints, found), _ratios(runs), _figures(runs, size_mb)))
    print(text)
    if arguments.markdown:
        arguments.markdown.write_text(text + "\n")
    if arguments.json:
        figures = {side: [asdict(run) for run in measured] for side, measured in runs.items()}
        result = {"mb": size_mb, "versions": versions(), "runs": figures, "differences": found}
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    return 1 if any(found.values()) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, help="folder of recorded segments; without it they are generated")
    parser.add_argument("--mb", type=float, default=100.0, help="size of the generated input in MB (100)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each side (3)")
    parser.add_argument("--sides", type=lambda text: text.split(","), default=list(SIDES), help="only these, in order")
    parser.add_argument("--work", type=Path, help="folder for input and outputs (the system's temporary one)")
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--markdown", type=Path, help="file for the report")
    return parser.parse_args()


def _segments(source: Path | None, mb: float, work: Path) -> list[str]:
    if source is not None:
        return unpack(source, work / "input")
    # One connection: later ones come in shapes that the other sides' typed readers are not written for.
    options = SampleOptions(connections=1, minutes=mb / MB_PER_MINUTE)
    return list(write_sample(str(work / "input"), options).paths)


def _measure_all(
    segments: Sequence[str], work: Path, *, runs: int, sides: Sequence[str]
) -> tuple[dict[str, list[Run]], dict[str, dict[str, Fingerprint]]]:
    """Run all sides in turn, `runs` times; take the fingerprints of what the first round wrote."""
    measured: dict[str, list[Run]] = {side: [] for side in sides}
    prints: dict[str, dict[str, Fingerprint]] = {}
    for number in range(runs):
        for side in sides:
            output = str(work / side)
            run = measure(side, segments, output)
            measured[side].append(run)
            if side not in prints:
                prints[side] = {name: fingerprint(output, name) for name in COLUMNS}
            print(f"run {number + 1}/{runs} {side}: {run.cpu_s:.2f} s", file=sys.stderr, flush=True)
    return measured, prints


def _differences(prints: Mapping[str, Mapping[str, Fingerprint]]) -> dict[str, list[str]]:
    """Return by side what differs from the reference: the plain way, or the first side if that was left out."""
    reference = prints[_reference(prints)]
    return {
        side: [f"{name}: {text}" for name in COLUMNS for text in differences(reference[name], found[name])]
        for side, found in prints.items()
    }


def _reference(sides: Mapping[str, object]) -> str:
    return "plain" if "plain" in sides else next(iter(sides))


def _agreement(prints: Mapping[str, Mapping[str, Fingerprint]], found: Mapping[str, Sequence[str]]) -> str:
    reference = prints[_reference(prints)]
    rows = ", ".join(f"{name} {reference[name].rows:,}" for name in COLUMNS)
    differing = [
        f"- {side} differs from {_reference(prints)}: {text}" for side, texts in found.items() for text in texts
    ]
    if differing:
        return "\n".join((f"Rows: {rows}.", *differing))
    return f"Rows: {rows}; in all outputs the same, by count and by checksum over all compared columns."


def _ratios(runs: Mapping[str, Sequence[Run]]) -> str:
    if "etl_job" not in runs:
        return "Without this job."
    own = median(run.cpu_s for run in runs["etl_job"])
    ratios = [
        f"{median(run.cpu_s for run in measured) / own:.1f} times {SIDES[side].partition(':')[0]}"
        for side, measured in runs.items()
        if side != "etl_job"
    ]
    return f"This job's speed by CPU time: {', '.join(ratios) or 'nothing to compare with'}."


def _figures(runs: Mapping[str, Sequence[Run]], size_mb: float) -> str:
    reference = _reference(runs)
    base_cpu_s = median(run.cpu_s for run in runs[reference])
    base_wall_s = median(run.wall_s for run in runs[reference])
    rows = [
        (
            SIDES[side],
            f"{base_cpu_s / median(run.cpu_s for run in measured):.2f}",
            f"{base_wall_s / median(run.wall_s for run in measured):.2f}",
            spread([size_mb / run.cpu_s for run in measured], 0),
            spread([run.cpu_s for run in measured], 2),
            spread([run.wall_s for run in measured], 2),
            f"{max(run.peak_mb for run in measured):.0f}",
        )
        for side, measured in runs.items()
    ]
    header = ("", f"× {reference}, CPU", f"× {reference}, wall", "MB/s of CPU", "CPU s", "wall s", "peak MB")
    return table(header, rows)


if __name__ == "__main__":
    sys.exit(main())
