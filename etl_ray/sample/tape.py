"""The trades of one product, and the candles and day figures that follow from them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from etl_ray.sample.book import Fill
from etl_ray.sample.draws import log_uniform_sizes, raw_block
from etl_ray.sample.instruments import Instrument
from etl_ray.sample.options import NS_PER_S

BUCKET_S = 300
DAY_S = 86_400
# The venue's snapshot of past trades; what it holds is never lost by a reconnect.
SNAPSHOT_TRADES = 100
_PAST_TRADES = 60
_PAST_TRADE_NS = 8 * NS_PER_S


class Trade(NamedTuple):
    """One trade in ticks and lots; `time_ns` is the venue's, in whole microseconds."""

    trade_id: int
    ticks: int
    lots: int
    time_ns: int
    taker_buys: bool


@dataclass(slots=True)
class Candle:
    """One 5-minute bucket, in ticks and lots."""

    start_s: int
    open: int
    high: int
    low: int
    close: int
    volume: int


class Tape:
    """Keep a product's recent trades, its candles and its last 24 hours (by whole buckets)."""

    def __init__(self, instrument: Instrument, *, seed: int, start_ns: int) -> None:
        self._next_id = 100_000_000 + instrument.key % 800_000_000
        first_ns = start_ns - _PAST_TRADES * _PAST_TRADE_NS
        self._first_bucket_s = _bucket_s(first_ns)
        self._day = deque(_past_day(instrument, seed=seed, end_s=self._first_bucket_s))
        self.candle = self._day[-1]
        self.finished: list[Candle] = []
        self.recent: deque[Trade] = deque(maxlen=SNAPSHOT_TRADES)
        self.undelivered: list[Trade] = []
        self.low_52w = instrument.price_ticks * 6 // 10
        self.high_52w = instrument.price_ticks * 15 // 10
        self.day_volume = 0
        self.day_low = self.day_high = instrument.price_ticks
        self._summarize_day()
        self._add_past_trades(instrument, seed=seed, first_ns=first_ns)

    @property
    def room(self) -> int:
        """Return how many trades may happen before they are delivered, so that a snapshot heals every reconnect."""
        return SNAPSHOT_TRADES - len(self.undelivered)

    @property
    def last(self) -> Trade:
        """Return the last trade."""
        return self.recent[-1]

    @property
    def day_open(self) -> int:
        """Return the price 24 hours ago."""
        return self._day[0].open

    def add(self, fills: Sequence[Fill], *, time_ns: int, taker_buys: bool) -> None:
        """Record the fills of one taker order."""
        for fill in fills:
            trade = Trade(self._next_id, fill.ticks, fill.lots, time_ns, taker_buys)
            self._next_id += 1
            self.recent.append(trade)
            self.undelivered.append(trade)
            self._count(trade)

    def deliver(self) -> list[Trade]:
        """Return the trades since the last call, oldest first."""
        trades, self.undelivered = self.undelivered, []
        return trades

    def candles(self) -> list[Candle]:
        """Return what a candle message carries: buckets finished since the last call, then the current one."""
        finished, self.finished = self.finished, []
        return [*finished, self.candle]

    def last_candles(self) -> list[Candle]:
        """Return what a candle snapshot carries: the last two buckets in which this tape has trades."""
        self.finished = []
        return [candle for candle in list(self._day)[-2:] if candle.start_s >= self._first_bucket_s]

    def _add_past_trades(self, instrument: Instrument, *, seed: int, first_ns: int) -> None:
        raw = raw_block(_PAST_TRADES, seed, instrument.key, 3)
        sizes = log_uniform_sizes(raw, size_lots=instrument.size_lots).tolist()
        spacing = instrument.spacing_ticks
        for index, (bits, lots) in enumerate(zip(raw.tolist(), sizes, strict=True)):
            ticks = instrument.price_ticks - spacing + (bits >> 20) % (2 * spacing + 1)
            time_us = (first_ns + index * _PAST_TRADE_NS) // 1000 + (bits >> 32) % 2_000_000
            self.add((Fill(ticks, lots),), time_ns=time_us * 1000, taker_buys=bool(bits >> 63))

    def _count(self, trade: Trade) -> None:
        start_s = _bucket_s(trade.time_ns)
        if start_s != self.candle.start_s:
            if self.candle.start_s >= self._first_bucket_s:
                self.finished.append(self.candle)
            self.candle = Candle(start_s, trade.ticks, trade.ticks, trade.ticks, trade.ticks, 0)
            self._day.append(self.candle)
            while self._day[0].start_s <= start_s - DAY_S:
                self._day.popleft()
            self._summarize_day()
        candle = self.candle
        candle.high = max(candle.high, trade.ticks)
        candle.low = min(candle.low, trade.ticks)
        candle.close = trade.ticks
        candle.volume += trade.lots
        self.day_volume += trade.lots
        self.day_high = max(self.day_high, trade.ticks)
        self.day_low = min(self.day_low, trade.ticks)
        self.high_52w = max(self.high_52w, trade.ticks)
        self.low_52w = min(self.low_52w, trade.ticks)

    def _summarize_day(self) -> None:
        self.day_volume = sum(candle.volume for candle in self._day)
        self.day_high = max(candle.high for candle in self._day)
        self.day_low = min(candle.low for candle in self._day)


def _bucket_s(time_ns: int) -> int:
    return time_ns // NS_PER_S // BUCKET_S * BUCKET_S


def _past_day(instrument: Instrument, *, seed: int, end_s: int) -> list[Candle]:
    # Trades older than the tape: they count in the 24 h figures and leave them bucket by bucket.
    price, spacing = instrument.price_ticks, instrument.spacing_ticks
    candles = []
    for index, bits in enumerate(raw_block(DAY_S // BUCKET_S, seed, instrument.key, 4).tolist()):
        start_s = end_s - DAY_S + index * BUCKET_S
        opened = price + (bits & 0xFFFF) % (64 * spacing + 1) - 32 * spacing
        reach = (bits >> 16 & 0xFFFF) % (32 * spacing + 1)
        volume = instrument.size_lots * 8 + (bits >> 32) % (instrument.size_lots * 8)
        candles.append(Candle(start_s, opened, opened + reach, opened - reach, opened, volume))
    return candles
