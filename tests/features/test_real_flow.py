"""Tables of a recording of real order flow, held to other programs' joins and regressions."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import polars.testing
import pytest

from etl_ray.config import JobConfig
from etl_ray.job import ETLJob

SECOND_NS = 10**9


@pytest.fixture(scope="module")
def output(real_flow: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("flow") / "out"
    derived = {"trades_with_book": True, "features": "1s", "vpin_bucket": {"BTC-USDT": "0.5"}, "vpin_n": 10}
    config = JobConfig.model_validate({"engine": "local", "derived": derived})
    ETLJob(str(real_flow), str(directory), config=config).process_all()
    return directory


def table(output: Path, name: str, *columns: str) -> pl.DataFrame:
    found = pl.scan_parquet(output / name / "**" / "*.parquet", hive_partitioning=False).collect()
    return found.with_columns(
        pl.col(pl.Datetime("ns", "UTC")).cast(pl.Int64), pl.col("product_id").cast(pl.String)
    ).select(*columns)


class TestRealFlow:
    def test_join_is_that_of_pandas_and_of_duckdb(self, output: Path) -> None:
        keys = ("product_id", "trade_id", "ts_event", "price", "taker_side")
        book = table(output, "book", "product_id", "ts_align", "bid_price_0", "ask_price_0", "mid", "segment", "line")
        book = book.sort("segment", "line")
        assert book.filter(pl.col("ts_align").diff().over("product_id") < 0).height == 0
        found = table(output, "trades_with_book", *keys, "book_ts_align", "bid_price_0", "ask_price_0", "mid")
        found = found.sort("ts_event", "product_id", "trade_id")
        assert found.height == table(output, "market_trades", *keys).unique(["product_id", "trade_id"]).height > 30_000
        last = book.group_by("product_id", "ts_align", maintain_order=True).last().sort("ts_align")
        joined = pd.merge_asof(
            found.select(keys).to_pandas(),
            last.drop("segment", "line").to_pandas(),
            left_on="ts_event",
            right_on="ts_align",
            by="product_id",
            allow_exact_matches=False,
        )
        expected = pl.from_pandas(joined).rename({"ts_align": "book_ts_align"}).cast({"book_ts_align": pl.Int64})
        assert found.equals(expected.select(found.columns))
        trades, rows = found.select(keys).to_arrow(), last.to_arrow()
        assert (trades.num_rows, rows.num_rows) == (found.height, last.height)
        query = """
            select product_id, trade_id, bid_price_0, ask_price_0, ts_align as book_ts_align
            from trades asof left join rows on trades.product_id = rows.product_id and ts_event > ts_align
            order by ts_event, trades.product_id, trade_id
        """
        by_duckdb = duckdb.sql(query.replace("select product_id", "select trades.product_id")).pl()
        assert found.select(by_duckdb.columns).equals(by_duckdb)

    def test_takers_pay_the_spread(self, output: Path) -> None:
        rows = table(
            output, "trades_with_book", "taker_side", "price", "mid", "book_age_ns", "effective_spread_bps"
        ).filter(pl.col("effective_spread_bps").is_not_null())
        assert rows.height > 15_000
        sign = pl.when(pl.col("taker_side") == "buy").then(1).otherwise(-1)
        plain = rows.select(2e4 * sign * (pl.col("price") - pl.col("mid")) / pl.col("mid")).to_series()
        assert float((plain - rows["effective_spread_bps"]).abs().max() or 0) < 1e-9
        assert rows["book_age_ns"].max() == 200_000_000 or int(str(rows["book_age_ns"].max())) < 200_000_000
        # With the sides the wrong way round it would be below 0.
        assert float((rows["effective_spread_bps"] > 0).mean() or 0) > 0.9

    def test_flow_of_each_second_is_that_of_the_trades_and_the_book(self, output: Path) -> None:
        found = table(output, "features", "product_id", "ts_start", "trades", "signed_volume", "ofi", "n_messages")
        sign = pl.when(pl.col("taker_side") == "buy").then(1).otherwise(-1)
        start = ["product_id", (pl.col("clock") // SECOND_NS * SECOND_NS).alias("ts_start")]
        trades = table(output, "trades_with_book", "product_id", "ts_event", "size", "taker_side")
        trades = (
            trades.with_columns(clock="ts_event")
            .group_by(start)
            .agg(pl.len().cast(pl.Int64).alias("trades"), (pl.col("size") * sign).sum().alias("signed_volume"))
        )
        book = table(output, "book", "product_id", "ts_align", "ofi", "segment", "line").sort("segment", "line")
        book = (
            book.with_columns(clock=pl.col("ts_align").cum_max().over("product_id"))
            .group_by(start)
            .agg(pl.len().cast(pl.Int64).alias("n_messages"), pl.col("ofi").sum(), pl.col("ofi").count().alias("ofi_n"))
        )
        expected = trades.join(book, on=["product_id", "ts_start"], how="full", coalesce=True).fill_null(0)
        last = expected.group_by("product_id").agg(pl.col("ts_start").max().alias("last"))
        expected = expected.join(last, on="product_id").filter(pl.col("ts_start") < pl.col("last"))
        expected = expected.with_columns(pl.when(pl.col("ofi_n") > 0).then("ofi")).select(found.columns)
        order = ["product_id", "ts_start"]
        pl.testing.assert_frame_equal(found.sort(order), expected.sort(order), rel_tol=1e-9, abs_tol=1e-9)

    def test_kyle_s_lambda_is_that_of_numpy(self, output: Path) -> None:
        found = table(output, "features", "product_id", "ts_end", "kyle_lambda", "kyle_r2", "kyle_n")
        found = found.filter(pl.col("kyle_lambda").is_not_null())
        assert found.height > 1_000
        assert found.select("kyle_n").max().item() == 300
        book = table(output, "book", "product_id", "ts_align", "bid_price_0", "ask_price_0", "segment", "line")
        trades = table(output, "trades_with_book", "product_id", "ts_event", "size", "taker_side")
        for row in found.filter(pl.col("kyle_n") == 300).sample(20, seed=1).to_dicts():
            edges = np.arange(row["ts_end"] - 300 * SECOND_NS, row["ts_end"] + 1, SECOND_NS)
            mine = book.filter(pl.col("product_id") == row["product_id"]).sort("segment", "line")
            place = np.searchsorted(mine["ts_align"].to_numpy(), edges) - 1
            mid = ((mine["bid_price_0"] + mine["ask_price_0"]) / 2).to_numpy()[place]
            own = trades.filter(pl.col("product_id") == row["product_id"]).sort("ts_event")
            signed = own["size"].to_numpy() * np.where(own["taker_side"].cast(pl.String) == "buy", 1, -1)
            volume, _ = np.histogram(own["ts_event"].to_numpy(), edges, weights=signed)
            at_last_edge = signed[own["ts_event"].to_numpy() == edges[-1]].sum()
            volume[-1] -= at_last_edge  # the last of numpy's bins is closed
            slope, _ = np.polyfit(volume, np.diff(mid), 1)
            correlation = np.corrcoef(volume, np.diff(mid))[0, 1]
            assert row["kyle_lambda"] == pytest.approx(slope, rel=1e-6)
            assert row["kyle_r2"] == pytest.approx(correlation**2, rel=1e-6, abs=1e-12)

    def test_vpin_with_a_given_bucket(self, output: Path) -> None:
        found = table(output, "features", "product_id", "vpin", "vpin_n").filter(pl.col("vpin").is_not_null())
        assert found["product_id"].unique().to_list() == ["BTC-USDT"]
        assert found["vpin"].is_between(0, 1).all()
        assert found["vpin"].n_unique() > 50
