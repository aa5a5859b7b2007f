"""Order books: the best ten levels after every message, this project and three libraries on the same parsed rows.

    python -m tests.benchmarks.books [--input DIR] [--peers-venv DIR] [--runs N] [--json FILE] [--markdown FILE]

Ends with exit code 1 if a side does not find the same best prices as sortedcontainers.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from tests.benchmarks.book_rows import ProductRows, read_rows
from tests.benchmarks.environments import environment
from tests.benchmarks.inputs import make_input
from tests.benchmarks.measurement import SideError, run_once
from tests.benchmarks.report import spread, table
from tests.benchmarks.section import Ratio, Section, add_output_options, finish

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

DEPTHS = {"hft_best": 1}


@dataclass(frozen=True)
class Measured:
    """What one side took for one product: CPU seconds of each run, and its best levels after each message."""

    seconds: list[float]
    top: tuple[np.ndarray, ...]


def main() -> int:
    """Measure, compare, print a report; return the exit code."""
    arguments = _arguments()
    peers = environment("books", arguments.peers_venv)
    sides = [side for side in SIDES if side not in PEERS or peers.python is not None]
    parts, figures, ratios, wrong, failed = [], {}, [], [], []
    with tempfile.TemporaryDirectory(prefix="etl-ray-bench-") as work:
        source = make_input(arguments.input, arguments.mb, Path(work))
        for rows in read_rows(source.segments)[: arguments.products]:
            measured, failures = _measure(rows, sides, Path(work), runs=arguments.runs, python=peers.python)
            failed += failures
            differences = [text for side in measured if (text := _difference(measured, side))]
            parts.append(_table(rows, measured, differences))
            ratios += _ratios(rows.product, measured)
            figures[rows.product] = {side: found.seconds for side, found in measured.items()}
            wrong += [f"{rows.product}: {text}" for text in differences]
    return finish(
        Section(
            title=f"Order books: the best ten levels after every message, {source.source}, one core",
            ratios=ratios,
            text="\n\n".join(parts),
            figures={"cpu_s": figures},
            differences=wrong,
            failures=failed,
            left_out=[] if peers.python is not None else [peers.reason],
        ),
        arguments,
    )


def _ratios(product: str, measured: Mapping[str, Measured]) -> list[Ratio]:
    ours = median(measured["ladder"].seconds)
    return [
        Ratio(f"books of {product}, one core", SIDES[side], median(found.seconds) / ours)
        for side, found in measured.items()
        if side != "ladder"
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, help="folder of recorded segments; without it they are generated")
    parser.add_argument("--mb", type=float, default=50.0, help="size of the generated input in MB (50)")
    parser.add_argument("--products", type=int, default=2, help="how many products, those with the most rows (2)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each side (3)")
    parser.add_argument("--peers-venv", type=Path, help="folder of the peers' environments; made if absent")
    add_output_options(parser)
    return parser.parse_args()


def _measure(
    rows: ProductRows, sides: Sequence[str], work: Path, *, runs: int, python: Path | None
) -> tuple[dict[str, Measured], list[str]]:
    """Run all sides in turn, `runs` times; return what they took, and which failed."""
    path, top_path = work / "rows.npz", work / "top.npz"
    columns = {name: getattr(rows.updates, name) for name in ("offsets", "side", "price", "quantity")}
    np.savez(path, price_scale=rows.price_scale, quantity_scale=rows.quantity_scale, **columns)
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    tops: dict[str, tuple[np.ndarray, ...]] = {}
    failures: dict[str, str] = {}
    for number in range(runs):
        for side in (side for side in sides if side not in failures):
            interpreter = python if python is not None and side in PEERS else Path(sys.executable)
            try:
                answer = run_once(interpreter, "book_sides.timing", side, str(path), str(top_path), "1")
            except SideError as error:
                failures[side] = f"{SIDES[side]} ({rows.product}): {error}"
                continue
            seconds[side] += json.loads(answer)
            with np.load(top_path) as stored:
                tops[side] = tuple(stored.values())
            took = f"{rows.product}, round {number + 1}/{runs}, {side}: {seconds[side][-1]:.3f} s"
            print(took, file=sys.stderr, flush=True)
    if missing := [side for side in ("ladder", REFERENCE) if side in failures]:
        raise SystemExit(failures[missing[0]])
    found = {side: Measured(seconds[side], tops[side]) for side in sides if side not in failures}
    return found, list(failures.values())


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


def _table(rows: ProductRows, measured: Mapping[str, Measured], differences: Sequence[str]) -> str:
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
    title = f"**{rows.product}.** {rows.levels:,} updates in {len(rows.updates):,} messages"
    agreement = "not the same levels from all, see below" if differences else "the same levels after each from all"
    return f"{title}; {agreement}.\n\n{table(header, lines)}"


if __name__ == "__main__":
    sys.exit(main())
