"""All benchmarks in one run: this project and its peers on the same generated and recorded segments.

    python -m tests.benchmarks [--quick] [--input DIR] [--peers-venv DIR] [--only A,B] [--json FILE] [--markdown FILE]

A report with ratios first, as Markdown and as JSON. A section that ends with an error is reported, and the others go
on. Ends with exit code 1 if a side has other rows than the rest, or if a section has no result.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from tests.benchmarks.measurement import ROOT
from tests.benchmarks.report import versions
from tests.benchmarks.section import Section, goal_table, ratio_table, read_section

REAL_FLOW = "ETL_RAY_REAL_FLOW"
TIMEOUT_S = 1800.0


@dataclass(frozen=True)
class Size:
    """How much is measured: megabytes that are generated, runs of each side, and so on."""

    mb: float
    runs: int
    scaling_mb: float
    memory_gb: float
    parquet_gb: float
    books_mb: float
    trades: int


FULL = Size(mb=100, runs=3, scaling_mb=1500, memory_gb=2, parquet_gb=2, books_mb=50, trades=2_000_000)
QUICK = Size(mb=10, runs=2, scaling_mb=100, memory_gb=0.3, parquet_gb=0.3, books_mb=10, trades=200_000)


@dataclass(frozen=True)
class Part:
    """A section of the report: the module that measures it, and its options. `real`: it needs a recording."""

    name: str
    module: str
    options: tuple[str, ...]
    real: bool = False


def parts(size: Size, recording: Path | None, peers: Path | None) -> list[Part]:
    """Return what is measured, in order."""
    runs = ("--runs", str(size.runs))
    venvs = () if peers is None else ("--peers-venv", str(peers))
    made, real = ("--mb", str(size.mb)), ("--input", str(recording))
    races, both, codecs = (*runs, *venvs), ("--cores", "one,all"), ("--codecs", "raw,gz,zst")
    return [
        Part("chain-real", "end_to_end", (*real, *races, *both, *codecs), real=True),
        Part("chain-generated", "end_to_end", (*made, *races, *both)),
        Part("parse-real", "parse", (*real, *races, *both), real=True),
        Part("parse-generated", "parse", (*made, *races)),
        Part("profile-real", "chain_profile", real, real=True),
        Part("profile-generated", "chain_profile", made),
        Part("books-real", "books", (*real, *races), real=True),
        Part("books-generated", "books", ("--mb", str(size.books_mb), *races)),
        Part("bars", "bars", ("--trades", str(size.trades), *races)),
        Part("memory", "memory", ("--gb", str(size.memory_gb))),
        Part("parquet-memory", "parquet_memory", ("--gb", str(size.parquet_gb))),
        Part("scaling", "scaling", ("--mb", str(size.scaling_mb), "--runs", "2")),
    ]


def main() -> int:
    """Measure everything, write the report; return the exit code."""
    arguments = _arguments()
    recording = _recording(arguments.input)
    wanted = parts(QUICK if arguments.quick else FULL, recording, arguments.peers_venv)
    names = [part.name for part in wanted]
    if unknown := [name for name in arguments.only or () if name not in names]:
        raise SystemExit(f"unknown parts: {', '.join(unknown)}; known: {', '.join(names)}")
    sections: dict[str, Section] = {}
    skipped: list[str] = []
    _commit()
    began_s = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="etl-ray-bench-") as work:
        for part in wanted:
            if arguments.only and part.name not in arguments.only:
                continue
            if part.real and recording is None:
                skipped.append(f"{part.name}: no recording; --input DIR or {REAL_FLOW} names one")
                continue
            print(f"==> {part.name}", file=sys.stderr, flush=True)
            sections[part.name] = _measure(part, Path(work))
            _write(arguments, sections, skipped, time.perf_counter() - began_s)  # a run that is stopped leaves these
    text = _write(arguments, sections, skipped, time.perf_counter() - began_s)
    print(text)
    return max((section.exit_code for section in sections.values()), default=0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="small inputs, for a look: minutes instead of half an hour"
    )
    parser.add_argument("--input", type=Path, help=f"folder of recorded segments (${REAL_FLOW})")
    parser.add_argument("--peers-venv", type=Path, help="folder of the peers' environments; made if absent")
    parser.add_argument("--only", type=lambda text: text.split(","), help="only these parts, with commas between them")
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--markdown", type=Path, help="file for the report")
    return parser.parse_args()


def _recording(named: Path | None) -> Path | None:
    if named is not None:
        return named.absolute()
    return Path(os.environ[REAL_FLOW]).absolute() if os.environ.get(REAL_FLOW) else None


def _measure(part: Part, work: Path) -> Section:
    """Return what a part has found; one that ends without a result counts as wrong."""
    result = work / f"{part.name}.json"
    command = [sys.executable, "-m", f"tests.benchmarks.{part.module}", *part.options, "--json", str(result)]
    try:
        code = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, timeout=TIMEOUT_S, check=False).returncode
        reason = f"ended with exit code {code} and no result"
    except subprocess.TimeoutExpired:
        reason = f"had no result after {TIMEOUT_S:.0f} s"
    if result.exists():
        return read_section(result)
    return Section(part.name, [], "", {}, differences=[f"{part.name} {reason}"])


def report(sections: dict[str, Section], skipped: Sequence[str], seconds: float) -> str:
    """Return everything as Markdown: ratios first, then what went wrong, then the sections."""
    ratios = [ratio for section in sections.values() for ratio in section.ratios]
    head = ["# Benchmarks", _where(seconds)]
    if ratios:
        head.append(f"How many times as fast this project is, by medians of the same run.\n\n{goal_table(ratios)}")
        head += [ratio_table(section.ratios) for section in sections.values() if section.ratios]
    for heading, lines in (
        ("Wrong", [line for section in sections.values() for line in section.differences]),
        ("Failed", [line for section in sections.values() for line in section.failures]),
        ("Left out", [*skipped, *(line for section in sections.values() for line in section.left_out)]),
    ):
        if lines:
            head.append("\n".join((f"## {heading}", "", *(f"- {line}" for line in dict.fromkeys(lines)))))
    bodies = [f"## {section.title}\n\n{section.text}" for section in sections.values() if section.text]
    return "\n\n".join((*head, *bodies))


def _where(seconds: float) -> str:
    named = ", ".join(f"{name} {version}" for name, version in versions().items())
    return (
        f"{platform.machine()}, {os.cpu_count()} CPUs, {platform.system()}; {named}; commit {_commit()}; "
        f"measured in {seconds / 60:.0f} min. On one core CPU time counts, on all cores wall time."
    )


@lru_cache(maxsize=1)  # what was there when the run began
def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def _as_json(sections: dict[str, Section], skipped: Sequence[str], seconds: float) -> str:
    found = {
        "machine": {"architecture": platform.machine(), "cpus": os.cpu_count(), "system": platform.system()},
        "versions": versions(),
        "commit": _commit(),
        "seconds": seconds,
        "skipped": list(skipped),
        "sections": {name: asdict(section) for name, section in sections.items()},
    }
    return json.dumps(found, indent=1)


def _write(arguments: argparse.Namespace, sections: dict[str, Section], skipped: Sequence[str], seconds: float) -> str:
    """Write what there is so far where the options say; return it as Markdown."""
    text = report(sections, skipped, seconds)
    for path, content in ((arguments.markdown, text), (arguments.json, _as_json(sections, skipped, seconds))):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content + "\n")
    return text


if __name__ == "__main__":
    sys.exit(main())
