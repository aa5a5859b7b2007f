"""Time bars of real trades, made a second time in SQL."""

from __future__ import annotations

from fractions import Fraction
from math import isclose
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pytest

from etl_ray import NDJSONReader, ProcessorChain, RawParser
from etl_ray.bars import BarOptions, bars, parse_bar
from etl_ray.bars.columns import COLUMNS
from tests.bars.trades import END_NS, FIRST_NS, plain

EACH_ONCE = """
create temp table trades as
select product_id, trade_id, epoch_ns(ts_event) as ts, epoch_ns(coalesce(ts_capture, ts_server)) as available,
    price::decimal(18, 9) as price, size::decimal(18, 9) as size, taker_side, place
from delivered
qualify row_number() over (partition by product_id, trade_id order by is_snapshot, place) = 1
"""
BARS = """
with placed as (
    select *, ts // $length * $length as ts_start,
        lag(trade_id) over product as id_before, row_number() over product as n,
        lead((ts // $length, ts, taker_side)) over product as next_fill
    from trades window product as (partition by product_id order by ts, trade_id)
), bar as (
    select product_id, ts_start, ts_start + $length as ts_end, min(n) as n_first, max(n) as n_last,
        arg_min(price, n) as open, max(price) as high, min(price) as low, arg_max(price, n) as close,
        sum(size) as volume, sum(price * size) as quoted, count(*) as trades,
        coalesce(sum(size) filter (taker_side = 'buy'), 0) as buy_volume,
        coalesce(sum(size) filter (taker_side = 'sell'), 0) as sell_volume,
        arg_min(trade_id, n) as first_trade_id, arg_max(trade_id, n) as last_trade_id,
        min(ts) as ts_first_trade, max(ts) as ts_last_trade,
        sum(greatest(coalesce(trade_id - id_before - 1, 0), 0))::bigint as trades_missing,
        max(available) as available,
        min(trade_id) as least_id, max(trade_id) as greatest_id
    from placed group by all
), edged as (
    select bar.*, before.price as previous_close,
        greatest(bar.available, before.available, after.available) as ts_available,
        before.trade_id is not null and greatest(greatest_id, before.trade_id, after.trade_id)
            - least(least_id, before.trade_id, after.trade_id) = trades + 1 as is_complete
    from bar join placed as after on after.product_id = bar.product_id and after.n = n_last + 1
    left join placed as before on before.product_id = bar.product_id and before.n = n_first - 1
), grid as (
    select product_id, ts_start, k, ts_start + k * $step as moment
    from edged, unnest(generate_series(0, $length // $step)) as steps(k) where is_complete
), last as (
    select product_id, ts, arg_max(price, trade_id) as price from trades group by all
), change as (
    select grid.*, ln(price / lag(price) over (partition by grid.product_id, ts_start order by k)) as r
    from grid asof join last on grid.product_id = last.product_id and last.ts < moment
), varied as (
    select product_id, ts_start, count(r) as rv_n, sum(r * r) as realized_variance,
        pi() / 2 * count(r) / (count(r) - 1) * sum(abs(r) * abs(before)) as bipower_variation
    from (select *, lag(r) over (partition by product_id, ts_start order by k) as before from change)
    group by all
), orders as (
    select product_id, ts_start, price, row_number() over own as m, price - lag(price) over own as d
    from placed where next_fill is distinct from (ts // $length, ts, taker_side)
    window own as (partition by product_id, ts_start order by n)
), rolled as (
    select product_id, ts_start, count(before) as pairs, covar_samp(d, before) as covariance
    from (select *, lag(d) over (partition by product_id, ts_start order by m) as before from orders) group by all
)
select edged.*, rv_n, realized_variance, bipower_variation,
    case when trades_missing = 0 then abs(ln(close / previous_close)) / quoted end as amihud,
    case when pairs >= 20 and covariance < 0 then 2 * sqrt(-covariance) end as roll_spread
from edged left join varied using (product_id, ts_start) left join rolled using (product_id, ts_start)
order by product_id, ts_start
"""
EXACT = (
    *("ts_start", "ts_end", "ts_available", "open", "high", "low", "close", "volume", "trades", "buy_volume"),
    *("sell_volume", "first_trade_id", "last_trade_id", "ts_first_trade", "ts_last_trade", "trades_missing"),
    *("is_complete", "rv_n"),
)
INEXACT = ("realized_variance", "bipower_variation", "amihud", "roll_spread")
"""SQL takes logarithms of quotients of floats, which loses digits."""
DERIVED = ("bar", "date", "quote_volume", "vwap", "signed_volume", "trade_imbalance")


def frame(table: pa.Table) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(table))


class TestRealFlow:
    @pytest.fixture(scope="class")
    @staticmethod
    def database(real_flow: Path) -> duckdb.DuckDBPyConnection:
        """Return a database of the trades, each once: its first copy in an update, else in a snapshot."""
        chain = ProcessorChain([RawParser(channel="market_trades", numbers="decimal")])
        delivered = pa.Table.from_batches(chain.process(NDJSONReader().read(str(real_flow))))
        connection = duckdb.connect()
        connection.register("delivered", delivered.append_column("place", pa.array(range(len(delivered)))))
        connection.sql(EACH_ONCE)
        return connection

    @pytest.mark.parametrize("text", ["1m", "90s", "1h"])
    def test_time_bars_are_those_of_sql(self, text: str, database: duckdb.DuckDBPyConnection) -> None:
        spec = parse_bar(text)
        asked = {"length": int(spec.size), "step": 5_000_000_000}
        wanted = frame(database.sql(BARS, params=asked).to_arrow_table())
        trades = frame(database.sql("from trades").to_arrow_table()).rename(
            {"ts": "ts_event", "available": "ts_available"}
        )
        assert len(trades) == 34_418
        for product in trades["product_id"].unique():
            own = trades.filter(pl.col("product_id") == product).sort("ts_event", "trade_id")
            own = own.cast({"price": pl.Decimal(38, 18), "size": pl.Decimal(38, 18)})
            made = bars(own, spec, BarOptions(roll=True), first_ns=FIRST_NS, end_ns=END_NS)
            self.compare(plain(made), wanted.filter(pl.col("product_id") == product))

    def compare(self, found: dict[str, list[object]], sql: pl.DataFrame) -> None:
        assert len(sql) > 0
        wanted = sql.to_dict(as_series=False)
        assert set(found) == {*EXACT, *INEXACT, *DERIVED} == set(COLUMNS)
        for name in EXACT:
            assert found[name] == wanted[name], name
        for name in INEXACT:
            assert any(value is not None for value in wanted[name]) or len(sql) == 1, name
            for one, other in zip(found[name], wanted[name], strict=True):
                assert one is other is None or isclose(one, other, rel_tol=1e-8), name  # type: ignore[arg-type]
        volume, quoted, bought = ([Fraction(x) for x in wanted[name]] for name in ("volume", "quoted", "buy_volume"))
        assert found["quote_volume"] == [float(amount) for amount in quoted]
        assert found["vwap"] == [float(q / v) for q, v in zip(quoted, volume, strict=True)]
        signed = [2 * b - v for b, v in zip(bought, volume, strict=True)]
        assert [Fraction(x) for x in found["signed_volume"]] == signed  # type: ignore[arg-type]
        assert found["trade_imbalance"] == [float(s / v) for s, v in zip(signed, volume, strict=True)]
        starts = sql["ts_start"].cast(pl.Datetime("ns"))
        assert found["date"] == starts.dt.to_string("%Y-%m-%d").to_list()
