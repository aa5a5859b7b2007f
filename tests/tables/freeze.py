"""The schemas of all tables as they were published: `frozen.json`.

`python -m tests.tables.freeze` freezes the tables whose version was raised, and new ones; it refuses all others.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from etl_ray.tables import TABLES, Numbers, Table

FROZEN = Path(__file__).with_name("frozen.json")
CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"
Described = dict[str, object]


def describe(table: Table) -> Described:
    """Return all that a reader of the table's files relies on."""
    both: tuple[Numbers, Numbers] = ("float64", "decimal")
    columns = []
    for fields in zip(*(table.schema(numbers) for numbers in both), strict=True):
        metadata = {key.decode(): value.decode() for key, value in fields[0].metadata.items()}
        types = list(dict.fromkeys(str(field.type) for field in fields))
        columns.append({"name": fields[0].name, "types": types, "nullable": fields[0].nullable, **metadata})
    metadata = {key.decode(): value.decode() for key, value in table.schema().metadata.items()}
    keys = {"partition_cols": list(table.partition_cols), "order": list(table.order)}
    return {"version": table.version, "metadata": metadata, **keys, "columns": columns}


def read_frozen() -> dict[str, Described]:
    """Return what is frozen, by table."""
    found: dict[str, Described] = json.loads(FROZEN.read_text(encoding="utf-8"))
    return found


def complaint(table: Table, frozen: Described | None) -> str | None:
    """Say what has to be done because a table differs from what is frozen of it; None if it does not differ."""
    live = describe(table)
    if frozen == live:
        return None
    freeze = "then run: python -m tests.tables.freeze"
    if frozen is None:
        return f"table {table.name!r} is new: add a line to CHANGELOG.md, {freeze}"
    version = int(str(frozen["version"]))
    if table.version <= version:
        differing = sorted(key for key in live if live[key] != frozen[key])
        return (
            f"table {table.name!r} is not what was published as version {version} ({', '.join(differing)} differ). "
            f"Readers rely on it: raise `version` to {version + 1} in etl_ray/tables/{table.name}.py, add a line with "
            f"{change_name(table.name, version + 1)} to CHANGELOG.md, {freeze}"
        )
    return f"add a line with {change_name(table.name, table.version)} to CHANGELOG.md, {freeze}"


def change_name(table: str, version: int) -> str:
    """Return how the changelog names a version of a table."""
    return f"`{table}` (version {version})"


def main() -> int:
    """Freeze what may be frozen."""
    frozen = read_frozen() if FROZEN.exists() else {}
    refused = [
        str(complaint(table, frozen[name]))
        for name, table in TABLES.items()
        if name in frozen and describe(table) != frozen[name] and table.version <= int(str(frozen[name]["version"]))
    ]
    if refused:
        print("\n".join(refused), file=sys.stderr)
        return 1
    text = json.dumps({name: describe(table) for name, table in TABLES.items()}, indent=1)
    FROZEN.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
