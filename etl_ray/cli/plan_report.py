"""An estimate, for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from etl_ray.cli.report import results_console
from etl_ray.orchestrators.run_estimate import RunEstimate

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_STEP = 1000
_LEAST_SHARE = 0.01  # of the time, to be named as a limit


def print_estimate(found: RunEstimate) -> None:
    """Print what a run would write, what its stages cost, and what follows from that."""
    console = results_console()
    asked = found.asked
    places = asked.input if asked.output is None else f"{asked.input} to {asked.output}"
    console.print(f"{places}: an estimate, from {data(found.sampled_bytes)} of its segments:", soft_wrap=True)
    if not found.stages:
        console.print(f"nothing to do: {count(asked.known_segments, 'segment')} committed already", soft_wrap=True)
        return
    console.print(_tables(found))
    console.print(_stages(found))
    _print_figures(found, console)


def _tables(found: RunEstimate) -> Table:
    table = Table()
    for heading in ("Table", "Rows", "Files", "Size"):
        table.add_column(heading, justify="left" if heading == "Table" else "right")
    for name, size in found.tables.items():
        table.add_row(name, f"{size.rows:,}", f"{size.files:,}", data(size.bytes))
    return table


def _stages(found: RunEstimate) -> Table:
    table = Table()
    for heading in ("Stage", "CPU", "Waiting", "Longest piece", f"On {found.asked.cores:g} cores"):
        table.add_column(heading, justify="left" if heading == "Stage" else "right")
    for stage, on_cores_s in found.stage_walls:
        longest = "-" if stage.name == "driver" else duration(stage.longest_s)
        table.add_row(stage.name, duration(stage.cpu_s), duration(stage.wait_s), longest, duration(on_cores_s))
    table.add_section()
    waits_s = sum(stage.wait_s for stage, _ in found.stage_walls)
    table.add_row("all", duration(found.cpu_s), duration(waits_s), "", duration(found.wall_s), style="bold")
    return table


def _print_figures(found: RunEstimate, console: Console) -> None:
    asked, work = found.asked, found.work
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    known = f", and {asked.known_segments:,} known already" if asked.known_segments else ""
    grid.add_row(
        "Segments", f"{work.segments:,}{known}; {count(work.units, 'unit')}, {count(work.products, 'product')}"
    )
    grid.add_row("Bytes", f"{data(work.stored_bytes)} stored, {data(work.unpacked_bytes)} unpacked")
    grid.add_row("Covered", f"{duration(work.span_s)}, {work.lines:,} lines")
    grid.add_row("Output", f"{data(found.output_bytes)} of tables")
    grid.add_row("Staged", f"{data(work.staged_bytes)} until the commit, {data(work.kept_bytes)} of it always kept")
    grid.add_row("Time", f"{duration(found.wall_s)} on {asked.cores:g} cores; {found.useful_cores:,} are of use")
    grid.add_row("Memory", f"{found.worker_mb:,} MB each worker, {found.driver_mb:,} MB the driver")
    waited = "" if asked.is_remote else " if both were in buckets, which would be waited for"
    grid.add_row("Requests", f"{found.reads:,} reads, {found.writes:,} writes, {found.lists:,} listings{waited}")
    money = asked.prices.currency
    grid.add_row(
        "Cost",
        f"{found.core_cost:,.2f} {money} for {found.core_hours:,.1f} core hours at {asked.prices.core_hour:g}, "
        f"{found.request_cost if asked.is_remote else 0.0:,.2f} {money} for requests; prices are examples unless given",
    )
    for limit in found.limits:
        if limit.share >= _LEAST_SHARE:
            grid.add_row("Limit", f"{limit.share:.0%} {limit.name}: {limit.text}")
    measured = "--calibrate compares it with that of the rates"
    if asked.slowness is not None:
        measured = f"takes {asked.slowness:.2f} times the CPU time of that of the rates"
    grid.add_row("This machine", measured)
    for note in found.notes:
        grid.add_row("Note", note)
    console.print(grid)


def data(size: float) -> str:
    """Return bytes in the unit that suits."""
    for unit in _UNITS:
        if size < _STEP or unit == _UNITS[-1]:
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= _STEP
    raise AssertionError("there is a last unit")


def duration(seconds: float) -> str:
    """Return a time in the unit that suits."""
    for size, unit in ((86_400 * 2, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / (86_400 if unit == 'd' else size):,.1f} {unit}"
    return f"{seconds:,.1f} s" if seconds >= 1 or not seconds else f"{seconds * 1000:,.0f} ms"


def count(number: int, what: str) -> str:
    """Return a number of things."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
