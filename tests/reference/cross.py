"""Trades beside books, and features of intervals: the definitions once more, row by row in exact fractions.

Rows are looked for one by one among all of them, and nothing is kept from one row to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from statistics import median

DAY_NS = 24 * 3600 * 10**9
Value = int | str | bool | Fraction | None
Row = dict[str, Value]


@dataclass(frozen=True)
class Trade:
    """A trade; times in ns."""

    trade_id: int
    ts_event: int
    arrival: int
    price: Fraction
    size: Fraction
    side: str

    @property
    def sign(self) -> int:
        """Return 1 where the taker bought, else -1."""
        return 1 if self.side == "buy" else -1


@dataclass(frozen=True)
class BookState:
    """The book after a message; times in ns."""

    ts_align: int
    arrival: int
    state: str
    crossed: bool
    bid: Fraction | None
    bid_size: Fraction | None
    ask: Fraction | None
    ask_size: Fraction | None
    ofi: Fraction | None

    @property
    def mid(self) -> Fraction | None:
        """Return the mid of a book of two sides that is not crossed."""
        if self.crossed or self.bid is None or self.ask is None or self.bid + self.ask == 0:
            return None
        return (self.bid + self.ask) / 2


@dataclass(frozen=True)
class Wanted:
    """What is asked for: as `FeatureOptions`."""

    interval_ns: int
    max_book_age_ns: int
    states: tuple[str, ...]
    kyle_step_ns: int
    kyle_window_ns: int
    kyle_min_n: int
    vpin_bucket: Fraction | None
    vpin_n: int


Order = list[Trade]


@dataclass(frozen=True)
class Recording:
    """All trades by (ts_event, trade_id), and all books in order of arrival."""

    trades: Sequence[Trade]
    books: Sequence[BookState]
    wanted: Wanted

    def book_before(self, time: int) -> BookState | None:
        """Return the last one, by arrival, whose clock is before a time."""
        return next((book for book in reversed(self.books) if book.ts_align < time), None)

    def usable_mid(self, book: BookState | None) -> Fraction | None:
        """Return the mid of a book whose state is good enough."""
        return book.mid if book is not None and book.state in self.wanted.states else None

    def orders(self) -> list[Order]:
        """Return the taker orders."""
        orders: list[Order] = []
        for trade in self.trades:
            if orders and (orders[-1][-1].ts_event, orders[-1][-1].side) == (trade.ts_event, trade.side):
                orders[-1].append(trade)
            else:
                orders.append([trade])
        return orders

    def met(self, order: Order) -> BookState | None:
        """Return the book that an order met: the last one, by arrival, that is before it and at most a day old."""
        time = order[0].ts_event
        return next((book for book in reversed(self.books) if time - DAY_NS <= book.ts_align < time), None)

    def spread(self, order: Order, price: Fraction) -> Fraction | None:
        """Return the effective spread of a price, in bps."""
        book = self.met(order)
        mid = self.usable_mid(book)
        if book is None or mid is None or order[0].ts_event - book.ts_align > self.wanted.max_book_age_ns:
            return None
        return 20_000 * order[0].sign * (price - mid) / mid

    def order_known(self, order: Order) -> int:
        """Return when the first fill, that it is the first, and its book were known."""
        place = self.trades.index(order[0])
        before = [self.trades[place - 1]] if place and self.trades[place - 1].ts_event == order[0].ts_event else []
        return latest([order[0], *before, self.met(order)])


def latest(seen: Sequence[Trade | BookState | None]) -> int:
    """Return the last arrival of all."""
    return max((one.arrival for one in seen if one is not None), default=-(2**63))


def utc_date(time: int) -> str:
    """Return YYYY-MM-DD."""
    return datetime.fromtimestamp(time // 10**9, UTC).strftime("%Y-%m-%d")


def trades_with_book_rows(recording: Recording, first_ns: int, end_ns: int) -> list[Row]:
    """Return a row for each trade of a span."""
    rows: list[Row] = []
    for order in recording.orders():
        book = recording.met(order)
        for trade in order:
            if first_ns <= trade.ts_event < end_ns:
                rows.append(
                    {
                        "date": utc_date(trade.ts_event),
                        "ts_event": trade.ts_event,
                        "ts_available": max(trade.arrival, recording.order_known(order)),
                        "trade_id": trade.trade_id,
                        "price": trade.price,
                        "size": trade.size,
                        "taker_side": trade.side,
                        "taker_order_id": order[0].trade_id,
                        "is_first_fill": trade is order[0],
                        "book_ts_align": book and book.ts_align,
                        "book_state": book and book.state,
                        "book_crossed": book and book.crossed,
                        "bid_price_0": book and book.bid,
                        "bid_size_0": book and book.bid_size,
                        "ask_price_0": book and book.ask,
                        "ask_size_0": book and book.ask_size,
                        "mid": recording.usable_mid(book),
                        "book_age_ns": book and trade.ts_event - book.ts_align,
                        "effective_spread_bps": recording.spread(order, trade.price),
                    }
                )
    return rows


def feature_rows(recording: Recording, first_ns: int, end_ns: int) -> list[Row]:
    """Return a row for each interval that begins in a span, holds something, and has ended."""
    length = recording.wanted.interval_ns
    clocks = [max(book.ts_align for book in recording.books[: k + 1]) for k in range(len(recording.books))]
    starts = {time // length * length for time in [*(trade.ts_event for trade in recording.trades), *clocks]}
    rows = (_Interval(recording, clocks, start).row() for start in sorted(starts) if first_ns <= start < end_ns)
    return [row for row in rows if row is not None]


@dataclass(frozen=True)
class _Interval:
    recording: Recording
    clocks: Sequence[int]
    start: int

    @property
    def end(self) -> int:
        return self.start + self.recording.wanted.interval_ns

    def row(self) -> Row | None:
        recording = self.recording
        limit = (self.start // DAY_NS + 2) * DAY_NS
        behind = [one.arrival for one in recording.trades if self.end <= one.ts_event < limit]
        behind += [one.arrival for one in recording.books if self.end <= one.ts_align < limit]
        if not behind:
            return None
        known: list[int] = [min(behind)]
        values = {**self.flow(known), **self.spreads(known), **self.order_flow(known), **self.kyle(known)}
        values |= self.vpin(known)
        times = {"ts_start": self.start, "ts_end": self.end, "ts_available": max(known)}
        return {"date": utc_date(self.start), **times, **values}

    def flow(self, known: list[int]) -> Row:
        mine = [one for one in self.recording.trades if self.start <= one.ts_event < self.end]
        known.append(latest(mine))
        buys, sells = (sum((one.size for one in mine if one.side == side), Fraction(0)) for side in ("buy", "sell"))
        volumes = {"volume": buys + sells, "buy_volume": buys, "sell_volume": sells, "signed_volume": buys - sells}
        return {"trades": len(mine), **volumes}

    def spreads(self, known: list[int]) -> Row:
        mine = [one for one in self.recording.orders() if self.start <= one[0].ts_event < self.end]
        known.extend(self.recording.order_known(one) for one in mine)
        found: list[tuple[Fraction, Fraction]] = []
        for order in mine:
            notional = sum((one.price * one.size for one in order), Fraction(0))
            volume = sum((one.size for one in order), Fraction(0))
            spread = self.recording.spread(order, notional / volume) if volume else None
            if spread is not None:
                found.append((spread, notional))
        weight = sum(notional for _, notional in found)
        return {
            "n_taker_orders": len(mine),
            "effective_spread_bps_mean": sum(one * notional for one, notional in found) / weight if weight else None,
            "effective_spread_bps_median": median(one for one, _ in found) if found else None,
            "effective_spread_n": len(found),
        }

    def order_flow(self, known: list[int]) -> Row:
        books = self.recording.books
        places = [k for k, clock in enumerate(self.clocks) if self.start <= clock < self.end]
        known.append(latest([books[k] for k in places]))
        # Without the row that closed the interval, later rows might be of it.
        closing = next((k for k, book in enumerate(books) if book.ts_align >= self.end), None)
        if closing is not None and any(book.ts_align < self.end for book in books[closing:]):
            known.append(books[closing].arrival)
        flows = [books[k].ofi for k in places]
        told = [one for one in flows if one is not None]
        is_good = all(books[k].state in self.recording.wanted.states for k in places)
        return {
            "ofi": sum(told, Fraction(0)) if told and is_good else None,
            "ofi_n": len(told),
            "ofi_missing": len(flows) - len(told),
            "n_messages": len(places),
        }

    def kyle(self, known: list[int]) -> Row:
        recording, wanted = self.recording, self.recording.wanted
        edges = range(self.end - wanted.kyle_window_ns, self.end + 1, wanted.kyle_step_ns)
        in_window = [one for one in recording.trades if edges[0] <= one.ts_event < self.end]
        met = [recording.book_before(edge) for edge in edges]
        known += [latest(in_window), latest(met)]
        met = [
            None if book is None or edge - book.ts_align > wanted.kyle_window_ns else book
            for edge, book in zip(edges, met, strict=True)
        ]
        mids = [recording.usable_mid(book) for book in met]
        points: list[tuple[Fraction, Fraction]] = []
        for k in range(1, len(edges)):
            before, after = mids[k - 1], mids[k]
            if before is not None and after is not None:
                step = [one for one in in_window if edges[k - 1] <= one.ts_event < edges[k]]
                points.append((sum((one.sign * one.size for one in step), Fraction(0)), after - before))
        row: Row = {"kyle_lambda": None, "kyle_r2": None, "kyle_n": len(points)}
        is_bad = any(book is not None and mid is None for book, mid in zip(met, mids, strict=True))
        if is_bad or len(points) < wanted.kyle_min_n:
            return row
        mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
        xx = sum((x - mean_x) ** 2 for x, _ in points)
        xy = sum((x - mean_x) * (y - mean_y) for x, y in points)
        yy = sum((y - mean_y) ** 2 for _, y in points)
        if xx:
            row["kyle_lambda"] = xy / xx
            row["kyle_r2"] = 1 - sum((y - mean_y - xy / xx * (x - mean_x)) ** 2 for x, y in points) / yy if yy else None
        return row

    def vpin(self, known: list[int]) -> Row:
        recording, wanted = self.recording, self.recording.wanted
        date = (self.end - 1) // DAY_NS * DAY_NS
        known.append(self._vpin_known(date))
        if not self._bucket(date):
            return {"vpin": None, "vpin_n": 0}
        buckets = [
            (bought, sold)
            for day, end in ((date - DAY_NS, date), (date, self.end))
            for bought, sold in filled(
                [one for one in recording.trades if day <= one.ts_event < end], self._bucket(day)
            )
        ][-wanted.vpin_n :]
        row: Row = {"vpin": None, "vpin_n": len(buckets)}
        if len(buckets) == wanted.vpin_n:
            row["vpin"] = sum(abs(one - other) for one, other in buckets) / sum(one + other for one, other in buckets)
        return row

    def _bucket(self, date: int) -> Fraction:
        """Return how large a bucket is on a date, 0 if that is not known."""
        trades = self.recording.trades
        if self.recording.wanted.vpin_bucket is not None:
            return self.recording.wanted.vpin_bucket
        earlier = [one for one in trades if one.ts_event < date - DAY_NS]
        mine = [one for one in trades if date - DAY_NS <= one.ts_event < date]
        later = [one for one in trades if one.ts_event >= date]
        if not earlier or not later:
            return Fraction(0)
        ids = {one.trade_id for one in [earlier[-1], *mine, later[0]]}
        is_complete = ids == set(range(min(ids), max(ids) + 1))
        return sum((one.size for one in mine), Fraction(0)) / 50 if is_complete else Fraction(0)

    def _vpin_known(self, date: int) -> int:
        """Return when all trades were known that decide on the size of buckets, and those in them."""
        trades = self.recording.trades
        is_fixed = self.recording.wanted.vpin_bucket is not None
        begin = date - DAY_NS if is_fixed else date - 2 * DAY_NS
        needed = [one for one in trades if begin <= one.ts_event < self.end]
        if not is_fixed:
            needed += [one for one in trades if one.ts_event < begin][-1:]
            needed += [one for one in trades if one.ts_event >= date][:1]
        return latest(needed)


def filled(trades: Sequence[Trade], bucket: Fraction) -> list[tuple[Fraction, Fraction]]:
    """Return what was bought and sold in each full bucket."""
    found: list[tuple[Fraction, Fraction]] = []
    bought = sold = Fraction(0)
    for trade in trades if bucket else []:
        left = trade.size
        while left:
            part = min(left, bucket - bought - sold)
            bought, sold = (bought + part, sold) if trade.side == "buy" else (bought, sold + part)
            left -= part
            if bought + sold == bucket:
                found.append((bought, sold))
                bought = sold = Fraction(0)
    return found
