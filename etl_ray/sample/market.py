"""One product's market: a book that walks, orders that hit it, and the terms it is traded on."""

from __future__ import annotations

from typing import NamedTuple

from etl_ray.sample.book import ASK, BID, Book
from etl_ray.sample.draws import raw_draws
from etl_ray.sample.instruments import Instrument
from etl_ray.sample.tape import Tape

# The most fills of one taker order.
_MAX_FILLS = 6
_NS_PER_US = 1000


class Terms(NamedTuple):
    """What a `status` message says about a product beyond its fixed terms."""

    status: str = "online"
    status_message: str = ""
    min_market_funds: str = "1"


class Market:
    """Run one product, message by message; connections only look at it.

    After `tick`, `book.touched` holds the levels that a level2 message has to carry and `event_ns` its event time.
    """

    def __init__(self, instrument: Instrument, *, seed: int, levels: int, rate_milli: int, start_ns: int) -> None:
        self.instrument = instrument
        self.book = Book(instrument, seed=seed, levels=levels)
        self.tape = Tape(instrument, seed=seed, start_ns=start_ns)
        self.terms = Terms()
        self.event_ns = start_ns // _NS_PER_US * _NS_PER_US
        self._interval_ns = 10**12 // rate_milli
        self._step_units = instrument.step_units(rate_milli)
        self._draws = raw_draws(seed, instrument.key, 5)
        self._terms_changes = 0
        self._next_ns = start_ns

    def next_tick_ns(self, now_ns: int) -> int:
        """Return when the message after the one of `now_ns` is due: 0.6 to 1.4 mean intervals later."""
        self._next_ns = now_ns + self._interval_ns * (614 + (next(self._draws) & 1023) * 819 // 1024) // 1024
        return self._next_ns

    def advance(self, until_ns: int, *, is_unseen: bool = False) -> None:
        """Run unobserved until `until_ns`, as between two connections.

        If it `is_unseen`, there may be more trades than the next snapshot holds: those before them are lost.
        """
        while self._next_ns < until_ns:
            self.tick(self._next_ns)
            self.next_tick_ns(self._next_ns)
            if is_unseen:
                self.tape.deliver()

    def tick(self, server_ns: int) -> int:
        """Run up to a message sent at `server_ns`; return how many trades happened."""
        raw = next(self._draws)
        before_ns, lag_ns = self.event_ns, 10_000_000 + (raw & 0xFF) * 100_000
        self.event_ns = max(before_ns + 3 * _NS_PER_US, (server_ns - lag_ns) // _NS_PER_US * _NS_PER_US)
        third_ns = (self.event_ns - before_ns) // 3 // _NS_PER_US * _NS_PER_US
        last_id = self.tape.last.trade_id
        self.book.begin()
        self._walk(raw >> 8, time_ns=before_ns + third_ns)
        raw = next(self._draws)
        if raw & 15 < 5:
            self._order(raw >> 4, time_ns=before_ns + 2 * third_ns)
        lots = 1 + ((raw >> 24 & 0xFFFF) * self.instrument.size_lots >> 18)
        for side in (BID, ASK):
            self.book.improve(side, gap_ticks=raw >> 40 & 0xFFFF, lots=lots)
        spread = raw >> 56
        # Squares: most messages are short, and one of 64 is eight times as long.
        changes = 2 + (spread * spread * 48 >> 16)
        self.book.shuffle(changes * 8 if raw & 0x3F0000 == 0 else changes)
        if raw & 0xFF00 == 0:
            self.book.quirk()
        return self.tape.last.trade_id - last_id

    def change_terms(self) -> None:
        """Change what `status` says: a halt, its end, another minimum."""
        turn = self._terms_changes % 3
        self._terms_changes += 1
        if turn == 0:
            self.terms = self.terms._replace(status="limit_only", status_message="Market orders are paused")
        elif turn == 1:
            self.terms = self.terms._replace(status="online", status_message="")
        else:
            self.terms = self.terms._replace(min_market_funds="2" if self.terms.min_market_funds == "1" else "1")

    def _walk(self, raw: int, *, time_ns: int) -> None:
        # The sum of four bytes is close enough to normal, with a standard deviation of 148.
        centred = (raw & 0xFF) + (raw >> 8 & 0xFF) + (raw >> 16 & 0xFF) + (raw >> 24 & 0xFF) - 510
        self.book.walk(centred * self._step_units // 148)
        for side in (BID, ASK):
            fills = self.book.clear(side, max_levels=min(_MAX_FILLS, self.tape.room))
            # Of the levels that the price passes, half are cancelled in time.
            if raw >> 32 & 1:
                self.tape.add(fills, time_ns=time_ns, taker_buys=side == ASK)

    def _order(self, raw: int, *, time_ns: int) -> None:
        side = raw & 1
        size_lots = 1 + ((raw >> 1 & 0xFFFF) * self.instrument.size_lots >> 18 + (raw >> 17 & 7))
        fills = self.book.take(side, size_lots, max_levels=min(_MAX_FILLS, self.tape.room))
        self.tape.add(fills, time_ns=time_ns, taker_buys=side == ASK)
