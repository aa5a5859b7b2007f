"""One connection: what a collector receives between its subscriptions and its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush

from etl_ray.sample import events
from etl_ray.sample.draws import raw_draws
from etl_ray.sample.levels import LevelWriter
from etl_ray.sample.market import Market
from etl_ray.sample.options import NS_PER_S
from etl_ray.sample.sender import Sender
from etl_ray.sample.sessions import NO_QUIRKS, Quirks
from etl_ray.sample.shapes import Message, Shape

_NS_PER_MS = 1_000_000
# In the order in which the collector subscribes.
_CHANNELS = (
    "heartbeats",
    "status",
    "level2",
    "market_trades",
    "ticker",
    "ticker_batch",
    "candles",
    "user",
)
_RESUBSCRIBED = (_CHANNELS.index("level2"), _CHANNELS.index("market_trades"))
_SUBSCRIBE_EVERY_NS = 25 * _NS_PER_MS
_TRADES_EVERY_NS = 250 * _NS_PER_MS
_TICKER_BATCH_EVERY_NS = 5 * NS_PER_S
_STATUS_EVERY_NS = 20 * NS_PER_S
_USER_EVERY_NS = 25 * NS_PER_S
_FIRST_ERROR_NS, _ERROR_EVERY_NS = 700 * _NS_PER_MS, 45 * NS_PER_S
_ERROR_REASONS = ("authentication failure", "rate limit exceeded")
# Heartbeats are sent this much before the whole second, so that some are received exactly on it.
_BEAT_LEAD_NS = 15 * _NS_PER_MS
# One product changes its terms three times (halted, resumed, another minimum), then the next one does.
_CHANGES_PER_PRODUCT = 3

Action = Callable[[int, int], None]


class Connection:
    """Receive `markets` from `start_ns` to `end_ns`, both in server time.

    A ticker shows the book as of the level2 message before it. Trades come within 250 ms, the rest of them at the end,
    and after them the candles that contain them. `quirks` are what goes wrong.
    """

    def __init__(
        self,
        number: int,
        markets: Sequence[Market],
        shape: Shape,
        *,
        seed: int,
        start_ns: int,
        end_ns: int,
        quirks: Quirks = NO_QUIRKS,
    ) -> None:
        self._markets = markets
        self._start_ns, self._end_ns = start_ns, end_ns
        self._documented, self._newest_first = shape.documented, shape.newest_first
        self._quirks = quirks
        self._sender = Sender(number, shape, seed=seed, server_step=quirks.server_step)
        self._levels = [LevelWriter(market, shape) for market in markets]
        self._draws = raw_draws(seed, number, 1)
        self._uptime_ns = next(self._draws) % (100_000 * NS_PER_S)
        self._entries: dict[str, list[str]] = {}
        self._agenda: list[tuple[int, int, Action, int]] = []
        self._planned = 0
        self._held_event = ""

    def messages(self) -> Iterator[Message]:
        """Yield what arrives, in order; the markets move on as it is read."""
        for market in self._markets:
            market.advance(self._start_ns)
        for index in range(len(_CHANNELS)):
            self._plan(self._start_ns + index * _SUBSCRIBE_EVERY_NS, self._subscribe, index)
        self._plan(self._start_ns + _FIRST_ERROR_NS, self._error, 0)
        for at_ns in self._quirks.resubscribe_ns:
            for turn, index in enumerate(_RESUBSCRIBED):
                self._plan(at_ns + turn * _SUBSCRIBE_EVERY_NS, self._subscribe, index)
        outbox = self._sender.outbox
        while self._agenda[0][0] < self._end_ns:
            now_ns, _, action, index = heappop(self._agenda)
            action(now_ns, index)
            yield from outbox
            outbox.clear()
        self._release(self._end_ns)
        for index in range(len(self._markets)):
            self._trades(self._end_ns, index)
        self._candles(self._end_ns)
        yield from outbox

    def _plan(self, at_ns: int, action: Action, index: int) -> None:
        # The running number decides among equal times, so that actions are never compared.
        self._planned += 1
        heappush(self._agenda, (at_ns, self._planned, action, index))

    def _subscribe(self, now_ns: int, index: int) -> None:
        channel = _CHANNELS[index]
        is_new = channel not in self._entries
        self._release(now_ns)
        outbox = self._sender.outbox
        first = len(outbox)
        self._snapshot(channel, now_ns)
        if is_new:
            self._schedule(channel, now_ns)
        names = [market.instrument.product_id for market in self._markets]
        match channel:
            case "heartbeats" | "user":
                self._entries[channel] = [channel]
            case "ticker_batch":
                self._entries[channel] = names[:1]
            case _:
                self._entries[channel] = names
        # The snapshot comes before its acknowledgement, which names all that is subscribed by now.
        self._sender.send("subscriptions", events.subscriptions_event(self._entries), at_ns=now_ns)
        outbox[first] = outbox[first]._replace(answers="subscription" if is_new else "resubscription")

    def _snapshot(self, channel: str, now_ns: int) -> None:
        markets, documented, send = self._markets, self._documented, self._sender.send
        match channel:
            case "status":
                send("status", events.status_event(markets, kind="snapshot"), at_ns=now_ns)
            case "level2":
                # Whoever subscribes again gets the book that was missing.
                missing = self._quirks.bookless if channel not in self._entries else None
                for index, levels in enumerate(self._levels):
                    if index != missing:
                        self._sender.send_spaced("l2_data", levels.snapshot(), at_ns=now_ns)
            case "market_trades":
                for market in markets:
                    market.tape.deliver()
                    past = list(market.tape.recent)[::-1]
                    event = events.trades_event(market.instrument, past, kind="snapshot", documented=documented)
                    send("market_trades", event, at_ns=now_ns)
            case "ticker":
                event = events.ticker_event(markets, kind="snapshot", documented=documented, batch=False)
                send("ticker", event, at_ns=now_ns)
            case "ticker_batch":
                event = events.ticker_event(markets[:1], kind="snapshot", documented=documented, batch=True)
                send("ticker_batch", event, at_ns=now_ns)
            case "candles":
                candles = [(market.instrument, candle) for market in markets for candle in market.tape.last_candles()]
                send("candles", events.candles_event(candles, kind="snapshot"), at_ns=now_ns)
            case "user":
                send("user", events.user_event(markets[0].instrument, kind="snapshot", number=0), at_ns=now_ns)

    def _schedule(self, channel: str, now_ns: int) -> None:
        second_ns = now_ns // NS_PER_S * NS_PER_S + NS_PER_S
        match channel:
            case "heartbeats":
                beat_ns = second_ns - _BEAT_LEAD_NS
                self._plan(beat_ns if beat_ns > now_ns else beat_ns + NS_PER_S, self._heartbeat, 0)
            case "status":
                self._plan(now_ns + _STATUS_EVERY_NS, self._status, 0)
            case "level2":
                for index, market in enumerate(self._markets):
                    self._plan(market.next_tick_ns(now_ns), self._tick, index)
            case "market_trades":
                share_ns = _TRADES_EVERY_NS // len(self._markets)
                for index in range(len(self._markets)):
                    self._plan(now_ns + (index + 1) * share_ns, self._trades_due, index)
            case "ticker_batch":
                self._plan(now_ns + _TICKER_BATCH_EVERY_NS, self._ticker_batch, 0)
            case "candles":
                self._plan(second_ns, self._candles_due, 0)
            case "user":
                self._plan(now_ns + _USER_EVERY_NS, self._user, 1)

    def _tick(self, now_ns: int, index: int) -> None:
        market = self._markets[index]
        traded = market.tick(now_ns) > 0
        event = self._levels[index].update()
        self._plan(market.next_tick_ns(now_ns), self._tick, index)
        if self._held_event:
            event, self._held_event = f"{self._held_event}{self._levels[index].comma}{event}", ""
        elif self._documented and next(self._draws) & 31 == 0:
            # Travels in one message with the next event, which may be another product's.
            self._held_event = event
            return
        self._sender.send_spaced("l2_data", event, at_ns=now_ns)
        if traded and "ticker" in self._entries:
            ticker = events.ticker_event((market,), kind="update", documented=self._documented, batch=False)
            self._sender.send("ticker", ticker, at_ns=now_ns)

    def _release(self, now_ns: int) -> None:
        if self._held_event:
            self._sender.send_spaced("l2_data", self._held_event, at_ns=now_ns)
            self._held_event = ""

    def _trades_due(self, now_ns: int, index: int) -> None:
        self._plan(now_ns + _TRADES_EVERY_NS, self._trades_due, index)
        self._trades(now_ns, index)

    def _trades(self, now_ns: int, index: int) -> None:
        market = self._markets[index]
        trades = market.tape.deliver()
        if trades:
            if self._newest_first:
                trades.reverse()
            event = events.trades_event(market.instrument, trades, kind="update", documented=self._documented)
            self._sender.send("market_trades", event, at_ns=now_ns)

    def _candles_due(self, now_ns: int, index: int) -> None:
        self._plan(now_ns + NS_PER_S, self._candles_due, index)
        self._candles(now_ns)

    def _candles(self, now_ns: int) -> None:
        candles = [(market.instrument, candle) for market in self._markets for candle in market.tape.candles()]
        self._sender.send("candles", events.candles_event(candles, kind="update"), at_ns=now_ns)

    def _ticker_batch(self, now_ns: int, index: int) -> None:
        self._plan(now_ns + _TICKER_BATCH_EVERY_NS, self._ticker_batch, index)
        event = events.ticker_event(self._markets[:1], kind="update", documented=self._documented, batch=True)
        self._sender.send("ticker_batch", event, at_ns=now_ns)

    def _status(self, now_ns: int, change: int) -> None:
        self._plan(now_ns + _STATUS_EVERY_NS, self._status, change + 1)
        market = self._markets[change // _CHANGES_PER_PRODUCT % len(self._markets)]
        market.change_terms()
        self._sender.send("status", events.status_event((market,), kind="update"), at_ns=now_ns)

    def _heartbeat(self, now_ns: int, index: int) -> None:
        jitter_ns = next(self._draws) & 0xFFFFF
        self._plan(now_ns + NS_PER_S, self._heartbeat, index)
        uptime_ns = self._uptime_ns + now_ns - self._start_ns
        event = events.heartbeat_event(now_ns + jitter_ns // 2, uptime_ns=uptime_ns, documented=self._documented)
        self._sender.send("heartbeats", event, at_ns=now_ns + jitter_ns, on_the_second=True)

    def _user(self, now_ns: int, number: int) -> None:
        self._plan(now_ns + _USER_EVERY_NS, self._user, number + 1)
        event = events.user_event(self._markets[0].instrument, kind="update", number=number)
        self._sender.send("user", event, at_ns=now_ns)

    def _error(self, now_ns: int, number: int) -> None:
        self._plan(now_ns + _ERROR_EVERY_NS, self._error, number + 1)
        self._sender.send_error(_ERROR_REASONS[number % len(_ERROR_REASONS)], at_ns=now_ns)
