"""Derived tables of a whole job: the library's functions over all rows at once, however the input and work are cut."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from etl_ray import ETLJob, JobConfig, reprocess
from etl_ray.bars import BarOptions, bars, parse_bar
from etl_ray.errors import ConfigError, LockedError
from etl_ray.features import FeatureOptions, interval_features, trades_with_book
from etl_ray.orchestrators.receipts import BuiltFile
from etl_ray.sample import SampleOptions, write_sample
from tests.orchestrators.outputs import table_files_of

DAY_NS = 86_400_000_000_000
BARS = ["1s", "7m", "tick:5", "volume:0.5", "dollar:20000"]
DERIVED: dict[str, object] = {
    "bars": BARS,
    "trades_with_book": True,
    "features": "1s",
    "kyle_window": "20s",
    "kyle_min_n": 5,
    "vpin_n": 3,
    "vpin_bucket": {"BTC-USD": "0.5"},
}
LEVEL2 = {
    "processor_options": {"depth": 2, "ofi_levels": 0, "sweep_notionals": [], "depth_bps": [], "imbalance_levels": []}
}


def config(derived: Mapping[str, object], *, numbers: str = "float64", **staging: object) -> JobConfig:
    data = {
        "engine": "local",
        "numbers": numbers,
        "channels": {"level2": LEVEL2},
        "derived": derived,
        "staging": staging,
    }
    return JobConfig.model_validate(data)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return two connections over midnight, of which a third of a minute is on the first date."""
    directory = tmp_path_factory.mktemp("recording")
    options = SampleOptions(
        seed=8, minutes=1, rate=15, levels=20, connections=2, segment_mb=0.5, start="2025-11-26T23:59:40Z"
    )
    write_sample(str(directory), options)
    return directory


@pytest.fixture(scope="module")
def output(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("derived") / "output"
    ETLJob(str(recording), str(directory), config=config(DERIVED)).process_all()
    return directory


def rows(output: Path, table: str, product: str) -> pl.DataFrame:
    """Return the rows of a product, dates in order, with times as integers and dictionaries as strings."""
    paths = sorted((output / table).rglob(f"product_id={product}/*/*.parquet"))
    frame = pl.concat([pl.read_parquet(path, hive_partitioning=False) for path in paths])
    return frame.with_columns(pl.col(pl.Datetime).cast(pl.Int64), pl.col(pl.Categorical).cast(pl.String))


def sources(output: Path, product: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return all trades and all books of a product, as the library takes them."""
    trades = rows(output, "market_trades", product).with_columns(
        pl.coalesce("ts_capture", "ts_server").alias("ts_available")
    )
    return trades.sort("ts_event", "trade_id"), rows(output, "book", product)


def test_dates_together_are_what_the_library_makes_of_all_at_once(output: Path) -> None:
    for product in ("BTC-USD", "ETH-USD"):
        trades, book = sources(output, product)
        first_ns = int(trades["ts_event"].min()) // DAY_NS * DAY_NS  # type: ignore[arg-type, call-overload]
        end_ns = first_ns + 2 * DAY_NS
        made = rows(output, "bars", product)
        assert made["date"].n_unique() == 2
        for text in BARS:
            spec = parse_bar(text)
            expected = bars(trades, spec, BarOptions(), first_ns=first_ns, end_ns=end_ns)
            mine = made.filter(pl.col("bar") == spec.name).drop("bar", "product_id")
            assert len(mine) > 0
            assert_frame_equal(
                mine, expected.with_columns(pl.col(pl.Datetime).cast(pl.Int64)).select(mine.columns), check_dtypes=False
            )
        bucket = Decimal("0.5") if product == "BTC-USD" else None
        options = FeatureOptions(kyle_window_ns=20 * 10**9, kyle_min_n=5, vpin_n=3, vpin_bucket=bucket)
        for table, compute in (("trades_with_book", trades_with_book), ("features", interval_features)):
            expected = compute(trades, book, options, first_ns=first_ns, end_ns=end_ns)
            mine = rows(output, table, product).drop("product_id")
            assert mine["date"].n_unique() == 2
            assert_frame_equal(mine, expected.select(mine.columns), check_dtypes=False, check_exact=True)


def trade_line(number: int, time: str) -> str:
    trade = {
        "trade_id": str(number),
        "product_id": "BTC-USD",
        "price": "100",
        "size": "0.5",
        "time": time,
        "side": "BUY",
    }
    message = {
        "channel": "market_trades",
        "client_id": "",
        "timestamp": time,
        "sequence_num": number,
        "events": [{"type": "update", "trades": [trade]}],
    }
    return json.dumps(message) + "\n"


@pytest.mark.parametrize("fill", [False, True])
def test_what_begins_on_a_date_without_rows_has_those_of_the_next_one(fill: bool, tmp_path: Path) -> None:
    # 11 minutes do not divide a day: one of them begins at 23:52 on 2025-11-26.
    times = ("2025-11-27T00:01:00Z", "2025-11-27T00:02:00Z", "2025-11-27T00:04:00Z", "2025-11-27T00:15:00Z")
    recording, output = tmp_path / "recording", tmp_path / "output"
    recording.mkdir()
    (recording / "a.ndjson").write_text("".join(trade_line(number, time) for number, time in enumerate(times)))
    wanted = config({"bars": ["11m", "1m"], "features": "11m", "fill": fill})
    ETLJob(str(recording), str(output), config=wanted).process_all()
    expected = [("2025-11-26", 2, 1.0), ("2025-11-27", 1, 0.5)]
    found = rows(output, "bars", "BTC-USD").filter(pl.col("bar") == "11m")
    assert found.select("date", "trades", "volume").rows() == expected
    assert rows(output, "features", "BTC-USD").select("date", "trades", "volume").rows() == expected


def test_features_are_there(output: Path) -> None:
    features = rows(output, "features", "BTC-USD")
    for name in ("effective_spread_bps_mean", "ofi", "kyle_lambda", "vpin"):
        assert features[name].count() > 0, name


@pytest.mark.parametrize("numbers", ["float64", "decimal"])
def test_the_cut_of_the_input_changes_no_row(numbers: str, recording: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    ETLJob(str(recording), str(whole), config=config(DERIVED, numbers=numbers)).process_all()
    staging = {"unit_mb": 0.1, "block_mb": 0.05, "rows_per_file": 100, "rows_per_group": 30}
    ETLJob(str(recording), str(cut), config=config(DERIVED, numbers=numbers, **staging)).process_all()
    for table in ("bars", "trades_with_book", "features"):
        for product in ("BTC-USD", "ETH-USD"):
            assert_frame_equal(rows(cut, table, product), rows(whole, table, product), check_exact=True)


def test_reprocessing_gives_the_bytes_of_a_run(recording: Path, output: Path, tmp_path: Path) -> None:
    plain, again = tmp_path / "plain", tmp_path / "again"
    ETLJob(str(recording), str(plain), config=config({})).process_all()
    summary = reprocess(str(plain), str(again), config=config(DERIVED))
    expected = {
        name: data
        for name, data in table_files_of(output).items()
        if name.split("/")[0] in ("bars", "trades_with_book", "features")
    }
    assert table_files_of(again) == expected
    assert (summary.files, summary.unchanged) == (len(expected), False)
    second = reprocess(str(plain), str(again), config=config(DERIVED))
    assert (second.rows, second.unchanged) == (summary.rows, True)


def test_books_and_bars_are_reprocessed_together(recording: Path, output: Path, tmp_path: Path) -> None:
    again, wanted = (
        tmp_path / "again",
        config({"bars": ["5s"]}).merge({"channels": {"level2": {"processor_options": {"depth": 1, "emit": "1s"}}}}),
    )
    reprocess(str(output), str(again), config=wanted, books=True)
    ETLJob(str(recording), str(tmp_path / "run"), config=wanted).process_all()
    expected = {
        name: data
        for name, data in table_files_of(tmp_path / "run").items()
        if name.split("/")[0] in ("bars", "book", "book_checkpoints")
    }
    assert table_files_of(again) == expected


def test_reprocessing_reads_selected_products_only(output: Path, tmp_path: Path) -> None:
    chosen = config({"bars": ["1m"]}).merge({"products": ["ETH-USD"]})
    reprocess(str(output), str(tmp_path / "dest"), config=chosen)
    assert {name.split("/")[2] for name in table_files_of(tmp_path / "dest")} == {"product_id=ETH-USD"}


def test_another_way_of_reprocessing_is_refused_unless_it_may_overwrite(output: Path, tmp_path: Path) -> None:
    dest = str(tmp_path / "dest")
    reprocess(str(output), dest, config=config({"bars": ["1m"]}))
    before = table_files_of(tmp_path / "dest")
    with pytest.raises(ConfigError, match=r'derived.bars: \["1m"\] there, \["5s"\] here.*--overwrite'):
        reprocess(str(output), dest, config=config({"bars": ["5s"]}))
    assert table_files_of(tmp_path / "dest") == before
    reprocess(str(output), dest, config=config({"bars": ["5s"]}).merge({"overwrite": True}))
    assert {name.split("/")[1] for name in table_files_of(tmp_path / "dest")} == {"bar=5s"}


def test_what_cannot_be_reprocessed_is_refused(recording: Path, output: Path, tmp_path: Path) -> None:
    dest = str(tmp_path / "dest")
    with pytest.raises(ConfigError, match="nothing to compute"):
        reprocess(str(output), dest, config=config({}))
    with pytest.raises(ConfigError, match="has no product XRP-USD"):
        reprocess(str(output), dest, config=config({"bars": ["1m"]}).merge({"products": ["XRP-USD"]}))
    with pytest.raises(ConfigError, match="holds no committed run"):
        reprocess(str(tmp_path / "none"), dest, config=config({"bars": ["1m"]}))
    with pytest.raises(ConfigError, match=r"^DEST .*dest lies inside OUTPUT .*output; expected"):
        reprocess(str(output), str(output / "dest"), config=config({"bars": ["1m"]}))
    with pytest.raises(ConfigError, match=r"^OUTPUT .*output lies inside DEST "):
        reprocess(str(output), str(output.parent), config=config({"bars": ["1m"]}))
    reprocess(str(output), dest, config=config({"bars": ["1m"]}))
    with pytest.raises(ConfigError, match="itself made by"):
        reprocess(dest, str(tmp_path / "other"), config=config({"bars": ["1m"]}))
    bare = tmp_path / "bare"
    no_books = config({}).merge({"channels": {"level2": {"processor_options": {"reconstruct_lob": False}}}})
    ETLJob(str(recording), str(bare), config=no_books).process_all()
    with pytest.raises(ConfigError, match="expected a table book with a row after each message"):
        reprocess(str(bare), str(tmp_path / "other"), config=config({"features": "1s"}))


def test_nothing_is_committed_of_an_output_that_changes_meanwhile(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, dest = tmp_path / "output", tmp_path / "dest"
    trades_only = config({}).merge({"channels": {"level2": {"enabled": False}}})
    ETLJob(str(recording), str(output), config=trades_only).process_all()

    def derive_behind_another_run(*args: object, **options: object) -> tuple[BuiltFile, ...]:
        other = trades_only.merge({"products": ["ETH-USD"], "overwrite": True})
        ETLJob(str(recording), str(output), config=other).process_all()
        return ()

    monkeypatch.setattr("etl_ray.orchestrators.reprocess.derive_all", derive_behind_another_run)
    with pytest.raises(LockedError, match=r"another run has replaced tables of .*output while they were read"):
        reprocess(str(output), str(dest), config=config({"bars": ["1m"]}))
    assert not (dest / "_etl_ray" / "manifests").exists()


@pytest.mark.parametrize(
    ("channels", "derived", "said"),
    [
        ({"market_trades": {"enabled": False}}, {"bars": ["1m"]}, "need the channel market_trades"),
        ({"market_trades": {"partition_cols": ["date"]}}, {"bars": ["1m"]}, "partitioned by product_id and date"),
        ({"level2": {"processor_options": {"emit": "1s"}}}, {"features": "1s"}, "need a book after each message"),
        ({"level2": {"processor_options": {"compute_features": False}}}, {"features": "1s"}, "compute_features: true"),
        ({}, {"bars": ["1m", "60s"]}, "each kind of bars once, found 1m twice"),
        ({}, {"bars": ["1 minute"]}, "expected a length of time"),
        ({}, {"features": "0s"}, "expected a length up to 24h"),
        ({}, {"kyle_window": "90s", "kyle_step": "1m"}, "expected a multiple of kyle_step"),
        ({}, {"vpin_bucket": {"BTC-USD": "-1"}}, "volume"),
    ],
)
def test_what_makes_no_sense_is_refused(channels: dict[str, object], derived: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        JobConfig.model_validate({"channels": channels, "derived": derived})


def test_bars_that_never_begin_anew_go_on_over_midnight(recording: Path, output: Path, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    reprocess(str(output), str(dest), config=config({"bars": ["tick:7"], "reset": "never"}))
    trades, _ = sources(output, "BTC-USD")
    expected = bars(trades, parse_bar("tick:7"), BarOptions(reset="never"), first_ns=-(2**62), end_ns=2**62)
    mine = rows(dest, "bars", "BTC-USD").drop("bar", "product_id")
    assert_frame_equal(
        mine, expected.with_columns(pl.col(pl.Datetime).cast(pl.Int64)).select(mine.columns), check_dtypes=False
    )
    assert mine["trades"].unique().to_list() == [7]
