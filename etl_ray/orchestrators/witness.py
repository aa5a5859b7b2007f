"""Books held to tickers: the stage behind the books, a product at a time, from the files that were just written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from etl_ray import storage
from etl_ray.orchestrators.receipts import BuiltFile
from etl_ray.tables.dates import date_of
from etl_ray.tables.partitions import encode_value
from etl_ray.tables.schema import TIME
from etl_ray.tables.witness import WITNESS
from etl_ray.venues.rows import NS_PER_DAY, Bools, Int64s

Kind = Literal["candle", "ticker"]

_NS_PER_HOUR = 3_600_000_000_000
_ANY_DATE = ""
_ROWS_BEHIND = 2
_STATE = ("ts_server", "bid_price_0", "ask_price_0")
_TICKER = ("ts_server", "best_bid", "best_ask")
_NO_STATES = pa.table({"ts_server": pa.array([], TIME), "bid_price_0": [], "ask_price_0": []})


@dataclass(frozen=True)
class WitnessOptions:
    """Final files lie below `output`."""

    output: str


@dataclass(frozen=True)
class WitnessTask:
    """The files of `book` of a product by date, each date's in order, its files of `ticker`, and their size.

    Of books around the dates of tickers those are enough that have the last row before and the first two behind.
    """

    product: str
    books: dict[str, tuple[str, ...]]
    tickers: tuple[str, ...]
    bytes: int

    def located(self, where: Callable[[str], str]) -> WitnessTask:
        """Return the task with other names for its files."""
        books = {date: tuple(map(where, paths)) for date, paths in self.books.items()}
        return replace(self, books=books, tickers=tuple(map(where, self.tickers)))


@dataclass(frozen=True)
class WitnessSpan:
    """The counts of an hour or a date that begins at `ts_start` (ns)."""

    ts_start: int
    witnesses: int
    compared: int
    equal: int


@dataclass(frozen=True)
class Witnessed:
    """What witnesses of a kind say of a product, in order of time."""

    product: str
    kind: Kind
    spans: tuple[WitnessSpan, ...]


def plan_witness(files: Iterable[BuiltFile], products: Iterable[str]) -> tuple[WitnessTask, ...]:
    """Return a task for each of the products that has books and tickers, and for each date of these.

    Files of tickers are by product. Where they are not by date, one task holds all.
    """
    books: dict[str, dict[str, list[BuiltFile]]] = {}
    tickers: dict[str, dict[str, list[BuiltFile]]] = {}
    for file in files:
        if file.table in ("book", "ticker") and file.rows:
            keys = dict(part.split("=", 1) for part in file.path.split("/")[1:-1])
            found = books if file.table == "book" else tickers
            found.setdefault(keys["product_id"], {}).setdefault(keys.get("date", _ANY_DATE), []).append(file)
    return tuple(
        _task(product, _near(books[name], date), sorted(said, key=lambda file: file.path))
        for product in sorted(products)
        if (name := encode_value(product)) in books
        for date, said in sorted(tickers.get(name, {}).items())
    )


def _task(product: str, books: dict[str, list[BuiltFile]], tickers: Sequence[BuiltFile]) -> WitnessTask:
    return WitnessTask(
        product=product,
        books={date: tuple(file.path for file in files) for date, files in books.items()},
        tickers=tuple(file.path for file in tickers),
        bytes=sum(file.bytes for file in (*tickers, *(file for files in books.values() for file in files))),
    )


def _near(books: dict[str, list[BuiltFile]], date: str) -> dict[str, list[BuiltFile]]:
    """Return the files of a date, the last one before it, and as many behind it as hold two rows."""
    ordered = {day: sorted(files, key=lambda file: file.path) for day, files in sorted(books.items())}
    if date == _ANY_DATE:
        return ordered
    near: dict[str, list[BuiltFile]] = {}
    behind = 0
    for day, files in ordered.items():
        if day < date:
            near = {day: files[-1:]}
        elif day == date:
            near[day] = files
        else:
            for file in files:
                if behind < _ROWS_BEHIND:
                    near.setdefault(day, []).append(file)
                    behind += file.rows
    return near


def witness(task: WitnessTask, options: WitnessOptions) -> Witnessed:
    """Hold the books of a product to its tickers."""
    days = _Days(task.books, options.output)
    counts: dict[int, Int64s] = {}
    for path in task.tickers:
        for rows in _groups(options.output, path, _TICKER):
            said = rows.filter(pc.and_(pc.is_valid(rows["best_bid"]), pc.is_valid(rows["best_ask"])))
            day = _ns(said) // NS_PER_DAY
            for number in np.unique(day).tolist():
                tickers = said.filter(pa.array(day == number))
                quiet, equal = _compare(tickers, days.states(date_of(number * NS_PER_DAY)))
                hours, index = np.unique(_ns(tickers) // _NS_PER_HOUR, return_inverse=True)
                for k, hour in enumerate(hours.tolist()):
                    mine = index == k
                    found = (mine.sum(), (mine & quiet).sum(), (mine & quiet & equal).sum())
                    counts.setdefault(hour, np.zeros(3, np.int64))[:] += found
    spans = (WitnessSpan(hour * _NS_PER_HOUR, *found.tolist()) for hour, found in sorted(counts.items()))
    return Witnessed(task.product, "ticker", tuple(spans))


def witness_rows(found: Iterable[Witnessed]) -> pa.Table:
    """Return the rows of `witness`, sorted."""
    rows = [
        {
            "product_id": item.product,
            "date": date_of(span.ts_start),
            "kind": item.kind,
            "ts_start": span.ts_start,
            "n_witnesses": span.witnesses,
            "n_compared": span.compared,
            "n_equal": span.equal,
            "share": span.equal / span.compared if span.compared else None,
        }
        for item in found
        for span in item.spans
    ]
    rows.sort(key=lambda row: tuple(row[name] for name in WITNESS.order))
    return pa.Table.from_pylist(rows, schema=WITNESS.schema())


def _compare(tickers: pa.Table, states: pa.Table) -> tuple[Bools, Bools]:
    """Return of each ticker whether best prices stood still, and whether they are the ticker's.

    They stood still if the last state by the ticker's ts_server and the two behind it have the same.
    """
    # A clock that steps back must not bring back an earlier state.
    clock = np.maximum.accumulate(_ns(states)) if len(states) else np.empty(0, np.int64)
    at = np.searchsorted(clock, _ns(tickers), "right") - 1
    there = (at >= 0) & (at + 2 < len(states))
    if not there.any():
        return there, there
    quiet, equal = there, there
    for price, said in (("bid_price_0", "best_bid"), ("ask_price_0", "best_ask")):
        now, *later = (states[price].take(pa.array(np.where(there, at + step, 0))) for step in range(3))
        for other in later:
            quiet = quiet & _same(now, other)
        equal = equal & _same(now, tickers[said])
    return quiet, equal


def _same(one: pa.ChunkedArray, other: pa.ChunkedArray) -> Bools:
    """Tell where two columns have the same value; null is none."""
    found: Bools = pc.equal(one, other).fill_null(False).to_numpy()
    return found


class _Days:
    """The states of a product by day; those of one day are kept."""

    def __init__(self, paths: dict[str, tuple[str, ...]], output: str) -> None:
        self._paths = paths
        self._output = output
        self._date = ""
        self._states = pa.table({})

    def states(self, date: str) -> pa.Table:
        """Return the states of a day in arrival order, with the last one before them and the first two behind."""
        if date != self._date:
            before = [day for day in self._paths if day < date]
            behind = [day for day in self._paths if day > date]
            parts = [self._last(before[-1])] if before else []
            parts += [rows for path in self._paths.get(date, ()) for rows in _groups(self._output, path, _STATE)]
            self._states = pa.concat_tables([*parts, *self._first(behind)]) if parts or behind else _NO_STATES
            self._date = date
        return self._states

    def _last(self, date: str) -> pa.Table:
        *_, rows = _groups(self._output, self._paths[date][-1], _STATE)
        return rows.slice(len(rows) - 1)

    def _first(self, dates: Sequence[str]) -> Iterator[pa.Table]:
        missing = _ROWS_BEHIND
        for path in (path for date in dates for path in self._paths[date]):
            for rows in _groups(self._output, path, _STATE):
                yield rows.slice(0, missing)
                missing -= min(missing, len(rows))
                if not missing:
                    return


def _groups(output: str, path: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the row groups of a file."""
    with storage.open_read(storage.join(output, path)) as raw, pq.ParquetFile(raw) as file:
        for index in range(file.num_row_groups):
            yield file.read_row_group(index, columns=list(columns), use_threads=False)


def _ns(rows: pa.Table) -> Int64s:
    values: Int64s = rows["ts_server"].cast(pa.int64()).to_numpy()
    return values
