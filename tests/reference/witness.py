"""The table `witness`: every ticker is looked at by itself, and every candle."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from decimal import Context, Decimal
from fractions import Fraction
from functools import reduce
from itertools import accumulate

from tests.reference.messages import Row
from tests.reference.values import utc_date, utc_midnight

_EXACT = Context(prec=100)
_NS_PER_HOUR = 3600 * 10**9


def witness_rows(books: list[Row], tickers: list[Row]) -> list[Row]:
    """Return a row for each product that has a book, and each hour of its tickers that tell both best prices."""
    states = defaultdict(list)
    for row in sorted(books, key=lambda row: (row["date"], row["segment"], row["line"])):
        states[row["product_id"]].append((row["ts_server"], (row["bid_price_0"], row["ask_price_0"])))
    clocks = {product: list(accumulate((ts for ts, _ in found), max)) for product, found in states.items()}
    counts = defaultdict(lambda: [0, 0, 0])
    for ticker in tickers:
        said = ticker["best_bid"], ticker["best_ask"]
        if ticker["product_id"] not in states or None in said:
            continue
        found = counts[ticker["product_id"], ticker["ts_server"] // _NS_PER_HOUR * _NS_PER_HOUR]
        found[0] += 1
        last = bisect_right(clocks[ticker["product_id"]], ticker["ts_server"]) - 1
        best = [prices for _, prices in states[ticker["product_id"]][last : last + 3]] if last >= 0 else []
        if len(best) == 3 and len(set(best)) == 1 and None not in best[0]:
            found[1] += 1
            found[2] += best[0] == said
    return [
        {
            "product_id": product,
            "date": utc_date(start),
            "ts_start": start,
            "kind": "ticker",
            "n_witnesses": n_tickers,
            "n_compared": n_quiet,
            "n_equal": n_equal,
            "share": n_equal / n_quiet if n_quiet else None,
        }
        for (product, start), (n_tickers, n_quiet, n_equal) in sorted(counts.items())
    ]


def candle_witness_rows(candles: list[Row], trades: list[Row]) -> list[Row]:
    """Return a row for each product and date that has final candles and trades."""
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    of_products = defaultdict(list)
    for trade in sorted(trades, key=lambda row: (row["ts_event"], row["trade_id"])):
        of_products[trade["product_id"]].append(trade)
    dates = {(trade["product_id"], trade["date"]) for trade in trades}
    for candle in candles:
        key = candle["product_id"], candle["date"]
        if not candle["is_final"] or key not in dates:
            continue
        own = of_products[candle["product_id"]]
        inside = [trade for trade in own if candle["ts_start"] <= trade["ts_event"] < candle["ts_end"]]
        around = [trade for trade in own if trade["ts_event"] < candle["ts_start"]][-1:]
        around += inside + [trade for trade in own if trade["ts_event"] >= candle["ts_end"]][:1]
        ids = sorted(trade["trade_id"] for trade in around)
        is_compared = len(around) == len(inside) + 2 > 2 and ids == list(range(ids[0], ids[0] + len(ids)))
        prices = [trade["price"] for trade in inside]
        counts[key][0] += 1
        counts[key][1] += is_compared
        counts[key][2] += is_compared and [candle[name] for name in ("open", "high", "low", "close", "volume")] == [
            *(prices[0], max(prices), min(prices), prices[-1]),
            _sum([trade["size"] for trade in inside]),
        ]
    return [
        {
            "product_id": product,
            "date": date,
            "kind": "candle",
            "ts_start": utc_midnight(date),
            "n_witnesses": n_final,
            "n_compared": n_compared,
            "n_equal": n_equal,
            "share": n_equal / n_compared if n_compared else None,
        }
        for (product, date), (n_final, n_compared, n_equal) in sorted(counts.items())
    ]


def _sum(sizes: list[object]) -> float | Decimal:
    """Return an exact sum; of floats, taken for the shortest decimals that round to them, it is rounded once."""
    if isinstance(sizes[0], Decimal):
        return reduce(_EXACT.add, sizes)
    return float(sum(Fraction(repr(size)) for size in sizes))
