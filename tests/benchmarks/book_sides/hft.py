"""hftbacktest, its two kinds of market depth: time goes on by one message, then the book is read in compiled code.

Its books are keyed by tick, and it gives the best tick and the quantity at any; so ten levels are found by looking at
one tick after the other. Events are for the local side only, so that it keeps one book and not two. Building events and
loading them is not timed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from hftbacktest import BacktestAsset, HashMapMarketDepthBacktest, ROIVectorMarketDepthBacktest
from hftbacktest.types import (
    BUY_EVENT,
    DEPTH_CLEAR_EVENT,
    DEPTH_EVENT,
    LOCAL_EVENT,
    SELL_EVENT,
    event_dtype,
)
from numba import njit

from tests.benchmarks.book_sides import ASK, BID, CLEAR, DEPTH

_STEP_NS = 1_000
_FARTHEST_TICKS = 200_000
_RANGE = 0.1
"""Of the mid after the first message, up and down, which the depth in a vector is to know; it drops what is outside."""


def events_of(rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return rows as events: message m at m + 1 steps, a CLEAR as one of each side."""
    message = np.repeat(np.arange(len(rows["offsets"]) - 1), np.diff(rows["offsets"]))
    repeats = np.where(rows["side"] == CLEAR, 2, 1)
    side, message = np.repeat(rows["side"], repeats), np.repeat(message, repeats)
    clear = side == CLEAR
    first = clear & (np.cumsum(clear) % 2 == 1)
    is_bid = (side == BID) | first
    events = np.zeros(len(side), event_dtype)
    kind = np.where(clear, DEPTH_CLEAR_EVENT, DEPTH_EVENT)
    events["ev"] = kind | LOCAL_EVENT | np.where(is_bid, BUY_EVENT, SELL_EVENT)
    events["exch_ts"] = events["local_ts"] = (message + 1) * _STEP_NS
    price = np.repeat(rows["price"], repeats) / 10.0 ** int(rows["price_scale"])
    events["px"] = np.where(clear, np.where(is_bid, 0.0, price.max() * 2), price)
    events["qty"] = np.repeat(rows["quantity"], repeats) / 10.0 ** int(rows["quantity_scale"])
    return events


def prepare(rows: Mapping[str, np.ndarray], *, kind: str = "hash") -> Callable[[int], tuple[np.ndarray, ...]]:
    """Return the replay with `kind` of depth: `hash`, `vector`, or `best` for the vector's best level alone."""
    events = events_of(rows)
    scale = 10 ** int(rows["quantity_scale"])
    tick = 10.0 ** -int(rows["price_scale"])
    state: dict[str, object] = {}

    def load() -> None:
        asset = BacktestAsset().data([events]).linear_asset(1.0).constant_order_latency(0, 0)
        asset = asset.risk_adverse_queue_model().no_partial_fill_exchange().trading_value_fee_model(0.0, 0.0)
        asset = asset.tick_size(tick).lot_size(1.0 / scale)
        if kind == "hash":
            state["backtest"] = HashMapMarketDepthBacktest([asset])
        else:
            low, high = _range(rows, tick)
            state["backtest"] = ROIVectorMarketDepthBacktest([asset.roi_lb(low).roi_ub(high)])

    def run(n: int) -> tuple[np.ndarray, ...]:
        prices = np.zeros((2, n, DEPTH), np.int64)
        quantities = np.zeros((2, n, DEPTH))
        replay = {"hash": _replay_ticks, "vector": _replay_vector, "best": _replay_best}[kind]
        replay(state.pop("backtest"), n, prices, quantities)
        exact = np.rint(quantities * scale).astype(np.int64)
        return prices[BID], exact[BID], prices[ASK], exact[ASK]

    run.before = load  # type: ignore[attr-defined]
    return run


def _range(rows: Mapping[str, np.ndarray], tick: float) -> tuple[float, float]:
    first = slice(0, int(rows["offsets"][1]))
    side, price = rows["side"][first], rows["price"][first]
    mid = (int(price[side == BID].max()) + int(price[side == ASK].min())) // 2
    return int(mid * (1 - _RANGE)) * tick, int(mid * (1 + _RANGE)) * tick


@njit
def _replay_ticks(backtest, n, prices, quantities):  # type: ignore[no-untyped-def]
    for m in range(n):
        backtest.elapse(_STEP_NS if m else 1)  # the clock begins at the first event
        depth = backtest.depth(0)
        for side, best, step in ((BID, depth.best_bid_tick, -1), (ASK, depth.best_ask_tick, 1)):
            k, tick = 0, best
            while tick >= 0 and k < DEPTH and abs(tick - best) < _FARTHEST_TICKS:
                quantity = depth.bid_qty_at_tick(tick) if side == BID else depth.ask_qty_at_tick(tick)
                if quantity > 0:
                    prices[side, m, k], quantities[side, m, k] = tick, quantity
                    k += 1
                tick += step


@njit
def _replay_vector(backtest, n, prices, quantities):  # type: ignore[no-untyped-def]
    for m in range(n):
        backtest.elapse(_STEP_NS if m else 1)  # the clock begins at the first event
        depth = backtest.depth(0)
        low = depth.roi_lb_tick
        for side, levels, best, step in (
            (BID, depth.bid_depth, depth.best_bid_tick, -1),
            (ASK, depth.ask_depth, depth.best_ask_tick, 1),
        ):
            k, i = 0, best - low
            while 0 <= i < len(levels) and k < DEPTH:
                if levels[i] > 0:
                    prices[side, m, k], quantities[side, m, k] = i + low, levels[i]
                    k += 1
                i += step


@njit
def _replay_best(backtest, n, prices, quantities):  # type: ignore[no-untyped-def]
    for m in range(n):
        backtest.elapse(_STEP_NS if m else 1)  # the clock begins at the first event
        depth = backtest.depth(0)
        bid, ask = depth.best_bid_tick, depth.best_ask_tick
        # `best_bid_qty` of this depth returns the price.
        prices[BID, m, 0], quantities[BID, m, 0] = bid, depth.bid_qty_at_tick(bid)
        prices[ASK, m, 0], quantities[ASK, m, 0] = ask, depth.ask_qty_at_tick(ask)
