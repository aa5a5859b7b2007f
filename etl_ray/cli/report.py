"""What a run has done, for people: the summary on standard output, doubts on standard error."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from rich.columns import Columns
from rich.console import Console
from rich.table import Table

from etl_ray.config import JobConfig
from etl_ray.summary import ReprocessSummary, RunSummary

logger = logging.getLogger(__name__)

_SLOW_SHARE = 0.05
_SLOW_LINES = 1_000  # in a small input a few odd lines are a large share and cost nothing
_BYTES_PER_MB = 1_000_000
_OF_THE_RECORDING = ("coverage", "connections")  # what these tell is there whatever is selected
_PLAIN_WIDTH = 120  # columns where there is no terminal to ask


def results_console() -> Console:
    """Return the console of standard output; brackets are text, and without a terminal lines are wide."""
    width = None if sys.stdout.isatty() else _PLAIN_WIDTH
    return Console(file=sys.stdout, markup=False, emoji=False, highlight=False, width=width)


def print_summary(summary: RunSummary, *, config: JobConfig) -> None:
    """Print tables with their rows and files, then where every line went."""
    console = results_console()
    state = "nothing to do, OUTPUT is up to date" if summary.unchanged else "committed"
    console.print(f"Run {summary.run_id}: {state}. Tables in {summary.output}:", soft_wrap=True)
    console.print(_tables(summary, config))
    console.print(_figures(summary))


def print_reprocessed(summary: ReprocessSummary, *, config: JobConfig) -> None:
    """Print tables with their rows and files."""
    console = results_console()
    state = "nothing to do, DEST is up to date" if summary.unchanged else f"committed in {summary.seconds:,.1f} s"
    console.print(f"Run {summary.run_id}: {state}. Tables in {summary.output}:", soft_wrap=True)
    console.print(_tables(summary, config))


def _tables(summary: RunSummary | ReprocessSummary, config: JobConfig) -> Table:
    """Return one line per table: rows, files and the shape of its folders."""
    table = Table()
    table.add_column("Table")
    table.add_column("Rows", justify="right")
    table.add_column("Files", justify="right")
    table.add_column("Folders", overflow="fold")
    for name, rows in summary.rows.items():
        folders = "/".join((name, *(f"{col}=*" for col in config.partition_cols(name)))) if rows else "-"
        table.add_row(name, f"{rows:,}", _files(summary.output, name), folders, style=None if rows else "dim")
    return table


def _files(output: str, table: str) -> str:
    """Count a table's files; a URL is not searched for that."""
    if "://" in output:
        return "-"
    return f"{sum(1 for _ in (Path(output) / table).rglob('*.parquet')):,}"


def _figures(summary: RunSummary) -> Table:
    """Return what became of the lines, messages per channel, segments and speed."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(
        "Lines",
        f"{summary.lines:,} = {summary.accepted:,} accepted + {summary.ignored:,} ignored + "
        f"{summary.out_of_range:,} out of range + {summary.blank:,} blank + {summary.rejects:,} rejected",
    )
    messages = [f"{channel} {count:,}" for channel, count in summary.messages.items()]
    grid.add_row("Messages", Columns(messages or ["none"], padding=(0, 2)))
    if summary.rejects:
        grid.add_row("Rejected", f"{summary.rejects:,} lines; the table rejects says where each is and why")
    damaged = f", {len(summary.damaged):,} damaged" if summary.damaged else ""
    removed = f", {summary.removed:,} removed from INPUT" if summary.removed else ""
    grid.add_row("Segments", f"{summary.segments:,}{damaged}{removed}")
    if not summary.unchanged:
        mb = summary.bytes / _BYTES_PER_MB
        if summary.segments_read == summary.segments:
            rate = f", {mb / summary.seconds:,.1f} MB/s" if summary.seconds > 0 else ""
            grid.add_row("Speed", f"{mb:,.1f} MB in {summary.seconds:,.1f} s{rate}")
        else:
            read = f"{summary.segments_read:,} of {summary.segments:,} segments read"
            grid.add_row("Time", f"{summary.seconds:,.1f} s, {read}: the others were known")
        grid.add_row("Parsing", f"{_share(summary.slow_lines, summary.lines)} of the lines took the slow parser")
    if summary.unknown_keys:
        grid.add_row("Unknown", f"{summary.unknown_keys:,} keys that the tables have no column for")
    return grid


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole if whole else 0:.1f} %"


def warn(summary: RunSummary, *, strict: bool) -> None:
    """Tell what somebody should look at."""
    for segment in summary.damaged:
        logger.warning("damaged segment: %s", segment)
    for finding in summary.findings:
        logger.warning("%s%s", "--strict: " if strict else "", finding)
    if summary.slow_lines >= _SLOW_LINES and summary.slow_lines > _SLOW_SHARE * summary.lines:
        share = _share(summary.slow_lines, summary.lines)
        logger.warning(
            "%s of the lines took the slow parser: this input has a shape that the fast one does not know", share
        )
    written = any(rows for table, rows in summary.rows.items() if table not in _OF_THE_RECORDING)
    if summary.lines and not summary.unchanged and not written:
        logger.warning("no row was written: are --products, --channels, --start and --end what was meant?")
