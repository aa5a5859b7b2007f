"""Features of order books, as formulas over states: null is NaN.

Prices and quantities of states are exact integers; differences and sums are taken of them, and rounded once.
"""

from __future__ import annotations

import numpy as np

from etl_ray.book.numbers import HALF_BITS, LOW_HALF, sum_to_float64, to_float64
from etl_ray.book.replay import ReplayOptions, States
from etl_ray.book.updates import ASK, BID, Bools, Float64s, Int64s


def book_features(
    states: States,
    options: ReplayOptions,
    *,
    price_scale: int,
    quantity_scale: int,
    imbalance_levels: tuple[int, ...] = (1,),
) -> dict[str, Float64s]:
    """Return the features of each state by column name, in the order of docs.

    `mid`, `spread`, `spread_bps`, `weighted_mid`; `imbalance_<k>` for each k of `imbalance_levels`, which are at most
    the depth; then the depths and sweeps of `options`. NaN where a side is empty or has fewer than k levels.
    """
    null = (states.n_levels[:, BID] == 0) | (states.n_levels[:, ASK] == 0)
    bid, ask = states.bid_price[:, 0], states.ask_price[:, 0]
    bid_quantity, ask_quantity = states.bid_quantity[:, 0], states.ask_quantity[:, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        # Of two quantities below 2**63 the sum fits into uint64. The ask's share is not 1 minus the bid's, which would
        # lose digits.
        both = bid_quantity.astype(np.uint64) + ask_quantity.astype(np.uint64)
        bid_share, ask_share = bid_quantity / both, ask_quantity / both
        weighted = bid_share * to_float64(ask, price_scale) + ask_share * to_float64(bid, price_scale)
        features = {
            "mid": to_float64(bid + ask, price_scale) / 2.0,
            "spread": to_float64(ask - bid, price_scale),
            "spread_bps": 2e4 * (ask - bid) / (ask + bid),
            "weighted_mid": weighted,
        }
    for values in features.values():
        values[null] = np.nan
    for k in imbalance_levels:
        features[f"imbalance_{k}"] = _imbalance(states, k)
    for j, bps in enumerate(options.bps):
        features[f"depth_bid_{bps}bps"] = states.depth_bid[:, j].copy()
        features[f"depth_ask_{bps}bps"] = states.depth_ask[:, j].copy()
    for j, notional in enumerate(options.notionals):
        features[f"sweep_bid_{notional:.15g}"] = states.sweep_bid[:, j].copy()
        features[f"sweep_ask_{notional:.15g}"] = states.sweep_ask[:, j].copy()
    return features


def ofi(states: States, *, quantity_scale: int, previous: States | None, breaks: Bools) -> Float64s:
    """Return the order flow imbalance of each state against the one before, in base units (Cont, Kukanov & Stoikov).

    e = 1{Pb >= Pb'} Qb - 1{Pb <= Pb'} Qb' - 1{Pa <= Pa'} Qa + 1{Pa >= Pa'} Qa'. `previous` is the last state before
    these, if there is one. NaN where `breaks` says so (a snapshot, or the first message behind a gap), for a first
    state without a previous one, and where either state is crossed or has an empty side.
    """
    return ofi_levels(states, quantity_scale=quantity_scale, previous=previous, breaks=breaks, levels=1)[:, 0]


def ofi_levels(states: States, *, quantity_scale: int, previous: States | None, breaks: Bools, levels: int) -> Float64s:
    """Return the order flow imbalance of each of the best `levels` ranks against the same rank before, one column each.

    As `ofi`, which is the first column (Xu, Gould & Howison); NaN also where either state lacks the rank on a side.
    """
    depth = states.bid_price.shape[1]
    if not 1 <= levels <= depth:
        raise ValueError(f"levels is {levels}; states have {depth}")
    imbalance = np.full((len(states), levels), np.nan)
    if len(states) == 0:
        return imbalance
    broken = breaks | states.crossed
    broken[1:] |= states.crossed[:-1]
    if previous is None:
        broken[0] = True
    else:
        broken[0] |= previous.crossed[-1]
    available = states.n_levels.min(axis=1)
    available = np.minimum(available, _shifted(available, None if previous is None else previous.n_levels[-1].min()))
    for m in range(levels):
        high, low = np.zeros(len(states), np.int64), np.zeros(len(states), np.int64)
        for price, quantity, sign, was in (
            (states.bid_price, states.bid_quantity, 1, previous and (previous.bid_price, previous.bid_quantity)),
            (states.ask_price, states.ask_quantity, -1, previous and (previous.ask_price, previous.ask_quantity)),
        ):
            now, size = price[:, m], quantity[:, m]
            before = _shifted(now, was[0][-1, m] if was else None)
            size_before = _shifted(size, was[1][-1, m] if was else None)
            better = (now - before) * sign
            came, went = np.where(better >= 0, size, 0), np.where(better <= 0, size_before, 0)
            high += sign * ((came >> HALF_BITS) - (went >> HALF_BITS))
            low += sign * ((came & LOW_HALF) - (went & LOW_HALF))
        known = ~broken & (available > m)
        imbalance[known, m] = sum_to_float64(high[known], low[known]) / 10.0**quantity_scale
    return imbalance


def _shifted(values: Int64s, first: np.generic | None) -> Int64s:
    """Return the value before each: `first` before the first, 0 if there is none."""
    before = np.empty_like(values)
    before[1:] = values[:-1]
    before[0] = 0 if first is None else first
    return before


def _imbalance(states: States, k: int) -> Float64s:
    depth = states.bid_price.shape[1]
    if not 1 <= k <= depth:
        raise ValueError(f"imbalance over {k} levels; states have {depth}")
    bid_high, bid_low = _sums(states.bid_quantity[:, :k])
    ask_high, ask_low = _sums(states.ask_quantity[:, :k])
    with np.errstate(invalid="ignore"):
        imbalance = sum_to_float64(bid_high - ask_high, bid_low - ask_low) / sum_to_float64(
            bid_high + ask_high, bid_low + ask_low
        )
    imbalance[states.n_levels.min(axis=1) < k] = np.nan
    return imbalance


def _sums(quantities: Int64s) -> tuple[Int64s, Int64s]:
    """Return the sums of high and of low halves of each row, which fit into 64 bits whatever the quantities are."""
    return (quantities >> HALF_BITS).sum(axis=1), (quantities & LOW_HALF).sum(axis=1)
