"""Which derived tables are computed of what: a task for each product and date, with the files around it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from urllib.parse import unquote

from etl_ray.config.derived import DerivedConfig
from etl_ray.orchestrators.receipts import BuiltFile
from etl_ray.tables import MARKET_TRADES, Numbers

_NS_PER_DAY = 86_400_000_000_000
_DAYS_BEFORE, _DAYS_BEHIND = 2, 1

Days = Mapping[str, tuple[str, ...]]
"""Files by date, each date's in order."""


@dataclass(frozen=True)
class DeriveOptions:
    """How derived tables are computed: files are read below `input` and written below `output`."""

    input: str
    output: str
    numbers: Numbers
    rows_per_group: int
    derived: DerivedConfig


@dataclass(frozen=True)
class DeriveTask:
    """What is to be computed of a product on `dates`: bars (by their specs), and tables made with books.

    `trades` and `books` are the files around these dates, `edges` those of the nearest dates with trades beyond them.
    """

    product: str
    dates: tuple[str, ...]
    bars: tuple[str, ...]
    with_books: bool
    trades: Days
    edges: Days
    books: Days
    bytes: int

    def located(self, where: Callable[[str], str]) -> DeriveTask:
        """Return the task with other names for its files."""
        found = ({day: tuple(map(where, paths)) for day, paths in days.items()} for days in self._days)
        trades, edges, books = found
        return replace(self, trades=trades, edges=edges, books=books)

    @property
    def _days(self) -> tuple[Days, Days, Days]:
        return self.trades, self.edges, self.books


def plan_derived(files: Iterable[BuiltFile], derived: DerivedConfig) -> Iterator[DeriveTask]:
    """Yield the tasks of all products, in order; the files are those of all tables."""
    if not derived.is_asked:
        return
    trades: dict[str, dict[str, list[BuiltFile]]] = {}
    books: dict[str, dict[str, list[BuiltFile]]] = {}
    for file in files:
        found = {MARKET_TRADES.name: trades, "book": books}.get(file.table)
        if found is not None and file.rows:
            keys = dict(part.split("=", 1) for part in file.path.split("/")[1:-1])
            found.setdefault(unquote(keys["product_id"]), {}).setdefault(keys["date"], []).append(file)
    for product in sorted({*trades, *books} if derived.needs_books else trades):
        yield from _of_product(product, trades.get(product, {}), books.get(product, {}), derived)


def _of_product(
    product: str,
    trades: Mapping[str, list[BuiltFile]],
    books: Mapping[str, list[BuiltFile]],
    derived: DerivedConfig,
) -> Iterator[DeriveTask]:
    endless = tuple(text for text in derived.bars if derived.reset == "never" and ":" in text)
    daily = tuple(text for text in derived.bars if text not in endless)
    if endless and trades:
        dates = tuple(sorted(trades))
        yield _task(product, dates, trades, {}, bars=endless, with_books=False)
    used = {*(trades if derived.bars else ()), *({*trades, *books} if derived.needs_books else ())}
    if not used or not (daily or derived.needs_books):
        return
    if _crosses_midnight(derived):
        used |= {_shifted(day, -1) for day in used}  # what begins there may have all its rows behind midnight
    for day in _all_days(min(used), max(used)) if derived.fill else sorted(used):
        yield _task(product, (day,), trades, books, bars=daily if trades else (), with_books=derived.needs_books)


def _crosses_midnight(derived: DerivedConfig) -> bool:
    """Tell whether some bar or interval by time has a length that does not divide a day."""
    from etl_ray.bars import parse_bar

    lengths = [int(parse_bar(text).size) for text in derived.bars if ":" not in text]
    if derived.features is not None:
        lengths.append(derived.duration_ns("features"))
    return any(_NS_PER_DAY % length for length in lengths)


def _task(
    product: str,
    dates: tuple[str, ...],
    trades: Mapping[str, list[BuiltFile]],
    books: Mapping[str, list[BuiltFile]],
    *,
    bars: tuple[str, ...],
    with_books: bool,
) -> DeriveTask:
    first, last = dates[0], dates[-1]
    # Bars need the date itself, and the next one where their length does not divide a day.
    near = set(_all_days(_shifted(first, -_DAYS_BEFORE if with_books else 0), _shifted(last, _DAYS_BEHIND))) | set(
        dates
    )
    used = {day: trades[day] for day in sorted(near & trades.keys())}
    beside = {
        day: books[day] for day in _all_days(_shifted(first, -1), _shifted(last, 1)) if with_books and day in books
    }
    known = sorted(trades)
    before = bisect_left(known, min(near)) - 1
    behind = bisect_left(known, _shifted(max(near), 1))
    edges = [known[k] for k in (before, behind) if 0 <= k < len(known)]
    return DeriveTask(
        product=product,
        dates=dates,
        bars=bars,
        with_books=with_books,
        trades=_paths(used),
        edges=_paths({day: trades[day] for day in edges}),
        books=_paths(beside),
        bytes=sum(file.bytes for found in (*used.values(), *beside.values()) for file in found),
    )


def _paths(found: Mapping[str, list[BuiltFile]]) -> dict[str, tuple[str, ...]]:
    return {day: tuple(sorted(file.path for file in files)) for day, files in found.items()}


def _shifted(day: str, days: int) -> str:
    return (date.fromisoformat(day) + timedelta(days)).isoformat()


def _all_days(first: str, last: str) -> list[str]:
    count = (date.fromisoformat(last) - date.fromisoformat(first)).days + 1
    return [_shifted(first, k) for k in range(count)]


def span_ns(dates: tuple[str, ...]) -> tuple[int, int]:
    """Return the beginning of the first date and the end of the last, ns UTC."""
    epoch = date(1970, 1, 1)
    first, last = ((date.fromisoformat(day) - epoch).days for day in (dates[0], dates[-1]))
    return first * _NS_PER_DAY, (last + 1) * _NS_PER_DAY
