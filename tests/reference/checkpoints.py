"""The table `book_checkpoints`, of which a recording says what is right, and an output which books have to be there."""

from __future__ import annotations

from collections import defaultdict
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.reference.books import BookRow, book_rows
from tests.reference.messages import Row
from tests.reference.recording import Place
from tests.reference.run import Reference
from tests.reference.values import utc_date

Key = tuple[str, Place]
"""A product and a message."""
_ALL = 1_000_000
"""More levels than books have."""


def assert_checkpoints(out_dir: Path, truth: Reference) -> int:
    """Hold all checkpoints to the reference, and files of `book` to them; return how many there are.

    AssertionError if a checkpoint is not the full book in front of its message, if one is missing that is needed to
    replay a file alone, or if a file of them is not in order.
    """
    trusts_beat = truth.book is not None and truth.book.trusts_beat
    rows = book_rows(truth.recording, depth=_ALL, trusts_beat=trusts_beat)
    true = {(row.product_id, row.place): row for row in rows}
    found: dict[str, list[Key]] = {}
    for path in sorted((out_dir / "book_checkpoints").rglob("*.parquet")):
        rows = _rows(path)
        places = [(str(row["segment"]), int(str(row["line"]))) for row in rows]
        assert places == sorted(places), f"{path} is not sorted by place"
        keys = []
        for _, group in groupby(rows, key=lambda row: (row["segment"], row["line"])):
            levels = list(group)
            key = str(levels[0]["product_id"]), (str(levels[0]["segment"]), int(str(levels[0]["line"])))
            assert levels == _expected(true[key], is_decimal=truth.numbers == "decimal"), f"{path}: {key}"
            keys.append(key)
        found[_place_of(path, out_dir / "book_checkpoints")] = keys
    for path in sorted((out_dir / "book").rglob("*.parquet")):
        _assert_enough(path, found.get(_place_of(path, out_dir / "book"), []), true)
    return sum(len(keys) for keys in found.values())


def _place_of(path: Path, directory: Path) -> str:
    """Return which file of which partition it is: its path without what names its content."""
    place, _, content = str(path.relative_to(directory)).rpartition("-")
    assert len(content) == len("0123456789ab.parquet"), f"{path} is not named by its content"
    return place


def _expected(row: BookRow, *, is_decimal: bool) -> list[Row]:
    """Return the rows of the checkpoint in front of a message."""
    before, ts_server = row.before, row.heard.message.ts_server
    assert before is not None, f"{row.place} is the first message of its product: there is no book before it"
    assert ts_server is not None
    every: Row = {
        "product_id": row.product_id,
        "date": utc_date(ts_server),
        "ts_server": ts_server,
        "connection_id": row.heard.connection,
        "segment": row.place[0],
        "line": row.place[1],
        "ts_align": before.ts_align,
        "book_state": before.state,
    }
    levels = [
        {
            "side": side,
            "level": level,
            "price": price if is_decimal else float(price),
            "size": size if is_decimal else float(size),
        }
        for side, of_side in (("bid", before.bids), ("ask", before.asks))
        for level, (price, size) in enumerate(of_side)
    ]
    return [every | one for one in levels or [dict.fromkeys(("side", "level", "price", "size"))]]


def _assert_enough(path: Path, checkpoints: list[Key], true: dict[Key, BookRow]) -> None:
    """Say whether the rows of a file of `book` can be had from the checkpoints beside it and `level2`."""
    of_connections: dict[str, list[BookRow]] = defaultdict(list)
    for key in checkpoints:
        of_connections[true[key].heard.connection].append(true[key])
    seen: set[object] = set()
    for row in _rows(path, "product_id", "segment", "line", "connection_id"):
        if row["connection_id"] in seen:
            continue
        seen.add(row["connection_id"])
        first = true[str(row["product_id"]), (str(row["segment"]), int(str(row["line"])))]
        books = [one for one in of_connections[first.heard.connection] if one.place <= first.place]
        assert bool(books) == (first.before is not None), f"{path}: no checkpoint in front of {first.place}"
        step = first if books else None
        while step is not None and step.place != books[-1].place:
            step = step.before
            assert step is not None and not step.is_published, f"{path}: no checkpoint in front of {first.place}"


def _rows(path: Path, *columns: str) -> list[Row]:
    table = pq.read_table(path, partitioning=None, columns=list(columns) or None)
    arrays = [column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column for column in table.columns]
    rows: list[Row] = pa.table(arrays, names=table.column_names).to_pylist()
    return rows
