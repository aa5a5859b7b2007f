"""What a config holds: defaults, files, products, merging, the environment."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest

from etl_ray.config import (
    CHANNELS,
    ChannelConfig,
    JobConfig,
    ResourcesConfig,
    StagingConfig,
    channel_name,
    inside_ray_job,
    ray_address,
)
from etl_ray.errors import ConfigError

NOON_NS = 1_764_158_400_000_000_000  # 2025-11-26T12:00:00Z
CHANNEL_NAMES = "level2, market_trades, ticker, candles, status, heartbeats, subscriptions, errors"
LEVEL2_OPTIONS = {
    "reconstruct_lob": True,
    "compute_features": True,
    "depth": 10,
    "emit": "message",
    "skip_empty": False,
    "trust_beat": False,
    "imbalance_levels": [1, 5, 10],
    "depth_bps": [5, 10, 25],
    "sweep_notionals": [10_000, 100_000],
    "ofi_levels": 5,
}


def test_defaults() -> None:
    config = JobConfig()
    assert config.venue == "coinbase"
    assert config.products == ()
    assert (config.start, config.end) == (None, None)
    assert (config.numbers, config.engine, config.address) == ("float64", "auto", None)
    assert (config.strict, config.overwrite, config.break_lock) == (False, False, False)
    assert (config.after, config.archive_to, config.settle_ns) == ("keep", None, 600_000_000_000)
    assert config.staging == StagingConfig(
        unit_mb=128.0, block_mb=32.0, rows_per_file=4_000_000, rows_per_group=262_144, max_line_mb=16.0, url=None
    )
    assert config.resources == ResourcesConfig(
        cpus_per_task=1.0, memory_mb_per_task=1024, max_tasks=None, placement_timeout="10m"
    )


def test_all_channels_are_there_with_their_own_partitions() -> None:
    config = JobConfig()
    assert ", ".join(CHANNELS) == CHANNEL_NAMES
    assert config.enabled_channels() == tuple(config.channels) == CHANNELS
    by_product, by_date = ("product_id", "date"), ("date",)
    assert {name: channel.partition_cols for name, channel in config.channels.items()} == {
        "level2": by_product,
        "market_trades": by_product,
        "ticker": by_product,
        "candles": by_product,
        "status": by_date,
        "heartbeats": by_date,
        "subscriptions": by_date,
        "errors": by_date,
    }
    options: dict[str, dict[str, object]] = {name: {} for name in CHANNELS}
    assert {name: channel.processor_options for name, channel in config.channels.items()} == options | {
        "level2": LEVEL2_OPTIONS,
        "ticker": {"include_batch": True},
    }
    assert config.include_ticker_batch is True


def test_partition_cols_of_tables_that_are_no_channel() -> None:
    config = JobConfig()
    assert config.partition_cols("rejects") == ("date",)
    assert config.partition_cols("instruments") == ()
    assert config.partition_cols("book") == config.partition_cols("book_checkpoints") == ("product_id", "date")
    assert config.partition_cols("coverage") == ("date",)
    assert config.partition_cols("connections") == ()


def test_empty_file_is_the_default(load: Callable[[str], JobConfig]) -> None:
    assert load("") == load("# nothing\n") == load("{}") == JobConfig()


def test_a_file_changes_only_what_it_names(load: Callable[[str], JobConfig]) -> None:
    config = load(
        "channels:\n"
        "  candles: {enabled: false}\n"
        "  level2: {partition_cols: [date, product_id]}\n"
        "  status: {partition_cols: [product_id]}\n"
        "  errors: {partition_cols: []}\n"
        "  ticker: {processor_options: {include_batch: false}}\n"
        "products: [ETH-USD, BTC-USD]\n"
        "start: 2025-11-26\n"
        "end: 2025-11-26T12:00:00.000000001Z\n"
        "numbers: decimal\nengine: ray\naddress: ray://head:10001\nstrict: true\noverwrite: yes\n"
        "break_lock: true\nafter: archive\narchive_to: gs://b/a\nsettle: 90s\n"
        "staging: {unit_mb: 8, rows_per_file: 10, rows_per_group: 5, max_line_mb: 0.5, url: 'gs://b/s'}\n"
        "resources: {cpus_per_task: 0.5, memory_mb_per_task: 2048, max_tasks: 3}\n"
    )
    assert config.enabled_channels() == tuple(name for name in CHANNELS if name != "candles")
    assert config.partition_cols("level2") == ("date", "product_id")
    assert config.partition_cols("status") == ("product_id",)
    assert config.partition_cols("errors") == ()
    assert config.partition_cols("ticker") == ("product_id", "date")
    assert config.include_ticker_batch is False
    assert config.products == ("ETH-USD", "BTC-USD")
    assert (config.start, config.end) == (NOON_NS - 12 * 3600 * 10**9, NOON_NS + 1)
    assert (config.numbers, config.engine, config.address) == ("decimal", "ray", "ray://head:10001")
    assert (config.strict, config.overwrite, config.break_lock) == (True, True, True)
    assert (config.after, config.archive_to, config.settle_ns) == ("archive", "gs://b/a", 90_000_000_000)
    assert config.staging == StagingConfig(
        unit_mb=8.0, block_mb=8.0, rows_per_file=10, rows_per_group=5, max_line_mb=0.5, url="gs://b/s"
    )
    assert config.resources == ResourcesConfig(cpus_per_task=0.5, memory_mb_per_task=2048, max_tasks=3)


def test_sizes_in_bytes() -> None:
    staging = StagingConfig(unit_mb=1.5, block_mb=0.25, max_line_mb=2)
    assert (staging.unit_bytes, staging.block_bytes, staging.max_line_bytes) == (1_500_000, 250_000, 2_000_000)
    assert StagingConfig(unit_mb=1e-9).unit_bytes == 1


@pytest.mark.parametrize(("unit_mb", "block_mb"), [(128, 32.0), (32, 32.0), (31.5, 31.5), (0.001, 0.001)])
def test_block_shrinks_with_the_unit(unit_mb: float, block_mb: float) -> None:
    assert StagingConfig(unit_mb=unit_mb).block_mb == block_mb


def test_configs_are_frozen_and_survive_pickling() -> None:
    config = JobConfig(products=("BTC-USD",), start=NOON_NS)
    with pytest.raises(ValueError, match="frozen"):
        config.strict = True  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        config.staging.unit_mb = 1.0  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(config)) == config


@pytest.mark.parametrize(
    ("text", "name"),
    [("level2", "level2"), ("l2_data", "level2"), ("ticker_batch", "ticker"), ("market_trades", "market_trades")],
)
def test_channel_names(text: str, name: str) -> None:
    assert channel_name(text) == name


def test_unknown_channel_name() -> None:
    with pytest.raises(ConfigError) as caught:
        channel_name("trades")
    assert str(caught.value) == (
        f"unknown channel 'trades'; did you mean 'market_trades'? known: {CHANNEL_NAMES}, l2_data, ticker_batch"
    )


def test_usdc_products_are_what_the_venue_delivers(caplog: pytest.LogCaptureFixture) -> None:
    config = JobConfig(products=("BTC-USDC", "USDT-USDC", "EURC-USDC", "BTC-USD", "USDC-EUR"))
    assert config.products == ("BTC-USD", "USDT-USDC", "EURC-USDC", "USDC-EUR")
    assert caplog.messages == ["product BTC-USDC is delivered by the venue as BTC-USD: BTC-USD is selected"]


def test_products_fit_a_path() -> None:
    assert JobConfig(products=("X" * 200,)).products == ("X" * 200,)
    for product in ("X" * 201, "é" * 34, "/" * 67):
        with pytest.raises(ConfigError, match=r"^products: expected product names of at most 200 bytes in a path"):
            JobConfig(products=(product,))
    with pytest.raises(ConfigError) as caught:
        JobConfig(products=("\udcff",))
    assert str(caught.value) == "products.0: expected text in UTF-8, found '\\udcff'"
    assert JobConfig(products=("é" * 33,)).products == ("é" * 33,)


def test_merge_lays_over_what_was_set(load: Callable[[str], JobConfig]) -> None:
    base = load(
        "strict: true\nchannels: {ticker: {enabled: false, partition_cols: [date]}}\nstaging: {rows_per_file: 7}\n"
    )
    merged = base.merge({"channels": {"ticker": {"enabled": True}}, "staging": {"unit_mb": 4}, "products": ["BTC-USD"]})
    assert merged.channels["ticker"] == ChannelConfig(
        enabled=True, partition_cols=("date",), processor_options={"include_batch": True}
    )
    assert (merged.staging.rows_per_file, merged.staging.unit_mb, merged.staging.block_mb) == (7, 4.0, 4.0)
    assert (merged.strict, merged.products) == (True, ("BTC-USD",))
    assert (base.staging.unit_mb, base.products) == (128.0, ())


def test_merging_nothing_changes_nothing() -> None:
    config = JobConfig(start=NOON_NS, products=("BTC-USD",), staging=StagingConfig(unit_mb=2))
    assert config.merge({}) == config


def test_merge_checks_the_result() -> None:
    with pytest.raises(
        ConfigError, match=r"^end: expected a time after start \(2025-11-26T12:00:00Z\), found 2025-11-26T00"
    ):
        JobConfig(start=NOON_NS).merge({"end": "2025-11-26"})


@pytest.mark.parametrize(("value", "address"), [(None, None), ("", None), ("auto", "auto"), ("ray://h:1", "ray://h:1")])
def test_ray_address(monkeypatch: pytest.MonkeyPatch, value: str | None, address: str | None) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if value is not None:
        monkeypatch.setenv("RAY_ADDRESS", value)
    assert ray_address() == address
    assert JobConfig().address is None


@pytest.mark.parametrize("name", ["RAY_JOB_ID", "RAY_JOB_CONFIG_JSON_ENV_VAR"])
def test_inside_ray_job(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for each in ("RAY_JOB_ID", "RAY_JOB_CONFIG_JSON_ENV_VAR"):
        monkeypatch.delenv(each, raising=False)
    assert inside_ray_job() is False
    monkeypatch.setenv(name, "01000000")
    assert inside_ray_job() is True
