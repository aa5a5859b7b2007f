"""The table `witness` from the rows of `book` and `ticker`: every ticker is looked at by itself."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from itertools import accumulate

from tests.reference.messages import Row
from tests.reference.values import utc_date

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
            "n_tickers": n_tickers,
            "n_quiet": n_quiet,
            "n_equal": n_equal,
            "share": n_equal / n_quiet if n_quiet else None,
        }
        for (product, start), (n_tickers, n_quiet, n_equal) in sorted(counts.items())
    ]
