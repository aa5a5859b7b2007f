"""Hand-written expectations of the wire fixtures: see tests/data/coinbase/README.md for their form."""

from __future__ import annotations

import calendar
import hashlib
import json
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TypedDict

import pyarrow as pa

from etl_ray.tables import NUMBER, TABLES, Numbers
from tests.reference.messages import Row
from tests.reference.run import Reference


class _Rows(TypedDict):
    every: dict[str, object]
    columns: list[str]
    rows: list[list[object]]


class _Expectation(TypedDict, total=False):
    counts: dict[str, object]
    rejected_as_decimal: list[int]
    paths: dict[str, str]
    tables: dict[str, _Rows]


class Fault(TypedDict):
    """One line of a file of invalid lines."""

    line: int
    rule: str
    wrong: str
    right: str
    reason: str
    channel: str | None
    raw: bool


def read_expectation(segment: Path) -> _Expectation:
    """Return what is written beside a segment."""
    expectation: _Expectation = json.loads(segment.with_suffix(".json").read_text(encoding="utf-8"))
    return expectation


def read_faults(segment: Path) -> list[Fault]:
    """Return what is wrong with each line of a segment."""
    faults: list[Fault] = json.loads(segment.with_suffix(".json").read_text(encoding="utf-8"))
    return faults


def expected_tables(segment: Path, numbers: Numbers) -> dict[str, list[Row]]:
    """Return the expected rows of all tables, without the free text of rejects."""
    expectation = read_expectation(segment)
    as_decimal = expectation.get("rejected_as_decimal", []) if numbers == "decimal" else []
    tables: dict[str, list[Row]] = {name: [] for name in TABLES}
    for name, table in expectation["tables"].items():
        for values in table["rows"]:
            row = table["every"] | dict(zip(table["columns"], values, strict=True))
            if row["line"] not in as_decimal:
                tables[name].append(_rejected(segment, row) if name == "rejects" else _typed(name, row, numbers))
    lines = [{"line": line, "channel": "candles", "raw": True, "segment": segment.name} for line in as_decimal]
    date = {"date": "2025-11-26"}
    tables["rejects"] += [_rejected(segment, date | line) for line in lines]
    return tables


def expected_counts(segment: Path, numbers: Numbers) -> dict[str, object]:
    """Return the expected counts."""
    expectation = read_expectation(segment)
    counts = expectation["counts"] | {"bytes": segment.stat().st_size}
    moved = len(expectation.get("rejected_as_decimal", [])) if numbers == "decimal" else 0
    if moved:  # all of the file's lines are candles
        left = len(expectation["tables"]["candles"]["rows"]) - moved
        counts |= {"accepted": left, "rejected": moved, "messages": {"candles": left}}
    return counts


def without_reason(reference: Reference) -> dict[str, list[Row]]:
    """Return the tables of a reference as they are compared with expectations."""
    rejects = [{name: row[name] for name in row if name != "reason"} for row in reference.tables["rejects"]]
    return reference.tables | {"rejects": rejects}


def place_of_line(segment: Path, number: int) -> tuple[int, bytes]:
    """Return byte offset and content of a line, found without the code under test."""
    raw = segment.read_bytes()
    start = 3 if raw.startswith(b"\xef\xbb\xbf") else 0
    for _ in range(number - 1):
        start = raw.index(b"\n", start) + 1
    end = raw.find(b"\n", start)
    return start, raw[start:] if end < 0 else raw[start:end]


def _rejected(segment: Path, row: dict[str, object]) -> Row:
    number, keeps_raw = row["line"], row["raw"]
    assert isinstance(number, int)
    offset, line = place_of_line(segment, number)
    place = {"byte_offset": offset, "length": len(line), "sha256": hashlib.sha256(line).hexdigest()}
    return row | place | {"raw": line if keeps_raw else None}


def _typed(table: str, row: dict[str, object], numbers: Numbers) -> Row:
    assert row.keys() == set(TABLES[table].names), f"{table}: {sorted(row.keys() ^ set(TABLES[table].names))}"
    read_number: Callable[[str], float | Decimal] = Decimal if numbers == "decimal" else float
    typed = dict(row)
    for name, value in row.items():
        column = TABLES[table].column(name)
        if isinstance(value, str) and column.type is NUMBER:
            typed[name] = read_number(value)
        elif isinstance(value, str) and isinstance(column.type, pa.TimestampType):
            typed[name] = _nanoseconds(value)
    return typed


def _nanoseconds(text: str) -> int:
    whole, fraction = text.split(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) * 10**9 + int(fraction)
