"""`etl-ray sample`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from typer.core import TyperCommand

from etl_ray.cli.options import split_names
from etl_ray.progress import choose_progress
from etl_ray.sample import SampleOptions, SampleReport, write_sample
from etl_ray.sample.faults import FAULTS_NAME
from etl_ray.sample.options import FAULT_KINDS, Compression

_DEFAULT = SampleOptions()
_FAULTS = "--faults"
_ALL = "all"


class SampleCommand(TyperCommand):
    """The command `sample`, where `--faults` may stand without a value: typer knows no such option."""

    # The base names a private class of typer's, of which typer.Context is the public one.
    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Give `--faults` a value where it has none."""
        followed = zip(args, [*args[1:], "--"], strict=True)
        return super().parse_args(
            ctx, [f"{_FAULTS}={_ALL}" if arg == _FAULTS and after.startswith("-") else arg for arg, after in followed]
        )


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
    faults: Annotated[
        list[str] | None,
        typer.Option(
            _FAULTS,
            metavar="[KINDS]",
            help=f"What real recordings suffer from, told in OUT/{FAULTS_NAME}. Some of {', '.join(FAULT_KINDS)}; "
            "without KINDS, at the end of the line, all.",
        ),
    ] = None,
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
        faults=_fault_kinds(faults),
    )
    report = generate(out, options, quiet=quiet)
    mb = report.bytes / 1_000_000
    typer.echo(f"{report.lines:,} lines, {mb:,.1f} MB unpacked, in {len(report.paths)} segments below {out}")
    if report.faults_path is not None:
        told = ", ".join(f"{kind} {report.faults.get(kind, 0):,}" for kind in FAULT_KINDS if kind in options.faults)
        typer.echo(f"faults: {told}; {report.faults_path} tells where")


def _fault_kinds(values: list[str] | None) -> tuple[str, ...]:
    names = [] if values is None else split_names(values, _FAULTS)
    return FAULT_KINDS if _ALL in names else tuple(names)


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
