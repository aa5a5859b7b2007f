"""Each candle once: the section Rows of semantics.md."""

from __future__ import annotations

from tests.reference.messages import Row


def last_candles(delivered: list[Row]) -> list[Row]:
    """Return the rows of `candles`, by product and start, of all versions in arrival order."""
    last: dict[tuple[str, int], tuple[int, Row]] = {}
    n_versions: dict[tuple[str, int], int] = {}
    for position, row in enumerate(delivered):
        key = str(row["product_id"]), _start(row)
        last[key] = position, row
        n_versions[key] = n_versions.get(key, 0) + 1
    return [
        row
        | {"n_versions": n_versions[key], "is_final": any(_is_later(behind, row) for behind in delivered[position:])}
        for key, (position, row) in sorted(last.items(), key=lambda item: item[0])
    ]


def _is_later(behind: Row, row: Row) -> bool:
    names = ("product_id", "connection_id")
    return all(behind[name] == row[name] for name in names) and _start(behind) > _start(row)


def _start(row: Row) -> int:
    start = row["ts_start"]
    assert isinstance(start, int)
    return start
