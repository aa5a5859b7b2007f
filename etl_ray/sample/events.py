"""The events of every channel but level2, as compact JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from etl_ray.sample.book import ASK, BID
from etl_ray.sample.clock import go_text, server_text
from etl_ray.sample.instruments import Instrument, decimal_text
from etl_ray.sample.market import Market
from etl_ray.sample.tape import Candle, Trade

EventType = Literal["snapshot", "update"]

_PERCENT_DECIMALS = 14


def trades_event(instrument: Instrument, trades: Iterable[Trade], *, kind: EventType, documented: bool) -> str:
    """Return a market_trades event, trades in the order given; `side` is the maker's."""
    product = instrument.product_json
    texts = []
    for trade in trades:
        side = "SELL" if trade.taker_buys else "BUY"
        price, size = instrument.price_text(trade.ticks), instrument.size_text(trade.lots)
        time = server_text(trade.time_ns)
        if documented:
            texts.append(
                f'{{"trade_id":"{trade.trade_id}","product_id":{product},"price":"{price}","size":"{size}",'
                f'"side":"{side}","time":"{time}"}}'
            )
        else:
            texts.append(
                f'{{"product_id":{product},"trade_id":"{trade.trade_id}","price":"{price}","size":"{size}",'
                f'"time":"{time}","side":"{side}"}}'
            )
    return f'{{"type":"{kind}","trades":[{",".join(texts)}]}}'


def ticker_event(markets: Iterable[Market], *, kind: EventType, documented: bool, batch: bool) -> str:
    """Return a ticker event with the markets as they stand; of a `batch` without the four best_* keys."""
    texts = (_ticker(market, best="" if batch else _best(market, documented=documented)) for market in markets)
    return f'{{"type":"{kind}","tickers":[{",".join(texts)}]}}'


def _ticker(market: Market, *, best: str) -> str:
    instrument, tape = market.instrument, market.tape
    price_text = instrument.price_text
    change = (tape.last.ticks - tape.day_open) * 100 * 10**_PERCENT_DECIMALS // tape.day_open
    return (
        f'{{"type":"ticker","product_id":{instrument.product_json},"price":"{price_text(tape.last.ticks)}",'
        f'"volume_24_h":"{instrument.size_text(tape.day_volume)}","low_24_h":"{price_text(tape.day_low)}",'
        f'"high_24_h":"{price_text(tape.day_high)}","low_52_w":"{price_text(tape.low_52w)}",'
        f'"high_52_w":"{price_text(tape.high_52w)}",'
        f'"price_percent_chg_24_h":"{decimal_text(change, _PERCENT_DECIMALS)}"{best}}}'
    )


def _best(market: Market, *, documented: bool) -> str:
    instrument, bid, ask = market.instrument, market.book.best(BID), market.book.best(ASK)
    bid_price, ask_price = instrument.price_text(bid.ticks), instrument.price_text(ask.ticks)
    bid_size, ask_size = instrument.size_text(bid.lots), instrument.size_text(ask.lots)
    if documented:
        return (
            f',"best_bid":"{bid_price}","best_bid_quantity":"{bid_size}",'
            f'"best_ask":"{ask_price}","best_ask_quantity":"{ask_size}"'
        )
    return (
        f',"best_bid":"{bid_price}","best_ask":"{ask_price}",'
        f'"best_bid_quantity":"{bid_size}","best_ask_quantity":"{ask_size}"'
    )


def candles_event(candles: Iterable[tuple[Instrument, Candle]], *, kind: EventType) -> str:
    """Return a candles event: one entry per product and bucket, in the order given."""
    texts = []
    for instrument, candle in candles:
        price_text = instrument.price_text
        texts.append(
            f'{{"start":"{candle.start_s}","high":"{price_text(candle.high)}","low":"{price_text(candle.low)}",'
            f'"open":"{price_text(candle.open)}","close":"{price_text(candle.close)}",'
            f'"volume":"{instrument.size_text(candle.volume)}","product_id":{instrument.product_json}}}'
        )
    return f'{{"type":"{kind}","candles":[{",".join(texts)}]}}'


def status_event(markets: Iterable[Market], *, kind: EventType) -> str:
    """Return a status event with the terms of the markets."""
    texts = []
    for market in markets:
        instrument, terms = market.instrument, market.terms
        base, quote = instrument.base_currency, instrument.quote_currency
        texts.append(
            f'{{"product_type":"SPOT","id":{instrument.product_json},"base_currency":{json.dumps(base)},'
            f'"quote_currency":{json.dumps(quote)},"base_increment":"{instrument.size_text(1)}",'
            f'"quote_increment":"{instrument.price_text(1)}","display_name":{json.dumps(f"{base}/{quote}")},'
            f'"status":"{terms.status}","status_message":"{terms.status_message}",'
            f'"min_market_funds":"{terms.min_market_funds}"}}'
        )
    return f'{{"type":"{kind}","products":[{",".join(texts)}]}}'


def heartbeat_event(time_ns: int, *, uptime_ns: int, documented: bool) -> str:
    """Return a heartbeats event; its counter is the whole seconds of uptime, a string in the documentation."""
    counter = uptime_ns // 1_000_000_000
    text = f'"{counter}"' if documented else f"{counter}"
    return f'{{"current_time":"{go_text(time_ns, uptime_ns=uptime_ns)}","heartbeat_counter":{text}}}'


def subscriptions_event(entries: Mapping[str, Sequence[str]]) -> str:
    """Return an acknowledgement: the entries of every channel subscribed so far."""
    return json.dumps(
        {"subscriptions": {channel: list(names) for channel, names in entries.items()}}, separators=_COMPACT
    )


def user_event(instrument: Instrument, *, kind: EventType, number: int) -> str:
    """Return an event of the private channel `user`: an order that nobody but its owner may see."""
    order = (
        f'{{"order_id":"00000000-0000-4000-8000-{number:012d}","product_id":{instrument.product_json},'
        f'"order_side":"BUY","order_type":"Limit","status":"OPEN","limit_price":"{instrument.price_text(1)}",'
        f'"leaves_quantity":"{instrument.size_text(1 + number)}","cumulative_quantity":"0"}}'
    )
    return f'{{"type":"{kind}","orders":[{order}]}}'


_COMPACT = (",", ":")
