"""One module a side. `prepare(path, bar)` returns a function that makes bars of the trades in a Parquet file.

What it returns are columns by name, as NumPy arrays: those of CHECKED that the side has.
"""

CHECKED = ("open", "high", "low", "close", "volume", "quote_volume", "buy_volume", "trades", "last_trade_id")
LENGTHS_NS = {"1s": 1_000_000_000, "1m": 60_000_000_000, "1h": 3_600_000_000_000}
