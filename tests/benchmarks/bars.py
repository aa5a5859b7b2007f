"""Bars: this project, Polars and DuckDB on the same trades; by quantity and notional also mlfinpy.

    python -m tests.benchmarks.bars [--trades N] [--runs N] [--peers-venv DIR] [--json FILE] [--markdown FILE]

Ends with exit code 1 if a side makes other bars.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl

from tests.benchmarks.environments import environment
from tests.benchmarks.measurement import SideError, run_once
from tests.benchmarks.report import spread, table
from tests.benchmarks.section import Ratio, Section, add_output_options, finish

NAMES = {"etl_ray_bars": "etl-ray", "polars_bars": "Polars", "duckdb_bars": "DuckDB", "mlfinpy_bars": "mlfinpy"}
TIME_BARS = ("1s", "1m")
SIZED_BARS = ("volume:10", "dollar:500000")
DAY_NS = 86_400 * 10**9
FIRST_DAY = 19_944
_FLOAT_SUMS = ("volume", "quote_volume", "buy_volume")
"""What the others add up in floats: compared to twelve digits."""


def main() -> int:
    """Measure, compare, print a report; return the exit code."""
    arguments = _arguments()
    mlfinpy = environment("bars", arguments.peers_venv)
    left_out = [] if mlfinpy.python is not None else [mlfinpy.reason]
    figures: dict[str, dict[str, list[dict[str, float]]]] = {}
    wrong: list[str] = []
    failures: dict[tuple[str, str], str] = {}
    with tempfile.TemporaryDirectory(prefix="etl-ray-bench-") as work:
        path = Path(work) / "trades.parquet"
        write_trades(path, arguments.trades)
        for bar in (*TIME_BARS, *SIZED_BARS):
            sides = _sides(bar, mlfinpy.python)
            figures[bar] = {side: [] for side in sides}
            for _ in range(arguments.runs):
                for side in (side for side in sides if (bar, side) not in failures):
                    try:
                        figures[bar][side].append(_measure(side, sides[side], path, bar))
                    except SideError as error:
                        failures[bar, side] = f"{NAMES[side]} (bars {bar}): {error}"
            if (bar, "etl_ray_bars") in failures:
                raise SystemExit(failures[bar, "etl_ray_bars"])
            figures[bar] = {side: runs for side, runs in figures[bar].items() if (bar, side) not in failures}
            differences = {side: _difference(path, side) for side in figures[bar]}
            wrong += [f"{NAMES[side]} makes other bars {bar}: {text}" for side, text in differences.items() if text]
    section = _section(figures, arguments.trades, wrong, left_out)
    return finish(replace(section, failures=list(failures.values())), arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trades", type=int, default=4_000_000, help="how many trades to generate (4,000,000)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each side (3)")
    parser.add_argument("--peers-venv", type=Path, help="folder of the peers' environments; made if absent")
    add_output_options(parser)
    return parser.parse_args()


def write_trades(path: Path, count: int) -> None:
    """Write two days of trades of one product, in order, none missing; some share a time."""
    random = np.random.default_rng(7)
    ts = FIRST_DAY * DAY_NS + np.sort(random.integers(0, 2 * DAY_NS // 10**6, count)) * 10**6
    price = np.round(60_000 + np.cumsum(random.choice([-0.01, 0.0, 0.01], count)), 2)
    size = np.round(random.exponential(0.02, count), 8)
    sides = pl.Series(["buy", "sell"]).gather(random.integers(0, 2, count))
    columns = {"trade_id": np.arange(count) + 10**9, "ts_event": ts, "ts_available": ts + 20 * 10**6}
    pl.DataFrame({**columns, "price": price, "size": size, "taker_side": sides}).write_parquet(path)
    np.savez(path.with_suffix(".npz"), ts_event=ts, price=price, size=size)


def _sides(bar: str, mlfinpy: Path | None) -> dict[str, Path]:
    """Return the Python of each side that makes such bars."""
    own = Path(sys.executable)
    if bar in TIME_BARS:
        return dict.fromkeys(("etl_ray_bars", "polars_bars", "duckdb_bars"), own)
    return {"etl_ray_bars": own, **({} if mlfinpy is None else {"mlfinpy_bars": mlfinpy})}


def _measure(side: str, python: Path, path: Path, bar: str) -> dict[str, float]:
    answer = run_once(python, "bar_sides.timing", side, str(path), bar, _made(path, side))
    found: dict[str, float] = json.loads(answer)
    return found


def _made(path: Path, side: str) -> str:
    return str(path.with_name(f"{side}.npz"))


def _difference(path: Path, side: str) -> str:
    """Name the columns in which a side's bars are not those of this project."""
    with np.load(_made(path, "etl_ray_bars")) as ours, np.load(_made(path, side)) as theirs:
        names = [name for name in theirs.files if not (side == "mlfinpy_bars" and name == "buy_volume")]
        if any(len(theirs[name]) != len(ours[name]) for name in names):
            return f"{len(theirs[names[0]]):,} and not {len(ours[names[0]]):,} bars"
        tolerances = {name: 1e-12 if name in _FLOAT_SUMS else 0.0 for name in names}
        return ", ".join(
            name
            for name in names
            if not np.allclose(theirs[name], ours[name], rtol=tolerances[name], atol=1e-9 * (tolerances[name] > 0))
        )


def _section(
    figures: dict[str, dict[str, list[dict[str, float]]]], trades: int, wrong: Sequence[str], left_out: Sequence[str]
) -> Section:
    rows: list[Sequence[str]] = []
    ratios = []
    for bar, sides in figures.items():
        ours = median(run["cpu_s"] for run in sides["etl_ray_bars"])
        for side, runs in sides.items():
            cpu, wall = ([run[key] for run in runs] for key in ("cpu_s", "wall_s"))
            rate = trades / median(cpu) / 1e6
            ratio = f"{median(cpu) / ours:.2f}"
            if side != "etl_ray_bars":
                ratios.append(Ratio(f"bars {bar}, one core", NAMES[side], median(cpu) / ours))
            rows.append((bar, NAMES[side], ratio, spread(cpu, 3), spread(wall, 3), f"{rate:.1f}"))
    header = ("bars", "side", "time, etl-ray = 1", "CPU s", "wall s", "million trades/s")
    return Section(
        title=f"Bars of {trades:,} trades, one core",
        ratios=ratios,
        text=table(header, rows),
        figures=figures,
        differences=wrong,
        left_out=left_out,
    )


if __name__ == "__main__":
    sys.exit(main())
