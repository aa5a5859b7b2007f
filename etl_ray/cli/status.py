"""`etl-ray status`: what an output holds, and what has still to be done for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from etl_ray.cli.report import results_console
from etl_ray.config import format_time

if TYPE_CHECKING:
    from etl_ray.orchestrators.status import OutputStatus

_SHOWN = 10  # names of segments; --json has all
_BYTES_PER_MB = 1_000_000
_NS_PER_S = 1_000_000_000


def status(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="The output of etl-ray run.")],
    *,
    runs: Annotated[int, typer.Option("--runs", min=1, metavar="N", help="How many of the latest runs to show.")] = 10,
    json: Annotated[bool, typer.Option("--json", help="Print one line of JSON instead.")] = False,
) -> None:
    """Show what OUTPUT holds: runs, segments done and pending, tables, and the account of lines.

    Nothing is changed, and a run may go on meanwhile. Exit codes: 0; 2 OUTPUT is none of etl-ray.
    """
    import etl_ray

    found = etl_ray.status(output, runs=runs)
    if json:
        typer.echo(orjson.dumps(found.as_dict()).decode())
    else:
        _print(found)


def _print(found: OutputStatus) -> None:
    console = results_console()
    if not found.runs:
        console.print(f"{found.output}: no run is committed.", soft_wrap=True)
    else:
        console.print(f"{found.output}: {_count(found.n_runs, 'committed run')}, the latest of them:", soft_wrap=True)
        console.print(_runs(found))
        console.print(_tables(found))
    _print_figures(found, console)


def _runs(found: OutputStatus) -> Table:
    table = Table()
    for heading in ("Run", "Id", "Committed", "Segments", "Files", "Rows"):
        table.add_column(heading, justify="left" if heading in ("Id", "Committed") else "right")
    for run in found.runs:
        committed = "-" if run.committed_ns is None else format_time(run.committed_ns // _NS_PER_S * _NS_PER_S)
        table.add_row(f"{run.number:,}", run.run_id, committed, f"{run.segments:,}", f"{run.files:,}", f"{run.rows:,}")
    return table


def _tables(found: OutputStatus) -> Table:
    table = Table()
    for heading in ("Table", "Rows", "Files", "MB"):
        table.add_column(heading, justify="left" if heading == "Table" else "right")
    for name, size in found.tables.items():
        table.add_row(name, f"{size.rows:,}", f"{size.files:,}", f"{size.bytes / _BYTES_PER_MB:,.1f}")
    return table


def _print_figures(found: OutputStatus, console: Console) -> None:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    counts = found.counts
    if counts is not None:
        sign = "=" if found.is_balanced else "IS NOT"
        grid.add_row(
            "Lines",
            f"{counts.lines:,} {sign} {counts.accepted:,} accepted + {counts.ignored:,} ignored + "
            f"{counts.out_of_range:,} out of range + {counts.blank:,} blank + {counts.rejects:,} rejected",
        )
    grid.add_row("Done", _count(found.done, "segment"))
    pending = [f"{item.identity} ({item.why})" for item in found.pending]
    for heading, names in (("Pending", pending), ("Damaged", found.damaged), ("Removed", found.removed)):
        if names or heading == "Pending":
            grid.add_row(heading, _named(names))
    for source in found.unlisted:
        grid.add_row("Unknown", f"{source.source} cannot be listed: {source.reason}")
    if found.unpublished is not None:
        grid.add_row(
            "Unfinished",
            f"{_count(found.unpublished.missing, 'file')} missing and {found.unpublished.superseded:,} superseded or "
            "not committed: the next command that writes to OUTPUT sees to them",
        )
    for item in found.leftovers:
        megabytes = item.bytes / _BYTES_PER_MB
        grid.add_row(
            "Uncommitted",
            f"run {item.run_id}: {_count(item.files, 'file')}, {megabytes:,.1f} MB, below _etl_ray/runs: it is going "
            "on, or has died",
        )
    console.print(grid)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _named(names: Sequence[str]) -> str:
    """Return how many segments there are, and the names of the first."""
    more = [f"and {len(names) - _SHOWN:,} more"] if len(names) > _SHOWN else []
    return "\n".join([_count(len(names), "segment"), *names[:_SHOWN], *more])
