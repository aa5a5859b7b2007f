"""`etl-ray demo`: from nothing to tables and a first query."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from etl_ray.cli.report import print_summary, results_console, warn
from etl_ray.cli.run import run_job
from etl_ray.cli.sample import generate
from etl_ray.config import JobConfig
from etl_ray.errors import ConfigError, StorageError
from etl_ray.sample import SampleOptions
from etl_ray.summary import RunSummary

_MARK = ".etl-ray-demo"
"""File by which a demo knows its own folder."""

_QUERIES = {
    "market_trades": ".group_by('product_id').agg(pl.len(), pl.col('size').sum(), pl.col('price').last())",
    "level2": ".group_by('product_id', 'side').agg(pl.len(), pl.col('quantity').mean())",
    "ticker": ".group_by('product_id').agg(pl.len(), pl.col('price').last())",
}
"""What to ask of a table, the most telling one first."""


def demo(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the demo.")] = Path("demo"),
    *,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> int:
    """Generate sample segments, run the job on them, and show what came out.

    Writes DIR/segments and DIR/tables; what an earlier demo left there is replaced.
    """
    segments, tables = _prepare(directory)
    generate(str(segments), SampleOptions(), quiet=quiet)
    config = JobConfig(engine="local")
    summary = run_job(str(segments), str(tables), config=config, quiet=quiet)
    print_summary(summary, config=config)
    warn(summary, strict=False)
    console = results_console()
    console.print(f"\nSegments: {segments}\nTables:   {tables}", soft_wrap=True)
    console.print(f"Ask them something:\n\n  {query(tables, summary)}\n", soft_wrap=True)
    return summary.exit_code(strict=False)


def _prepare(directory: Path) -> tuple[Path, Path]:
    """Return the folders for segments and tables, empty; refuse a folder that is not a demo's."""
    mark = directory / _MARK
    folders = directory / "segments", directory / "tables"
    try:
        if not mark.exists() and directory.exists() and any(directory.iterdir()):
            raise ConfigError(
                f"{directory}: expected an empty folder or one of an earlier demo, found other files in it"
            )
        directory.mkdir(parents=True, exist_ok=True)
        mark.write_text("`etl-ray demo` replaces the folders segments and tables beside this file.\n")
        for folder in folders:
            if folder.exists():
                shutil.rmtree(folder)
    except OSError as error:
        raise StorageError(
            f"{error.filename or directory}: expected a folder to write to, found: {error.strerror}"
        ) from error
    return folders


def query(tables: Path, summary: RunSummary) -> str:
    """Return a command that asks one of the tables that have rows something, for a shell."""
    filled = [name for name, rows in summary.rows.items() if rows]
    table = next((name for name in _QUERIES if name in filled), filled[0] if filled else "level2")
    ask = _QUERIES.get(table, ".select(pl.len())")
    code = f"import polars as pl; print(pl.scan_parquet({str(tables / table / '**/*.parquet')!r}){ask}.collect())"
    # Double quotes are easier to read than what shlex makes of the code's own single ones.
    quoted = shlex.quote(code) if set(code) & set('"$`\\!') else f'"{code}"'
    return f"{shlex.quote(_python())} -c {quoted}"


def _python() -> str:
    """Return this interpreter, relative to the working directory where it lies below that."""
    interpreter = Path(sys.executable)
    return str(interpreter.relative_to(Path.cwd())) if interpreter.is_relative_to(Path.cwd()) else str(interpreter)
