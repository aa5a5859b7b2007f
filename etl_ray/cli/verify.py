"""`etl-ray verify`: an output held to its manifest."""

from __future__ import annotations

import sys
from typing import Annotated

import orjson
import typer

from etl_ray.cli.report import results_console
from etl_ray.progress import choose_progress

_BYTES_PER_MB = 1_000_000


def verify(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="The output of etl-ray run.")],
    *,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one line of JSON instead.")] = False,
) -> int:
    """Count the rows of all files of OUTPUT and compute their checksums, and compare them with its manifest.

    Each difference is a line. Nothing is changed. Exit codes: 0 all is as committed; 1 something differs; 2 OUTPUT is
    none of etl-ray.
    """
    import etl_ray

    found = etl_ray.verify(output, progress=choose_progress(quiet, sys.stderr))
    if json:
        typer.echo(orjson.dumps(found.as_dict()).decode())
        return 0 if found.is_whole else 1
    console = results_console()
    for difference in found.differences:
        console.print(str(difference), soft_wrap=True)
    size = f"{found.files:,} files, {found.rows:,} rows, {found.bytes / _BYTES_PER_MB:,.1f} MB"
    state = "all as committed" if found.is_whole else f"{len(found.differences):,} differences"
    console.print(f"{found.output}, run {found.number} ({found.run_id}): {size}: {state}", soft_wrap=True)
    return 0 if found.is_whole else 1
