"""Order books: the best ten levels after every message, this project and three libraries on the same parsed rows.

    python -m tests.benchmarks.books [--input DIR] [--peers-venv DIR] [--runs N] [--json FILE] [--markdown FILE]

Ends with exit code 1 if a side does not find the same best prices as sortedcontainers.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from etl_ray.sample import SampleOptions, write_sample
from tests.benchmarks.book_rows import ProductRows, read_rows
from tests.benchmarks.inputs import unpack
from tests.benchmarks.measurement import ROOT
from tests.benchmarks.report import spread, table, versions

SIDES = {
    "ladder": "etl-ray",
    "sorted_dict": "sortedcontainers",
    "hft": "hftbacktest, HashMap depth",
    "hft_vector": "hftbacktest, ROI vector depth",
    "hft_best": "hftbacktest, ROI vector depth, best level only",
    "order_book_package": "order-book",
}
REFERENCE = "sorted_dict"
PEERS = {
    "hft": "hftbacktest",
    "hft_vector": "hftbacktest",
    "hft_best": "hftbacktest",
    "order_book_package": "order-book",
}
"""Sides that run in an environment of their own, since their pins conflict with this project's."""

PINS = ("hftbacktest==2.4.4", "order-book==0.6.1", "sortedcontainers>=2.4")
DEPTHS = {"hft_best": 1}


@dataclass(frozen=True)
class Measured:
    """What one side took for one product: CPU seconds of each run, and its best levels after each message."""

    seconds: list[float]
    top: tuple[np.ndarray, ...]


def main() -> int:
    """Measure, compare, print a report; return the exit code."""
    arguments = _arguments()
    python = _peers_python(arguments.peers_venv)
    sides = [side for side in SIDES if side not in PEERS or python is not None]
    sections, figures, wrong = [], {}, False
    with tempfile.TemporaryDirectory(prefix="etl-ray-bench-") as work:
        for rows in _rows(arguments.input, arguments.mb, Path(work))[: arguments.products]:
            measured = _measure(rows, sides, Path(work), runs=arguments.runs, python=python)
            differences = {side: _difference(measured, side) for side in sides}
            sections.append(_section(rows, measured, differences))
            figures[rows.product] = {side: found.seconds for side, found in measured.items()}
            wrong |= any(differences.values())
    if python is None:
        missing = ", ".join(sorted(set(PEERS.values())))
        sections.append(f"Left out: {missing}. `--peers-venv DIR` names, or makes, an environment that has them.")
    text = "\n\n".join(sections)
    print(text)
    if arguments.markdown:
        arguments.markdown.write_text(text + "\n")
    if arguments.json:
        result = {"versions": versions(), "pins": PINS, "cpu_s": figures, "agree": not wrong}
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    return 1 if wrong else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, help="folder of recorded segments; without it they are generated")
    parser.add_argument("--mb", type=float, default=50.0, help="size of the generated input in MB (50)")
    parser.add_argument("--products", type=int, default=2, help="how many products, those with the most rows (2)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each side (3)")
    parser.add_argument(
        "--peers-venv", type=Path, help="environment of the libraries whose pins conflict; made if absent"
    )
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--markdown", type=Path, help="file for the report")
    return parser.parse_args()


def _peers_python(folder: Path | None) -> Path | None:
    if folder is None:
        return None
    python = folder.absolute() / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PINS], check=True)
    return python


def _rows(source: Path | None, mb: float, work: Path) -> list[ProductRows]:
    if source is not None:
        return read_rows(unpack(source, work / "input"))
    options = SampleOptions(connections=1, minutes=mb / 10)
    return read_rows(list(write_sample(str(work / "input"), options).paths))


def _measure(
    rows: ProductRows, sides: Sequence[str], work: Path, *, runs: int, python: Path | None
) -> dict[str, Measured]:
    """Run all sides in turn, `runs` times."""
    path, top_path = work / "rows.npz", work / "top.npz"
    columns = {name: getattr(rows.updates, name) for name in ("offsets", "side", "price", "quantity")}
    np.savez(path, price_scale=rows.price_scale, quantity_scale=rows.quantity_scale, **columns)
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    tops: dict[str, tuple[np.ndarray, ...]] = {}
    for number in range(runs):
        for side in sides:
            interpreter = python if side in PEERS else Path(sys.executable)
            command = [
                str(interpreter),
                "-m",
                "tests.benchmarks.book_sides.timing",
                side,
                str(path),
                str(top_path),
                "1",
            ]
            child = subprocess.run(command, cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, text=True, check=False)
            if child.returncode != 0:
                raise SystemExit(f"{side} ended with exit code {child.returncode}")
            seconds[side] += json.loads(child.stdout.splitlines()[-1])
            with np.load(top_path) as stored:
                tops[side] = tuple(stored.values())
            print(
                f"run {number + 1}/{runs} {rows.product} {side}: {seconds[side][-1]:.3f} s", file=sys.stderr, flush=True
            )
    return {side: Measured(seconds[side], tops[side]) for side in sides}


def _difference(measured: Mapping[str, Measured], side: str) -> str:
    """Return how a side's levels differ from the reference, empty if they do not."""
    depth = DEPTHS.get(side)
    found, expected = measured[side].top, measured[REFERENCE].top
    same = [np.array_equal(a[:, :depth], b[:, :depth]) for a, b in zip(found, expected, strict=True)]
    if all(same):
        return ""
    rows = np.zeros(len(expected[0]), np.bool_)
    for a, b in zip(found, expected, strict=True):
        rows |= (a[:, :depth] != b[:, :depth]).any(axis=1)
    return f"{SIDES[side]} differs from {SIDES[REFERENCE]} after {rows.sum():,} of {len(rows):,} messages"


def _section(rows: ProductRows, measured: Mapping[str, Measured], differences: Mapping[str, str]) -> str:
    base = median(measured[REFERENCE].seconds)
    lines = [
        (
            SIDES[side],
            f"{base / median(found.seconds):.2f}",
            spread([rows.levels / 1e6 / seconds for seconds in found.seconds], 2),
            spread([seconds / len(rows.updates) * 1e6 for seconds in found.seconds], 1),
        )
        for side, found in measured.items()
    ]
    header = ("", f"× {SIDES[REFERENCE]}", "M updates/s of CPU", "µs a message")
    title = f"### {rows.product}: {rows.levels:,} updates in {len(rows.updates):,} messages, one core"
    wrong = [text for text in differences.values() if text]
    agreement = "**" + "; ".join(wrong) + "**" if wrong else "All sides found the same levels after every message."
    return "\n\n".join((title, agreement, table(header, lines)))


if __name__ == "__main__":
    sys.exit(main())
