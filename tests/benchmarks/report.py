"""Figures as text: medians with their range, and Markdown tables."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import version
from statistics import median


def spread(values: Sequence[float], digits: int) -> str:
    """Return the median with minimum and maximum."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table: the first column to the left, the others to the right, padded to be read as it is."""
    columns = list(zip(header, *rows, strict=True))
    widths = [max(len(cell) for cell in column) for column in columns]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_line(cells, widths) for cells in (header, rule, *rows))


def versions() -> dict[str, str]:
    """Return the versions that a figure depends on."""
    packages = ("etl-ray", "duckdb", "numba", "polars", "pyarrow")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cells[0].ljust(widths[0]),
        *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)),
    ]
    return f"| {' | '.join(padded)} |"
