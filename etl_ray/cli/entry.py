"""From arguments to an exit code."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer
from typer.main import get_command

from etl_ray import __version__
from etl_ray.cli.book_at import book_at
from etl_ray.cli.compact import compact
from etl_ray.cli.demo import demo
from etl_ray.cli.plan import plan
from etl_ray.cli.reprocess import reprocess
from etl_ray.cli.run import config, run
from etl_ray.cli.sample import SampleCommand, sample
from etl_ray.cli.schema import schema
from etl_ray.cli.status import status
from etl_ray.cli.verify import verify
from etl_ray.config.environment import failpoint
from etl_ray.errors import EtlRayError
from etl_ray.storage import failpoints

_INTERRUPTED = 130

_app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})
for _command in (run, plan, reprocess, status, verify, compact, book_at, demo, sample, schema, config):
    _app.command(cls=SampleCommand if _command is sample else None)(_command)

_run_app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})
_run_app.command()(run)

_reprocess_app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})
_reprocess_app.command()(reprocess)

_compact_app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})
_compact_app.command()(compact)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"etl-ray {__version__}")
        raise typer.Exit


@_app.callback()
def _etl_ray(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Turn recorded Coinbase WebSocket segments into partitioned Parquet tables.

    Begin with: etl-ray demo
    """


def main() -> NoReturn:
    """Run `etl-ray` with the arguments of this process and exit."""
    sys.exit(_exit_code(_app, sys.argv[1:] or ["--help"], program="etl-ray"))


def main_run(program: str) -> NoReturn:
    """Run the command `run` alone, under the name `program`, and exit."""
    sys.exit(_exit_code(_run_app, sys.argv[1:], program=program))


def main_reprocess(program: str) -> NoReturn:
    """Run the command `reprocess` alone, under the name `program`, and exit."""
    sys.exit(_exit_code(_reprocess_app, sys.argv[1:], program=program))


def main_compact(program: str) -> NoReturn:
    """Run the command `compact` alone, under the name `program`, and exit."""
    sys.exit(_exit_code(_compact_app, sys.argv[1:], program=program))


def _exit_code(app: typer.Typer, arguments: Sequence[str], *, program: str) -> int:
    """Run `app`; errors that are the user's to mend become one line on standard error, all others are raised."""
    _tell_warnings()
    try:
        if setting := failpoint():
            failpoints.arm(setting)
        code = get_command(app).main(arguments, prog_name=program, standalone_mode=False)
    except typer.TyperException as error:
        return _complain(error.format_message(), error.exit_code)
    except EtlRayError as error:
        return _complain(str(error), error.exit_code)
    if code == _INTERRUPTED:
        return _complain("interrupted", _INTERRUPTED)
    return int(code or 0)


def _complain(message: str, code: int) -> int:
    sys.stderr.write(f"etl-ray: error: {'; '.join(message.splitlines())}\n")
    return code


class _WarningHandler(logging.Handler):
    """Writes warnings to what standard error is at that moment: above the bar, while there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        sys.stderr.write(f"etl-ray: {record.levelname.lower()}: {record.getMessage()}\n")


def _tell_warnings() -> None:
    logger = logging.getLogger("etl_ray")
    if not any(isinstance(handler, _WarningHandler) for handler in logger.handlers):
        logger.addHandler(_WarningHandler(logging.WARNING))
