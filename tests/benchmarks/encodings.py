"""Encodings and codecs of Parquet by column, on the tables that the job makes: what `writers/encodings.py` goes by.

    python -m tests.benchmarks.encodings [--input DIR] [--minutes N] [--tables A,B] [--runs N] [--json F] [--markdown F]

Takes the tables of a recording (`--input`) and of a generated one that have enough rows, writes every column in every
sensible way into memory and reads it back: bits a row, and CPU time of one core. Then whole tables: as pyarrow writes
them unless it is told, as this project does, and with what was best for each column. Ends with exit code 1 if what is
read is not what was written.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pat

from etl_ray.config import JobConfig
from etl_ray.job import ETLJob
from etl_ray.progress import choose_progress
from etl_ray.sample import SampleOptions, write_sample
from etl_ray.tables import TABLES
from etl_ray.writers.encodings import writer_options
from tests.benchmarks.report import table, versions

DICTIONARY, PLAIN, RLE = "DICTIONARY", "PLAIN", "RLE"
DELTA, SPLIT = "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"
TEXT_LENGTHS, TEXTS = "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"
CODECS: dict[str, tuple[str, int | None]] = {
    "zstd 1": ("zstd", 1),
    "zstd 3": ("zstd", 3),
    "lz4": ("lz4", None),
    "none": ("none", None),
}
NOT_FOR_SPARK = {SPLIT}
"""What Spark 3.5 cannot read."""
NS_PER_BIT = 1.0
"""What a bit may cost: at 125 MB/s, as over a network of 1 Gbit/s, it takes as long to send."""
ROWS_PER_GROUP = 262_144
CONFIG = JobConfig.model_validate(
    {"engine": "local", "derived": {"bars": ["1s", "tick:100"], "trades_with_book": True, "features": "1s"}}
)


Result = TypeVar("Result")


@dataclass(frozen=True)
class Way:
    """An encoding and a codec (a key of CODECS)."""

    encoding: str
    codec: str


@dataclass(frozen=True)
class Cost:
    """What a way costs a row."""

    bits: float
    write_ns: float
    read_ns: float

    @property
    def total(self) -> float:
        """Writing first, size second, in ns."""
        return self.write_ns + NS_PER_BIT * self.bits


class MismatchError(Exception):
    """What was read is not what was written."""


def main() -> int:
    """Measure, print a report, and return the exit code."""
    arguments = _arguments()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    pa.set_cpu_count(1)
    sections = [f"### Encodings; {', '.join(f'{name} {version}' for name, version in versions().items())}"]
    figures: dict[str, object] = {}
    try:
        with tempfile.TemporaryDirectory(prefix="etl-ray-bench-", dir=arguments.work) as work:
            for source, segments in _recordings(arguments.input, arguments.minutes, Path(work)):
                output = Path(work) / f"tables-{source}"
                ETLJob(segments, str(output), config=CONFIG, progress=choose_progress(True, sys.stderr)).process_all()
                for name, parts in _tables(output, arguments.tables, arguments.least_rows):
                    print(f"{source}: {name}", file=sys.stderr, flush=True)
                    text, found = _measured(name, source, parts, arguments.runs)
                    sections.append(text)
                    figures[f"{source}: {name}"] = found
    except MismatchError as error:
        print(error, file=sys.stderr)
        return 1
    report = "\n\n".join(sections)
    print(report)
    if arguments.markdown:
        arguments.markdown.write_text(report + "\n")
    if arguments.json:
        arguments.json.write_text(json.dumps({"versions": versions(), "tables": figures}, indent=1) + "\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, help="folder of recorded segments, measured beside the generated ones")
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="length of the generated recording (10), 0 for none"
    )
    parser.add_argument("--tables", type=lambda text: text.split(","), default=list(TABLES), help="only these")
    parser.add_argument("--least-rows", type=int, default=1_000, help="tables of fewer rows are left out (1000)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each way (3)")
    parser.add_argument("--work", type=Path, help="folder for recordings and tables (the system's temporary one)")
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--markdown", type=Path, help="file for the report")
    return parser.parse_args()


def _recordings(source: Path | None, minutes: float, work: Path) -> Iterator[tuple[str, str]]:
    if source is not None:
        yield source.name, str(source)
    if minutes:
        write_sample(str(work / "generated"), SampleOptions(minutes=minutes))
        yield "generated", str(work / "generated")


def _tables(output: Path, names: Sequence[str], least_rows: int) -> Iterator[tuple[str, list[pa.Table]]]:
    """Yield the name of each table with the rows of its files."""
    for name in names:
        parts = [pq.ParquetFile(path).read() for path in sorted((output / name).rglob("*.parquet"))]
        if sum(map(len, parts)) >= least_rows:
            yield name, parts


def _measured(name: str, source: str, parts: list[pa.Table], runs: int) -> tuple[str, dict[str, object]]:
    """Return the report of a table and its figures."""
    rows = sum(map(len, parts))
    columns: dict[str, dict[Way, Cost]] = {}
    for field in parts[0].schema:
        ways = [Way(encoding, codec) for encoding in encodings(field.type) for codec in CODECS]
        costs = _by_turns(
            [part.select([field.name]) for part in parts], [options({field.name: way}) for way in ways], runs
        )
        columns[field.name] = dict(zip(ways, costs, strict=True))
    best = {column: _best(costs, SPLIT) for column, costs in columns.items()}
    best_in_spark = {column: _best(costs) for column, costs in columns.items()}
    settings = {
        "pyarrow, unless it is told": {},
        "this project": dict(writer_options(parts[0].schema)),
        "best by column": options(best_in_spark),
        "best by column, not for Spark 3.5": options(best),
    }
    whole = dict(zip(settings, _by_turns(parts, list(settings.values()), runs), strict=True))
    text = "\n\n".join(
        (
            f"#### {name}, {source}: {rows:,} rows in {len(parts)} files",
            _of_tables(whole),
            _of_columns(columns, best_in_spark),
        )
    )
    figures = {
        "rows": rows,
        "whole": {what: asdict(cost) for what, cost in whole.items()},
        "columns": {
            column: {f"{way.encoding}, {way.codec}": asdict(cost) for way, cost in costs.items()}
            for column, costs in columns.items()
        },
    }
    return text, figures


def encodings(kind: pa.DataType) -> tuple[str, ...]:
    """Return the encodings that make sense for a type."""
    if pat.is_dictionary(kind):
        return (DICTIONARY, PLAIN)
    if pat.is_boolean(kind):
        return (PLAIN, RLE)
    if pat.is_floating(kind):
        return (DICTIONARY, PLAIN, SPLIT)
    if pat.is_decimal(kind):
        return (DICTIONARY, PLAIN, SPLIT, TEXTS)
    if pat.is_integer(kind) or pat.is_timestamp(kind):
        return (DICTIONARY, PLAIN, DELTA, SPLIT)
    return (DICTIONARY, PLAIN, TEXT_LENGTHS, TEXTS)


def options(ways: Mapping[str, Way]) -> dict[str, object]:
    """Return the arguments of pyarrow's writer for columns, with this project's pages and statistics."""
    own = writer_options(pa.schema([]))
    codecs = {column: CODECS[way.codec] for column, way in ways.items()}
    return {
        **own,
        "use_dictionary": [column for column, way in ways.items() if way.encoding == DICTIONARY],
        "column_encoding": {column: way.encoding for column, way in ways.items() if way.encoding != DICTIONARY},
        "compression": {column: codec for column, (codec, _) in codecs.items()},
        "compression_level": {column: level for column, (_, level) in codecs.items() if level is not None} or None,
    }


def _best(costs: Mapping[Way, Cost], *allowed: str) -> Way:
    known = [way for way in costs if way.encoding not in NOT_FOR_SPARK or way.encoding in allowed]
    return min(known, key=lambda way: costs[way].total)


def _by_turns(parts: list[pa.Table], settings: Sequence[Mapping[str, object]], runs: int) -> list[Cost]:
    """Write and read with each of the settings in turn, `runs` times; return the medians."""
    rows = sum(map(len, parts))
    writing: list[list[float]] = [[] for _ in settings]
    reading: list[list[float]] = [[] for _ in settings]
    sizes = [0] * len(settings)
    for run in range(runs):
        for index, setting in enumerate(settings):
            write_s, files = _timed(lambda setting=setting: [_write(part, setting) for part in parts])
            read_s, found = _timed(lambda files=files: [pq.ParquetFile(file).read(use_threads=False) for file in files])
            if run == 0 and not all(part.equals(read) for part, read in zip(parts, found, strict=True)):
                raise MismatchError(f"{parts[0].column_names}: what is read is not what was written with {setting}")
            writing[index].append(write_s)
            reading[index].append(read_s)
            sizes[index] = sum(file.size for file in files)
    return [
        Cost(8 * size / rows, 1e9 * median(write_s) / rows, 1e9 * median(read_s) / rows)
        for size, write_s, read_s in zip(sizes, writing, reading, strict=True)
    ]


def _write(rows: pa.Table, setting: Mapping[str, object]) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, rows.schema, **setting) as writer:
        writer.write_table(rows, row_group_size=ROWS_PER_GROUP)
    return sink.getvalue()


def _timed(work: Callable[[], Result]) -> tuple[float, Result]:
    started_s = time.process_time()
    result = work()
    return time.process_time() - started_s, result


def _of_tables(whole: Mapping[str, Cost]) -> str:
    base = next(iter(whole.values()))
    rows = [
        (
            what,
            f"{1e3 / cost.write_ns:.2f}",
            f"{base.write_ns / cost.write_ns:.2f}",
            f"{cost.bits / 8:.2f}",
            f"{cost.bits / base.bits:.2f}",
            f"{1e3 / cost.read_ns:.2f}",
        )
        for what, cost in whole.items()
    ]
    return table(("", "M rows/s written", "times", "bytes a row", "share", "M rows/s read"), rows)


def _of_columns(columns: Mapping[str, Mapping[Way, Cost]], best: Mapping[str, Way]) -> str:
    """Return a line for each column and encoding: bits a row / ns to write a row / ns to read it, by codec."""
    rows = []
    for column, costs in columns.items():
        for encoding in dict.fromkeys(way.encoding for way in costs):
            found = [(codec, costs[Way(encoding, codec)]) for codec in CODECS]
            cells = [f"{cost.bits:.2f} / {cost.write_ns:.1f} / {cost.read_ns:.1f}" for _, cost in found]
            marks = ["*" if best[column] == Way(encoding, codec) else "" for codec, _ in found]
            rows.append((f"{column}, {encoding}", *(cell + mark for cell, mark in zip(cells, marks, strict=True))))
    return table(("bits / ns to write / ns to read, a row", *CODECS), rows)


if __name__ == "__main__":
    sys.exit(main())
