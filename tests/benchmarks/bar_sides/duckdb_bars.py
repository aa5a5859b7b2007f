"""DuckDB alone: the columns that one grouping gives, sums as floats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np

from tests.benchmarks.bar_sides import CHECKED, LENGTHS_NS

_BARS = """
select *, quote_volume / volume as vwap, volume - buy_volume as sell_volume,
    2 * buy_volume - volume as signed_volume, 2 * buy_volume / volume - 1 as trade_imbalance
from (
    select ts_event // {length} as number, max(ts_available) as ts_available,
        first(price) as open, max(price) as high, min(price) as low, last(price) as close,
        sum(size) as volume, sum(price * size) as quote_volume, count(*) as trades,
        sum(case when taker_side = 'buy' then size else 0 end) as buy_volume,
        min(trade_id) as first_trade_id, max(trade_id) as last_trade_id,
        min(ts_event) as ts_first_trade, max(ts_event) as ts_last_trade
    from '{path}' group by number
) order by number
"""


def prepare(path: Path, bar: str) -> Callable[[], dict[str, np.ndarray]]:
    """Return what makes time bars, reading the file included; one thread keeps the order of trades."""
    connection = duckdb.connect(config={"threads": 1})
    query = _BARS.format(length=LENGTHS_NS[bar], path=path)

    def run() -> dict[str, np.ndarray]:
        made = connection.sql(query).to_arrow_table()
        made = made.slice(0, made.num_rows - 1)
        return {name: made[name].to_numpy() for name in CHECKED}

    return run
