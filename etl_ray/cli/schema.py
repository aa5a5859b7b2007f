"""`etl-ray schema`."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer
from rich.table import Table as Grid

from etl_ray.cli.options import NumbersOption
from etl_ray.cli.report import results_console
from etl_ray.config import suggest
from etl_ray.errors import ConfigError
from etl_ray.tables import TABLES, Numbers, Table

_WIDE = 100
"""From how many characters on there is room for all columns beside each other."""


def schema(
    table: Annotated[str | None, typer.Argument(metavar="TABLE", help="One table; all of them if left out.")] = None,
    *,
    numbers: NumbersOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print one line of JSON instead.")] = False,
) -> None:
    """Show the tables, or the columns of one: types, units and meaning."""
    if table is not None and table not in TABLES:
        raise ConfigError(f"unknown table {table!r}; {suggest(table, tuple(TABLES))}")
    stored: Numbers = numbers or "float64"
    if json:
        chosen = TABLES.values() if table is None else (TABLES[table],)
        described = [_describe(each, stored) for each in chosen]
        typer.echo(orjson.dumps(described if table is None else described[0]).decode())
    elif table is None:
        _print_tables()
    else:
        _print_columns(TABLES[table], stored)


def _describe(table: Table, numbers: Numbers) -> dict[str, object]:
    """Return a table's declaration, ready for JSON."""
    return {
        "table": table.name,
        "version": table.version,
        "meaning": table.meaning,
        "partition_cols": list(table.partition_cols),
        "order": list(table.order),
        "columns": [
            {
                "name": column.name,
                "type": str(column.arrow_type(numbers)),
                "unit": column.unit,
                "nullable": column.nullable,
                "meaning": column.meaning,
            }
            for column in table.columns
        ],
    }


def _print_tables() -> None:
    grid = Grid()
    for heading in ("Table", "Partitioned by", "Meaning"):
        grid.add_column(heading, overflow="fold", no_wrap=heading == "Table")
    for table in TABLES.values():
        grid.add_row(table.name, ", ".join(table.partition_cols) or "-", table.meaning)
    console = results_console()
    console.print(grid)
    console.print("The columns of one: etl-ray schema TABLE")


def _print_columns(table: Table, numbers: Numbers) -> None:
    console = results_console()
    console.print(f"{table.name}: {table.meaning}")
    console.print(_narrow(table, numbers) if console.width < _WIDE else _wide(table, numbers))
    console.print(f"Partitioned by: {', '.join(table.partition_cols) or 'nothing'}")
    console.print(f"Sorted by: {', '.join(table.order)}")


def _wide(table: Table, numbers: Numbers) -> Grid:
    grid = Grid()
    for heading in ("Column", "Type", "Unit", "Null", "Meaning"):
        grid.add_column(heading, overflow="fold", no_wrap=heading == "Column")
    for column in table.columns:
        kind, null = _type_name(column.arrow_type(numbers)), "yes" if column.nullable else ""
        grid.add_row(column.name, kind, column.unit, null, column.meaning)
    return grid


def _narrow(table: Table, numbers: Numbers) -> Grid:
    """Leave room for the meaning: type, unit and null stand below the name."""
    grid = Grid(show_lines=True)
    grid.add_column("Column", overflow="fold", no_wrap=True)
    grid.add_column("Meaning", overflow="fold")
    for column in table.columns:
        more = (_type_name(column.arrow_type(numbers)), column.unit, "may be null" if column.nullable else "")
        grid.add_row("\n".join((column.name, *filter(None, more))), column.meaning)
    return grid


def _type_name(kind: object) -> str:
    """Return Arrow's name of a type, the long ones shortened."""
    text = str(kind)
    return "string (dict)" if text.startswith("dictionary<values=string") else text.replace("tz=", "")
