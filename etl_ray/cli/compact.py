"""`etl-ray compact`: small files of an output merged."""

from __future__ import annotations

import sys
from typing import Annotated

import orjson
import typer

from etl_ray.cli.options import AddressOption, BreakLockOption, ConfigOption, EngineOption
from etl_ray.cli.report import results_console
from etl_ray.config import JobConfig, load_config
from etl_ray.progress import choose_progress
from etl_ray.summary import CompactSummary

_BYTES_PER_MB = 1_000_000


def compact(  # noqa: PLR0913 - one parameter per option
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="The output of etl-ray run.")],
    *,
    target_mb: Annotated[
        float, typer.Option("--target-mb", metavar="MB", help="How large a merged file may become, about.")
    ] = 256,
    config: ConfigOption = None,
    engine: EngineOption = None,
    address: AddressOption = None,
    break_lock: BreakLockOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no summary.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print the summary as one JSON object on the last line.")
    ] = False,
) -> int:
    """Merge small files of closed dates of OUTPUT; each row is compared before anything is committed.

    A date is closed if OUTPUT has a later one. Of the config engine, address, resources and break_lock count.

    Exit codes: 0 committed, or nothing to merge; 1 not committed; 2 usage, or OUTPUT is none of etl-ray; 4 OUTPUT is
    locked by another run.
    """
    from etl_ray.orchestrators.compact import compact as merge

    base = JobConfig() if config is None else load_config(config)
    options = {"engine": engine, "address": address, "break_lock": break_lock}
    given = {key: value for key, value in options.items() if value is not None}
    progress = choose_progress(quiet, sys.stderr)
    try:
        summary = merge(output, base.merge(given), progress, target_mb=target_mb)
    finally:
        progress.done()
    if not quiet:
        _print(summary)
    if json:
        typer.echo(orjson.dumps(summary.as_dict()).decode())
    return 0


def _print(summary: CompactSummary) -> None:
    console = results_console()
    if summary.unchanged:
        console.print(f"{summary.output}: nothing to merge in {summary.files:,} files.", soft_wrap=True)
        return
    before, after = summary.bytes_before / _BYTES_PER_MB, summary.bytes_after / _BYTES_PER_MB
    console.print(
        f"{summary.output}: {summary.merged:,} files, {before:,.1f} MB, merged into {summary.written:,} files, "
        f"{after:,.1f} MB, with the same {summary.rows:,} rows; committed in {summary.seconds:,.1f} s.",
        soft_wrap=True,
    )
