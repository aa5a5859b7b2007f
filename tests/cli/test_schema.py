"""`etl-ray schema`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from io import StringIO

import pytest
from rich.console import Console

from etl_ray.tables import TABLES
from tests.cli.fakes import Execute


def test_schema_lists_all_tables(etl_ray: Execute) -> None:
    outcome = etl_ray("schema")
    names = [line.split()[1] for line in outcome.out.splitlines() if line.startswith("│") and line[2] != " "]
    assert (outcome.code, outcome.err, names) == (0, "", list(TABLES))
    assert "│ rejects          │ date                  │ Lines that were rejected as a whole." in outcome.out


def test_schema_of_a_table(etl_ray: Execute) -> None:
    outcome = etl_ray("schema", "errors")
    assert [re.sub(" {2,}|─{2,}|━{2,}", " ", line) for line in outcome.out.splitlines()] == [
        "errors: Error messages of the venue; they have no server time, no sequence number and no known connection.",
        "┏ ┳ ┳ ┳ ┳ ┓",
        "┃ Column ┃ Type ┃ Unit ┃ Null ┃ Meaning ┃",
        "┡ ╇ ╇ ╇ ╇ ┩",
        "│ date │ string (dict) │ │ │ UTC date of the segment's name, else the word unknown, YYYY-MM-DD │",
        "│ ts_capture │ timestamp[ns, UTC] │ ns UTC │ yes │ "
        "time at which the collector received the message; null without │",
        "│ │ │ │ │ capture envelope │",
        "│ message │ string │ │ yes │ the venue's words, at most 4,096 characters │",
        "│ segment │ string (dict) │ │ │ segment that holds the line: its file name without codec suffix │",
        "│ line │ int64 │ │ │ line within the segment, from 1 │",
        "└ ┴ ┴ ┴ ┴ ┘",
        "Partitioned by: date",
        "Sorted by: segment, line",
    ]


@pytest.mark.parametrize("width", [80, 99, 100, 160])
@pytest.mark.parametrize("table", TABLES)
def test_columns_are_told_in_full(table: str, width: int, etl_ray: Execute, monkeypatch: pytest.MonkeyPatch) -> None:
    written = StringIO()
    console = Console(file=written, markup=False, emoji=False, highlight=False, width=width)
    monkeypatch.setattr("etl_ray.cli.schema.results_console", lambda: console)
    assert etl_ray("schema", table).code == 0
    lines = written.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│")]
    columns = TABLES[table].columns
    assert squeezed(row[-1] for row in cells) == squeezed(column.meaning for column in columns)
    told = " ".join(word for row in cells for cell in row[:-1] for word in cell.split())
    assert [column.name for column in columns] == [word for word in told.split() if word in TABLES[table].names]
    assert told.count("may be null" if width < 100 else "yes") == sum(column.nullable for column in columns)
    assert all(column.unit in told for column in columns)


def squeezed(texts: Iterable[str]) -> str:
    """Return texts without the spaces at which they may have been broken."""
    return "".join(text.replace(" ", "") for text in texts)


def test_schema_under_decimal_numbers(etl_ray: Execute) -> None:
    assert re.search(r"│ price +│ double +│", etl_ray("schema", "level2").out)
    assert re.search(r"│ price +│ decimal128\(38, 18\) +│", etl_ray("schema", "level2", "--numbers", "decimal").out)


def test_schema_as_json(etl_ray: Execute) -> None:
    described = json.loads(etl_ray("schema", "instruments", "--json", "--numbers", "decimal").out)
    assert {key: described[key] for key in ("table", "version", "meaning", "partition_cols", "order")} == {
        "table": "instruments",
        "version": 1,
        "meaning": TABLES["instruments"].meaning,
        "partition_cols": [],
        "order": ["segment", "line", "product_id"],
    }
    assert [column["name"] for column in described["columns"]] == list(TABLES["instruments"].names)
    assert described["columns"][1] == {
        "name": "valid_from",
        "type": "timestamp[ns, tz=UTC]",
        "unit": "ns UTC",
        "nullable": False,
        "meaning": "server time of the first message with these terms",
    }
    assert described["columns"][5]["type"] == "decimal128(38, 18)"
    every = json.loads(etl_ray("schema", "--json").out)
    assert [table["table"] for table in every] == list(TABLES)
