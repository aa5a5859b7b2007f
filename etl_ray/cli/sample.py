"""`etl-ray sample`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from etl_ray.cli.options import split_names
from etl_ray.progress import choose_progress
from etl_ray.sample import SampleOptions, SampleReport, write_sample
from etl_ray.sample.options import Compression

_DEFAULT = SampleOptions()


def sample(  # noqa: PLR0913 - one parameter per option
    out: Annotated[str, typer.Argument(metavar="OUT", help="Directory for the segments.")],
    *,
    seed: Annotated[int, typer.Option(help="The same seed and options give the same bytes.")] = _DEFAULT.seed,
    minutes: Annotated[float, typer.Option(help="Length of the recording.")] = _DEFAULT.minutes,
    products: Annotated[
        list[str] | None, typer.Option(metavar="NAMES", help=f"Default: {','.join(_DEFAULT.products)}.")
    ] = None,
    rate: Annotated[float, typer.Option(help="Messages of l2_data per second and product.")] = _DEFAULT.rate,
    connections: Annotated[int, typer.Option(help="Connections, one after the other.")] = _DEFAULT.connections,
    compress: Annotated[Compression, typer.Option(help="Codec of the segments.")] = _DEFAULT.compress,
    overlap: Annotated[bool, typer.Option("--overlap", help="Connections interleave in one file.")] = _DEFAULT.overlap,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Write made-up segments in the venue's exact shapes below OUT."""
    options = SampleOptions(
        seed=seed,
        minutes=minutes,
        products=_DEFAULT.products if products is None else tuple(split_names(products, "--products")),
        rate=rate,
        connections=connections,
        compress=compress,
        overlap=overlap,
    )
    report = generate(out, options, quiet=quiet)
    mb = report.bytes / 1_000_000
    typer.echo(f"{report.lines:,} lines, {mb:,.1f} MB unpacked, in {len(report.paths)} segments below {out}")


def generate(out: str, options: SampleOptions, *, quiet: bool) -> SampleReport:
    """Write a sample with progress on standard error."""
    progress = choose_progress(quiet, sys.stderr)
    written = 0

    def advance(total_bytes: int) -> None:
        nonlocal written
        progress.advance(total_bytes - written, 0)
        written = total_bytes

    progress.stage("sample", 0, 0)
    try:
        return write_sample(out, options, on_progress=advance)
    finally:
        progress.done()
