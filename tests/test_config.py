"""The config: defaults, refusals with their place, times, products, round trip, hash, environment."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_ray.config import (
    CHANNELS,
    ChannelConfig,
    JobConfig,
    ResourcesConfig,
    StagingConfig,
    channel_name,
    format_time,
    inside_ray_job,
    load_config,
    ray_address,
    time_ns,
)
from etl_ray.errors import ConfigError
from etl_ray.tables import TABLES

CONFIGS = Path(__file__).parent.parent / "configs"
NOON_NS = 1_764_158_400_000_000_000  # 2025-11-26T12:00:00Z
KEYS = "venue, channels, products, start, end, numbers, engine, address, strict, overwrite, staging, resources"
STAGING_KEYS = "unit_mb, block_mb, rows_per_file, rows_per_group, max_line_mb, url"
CHANNEL_NAMES = "level2, market_trades, ticker, candles, status, heartbeats, subscriptions, errors"
TIMES = "a date (2025-11-26), a time with its zone (2025-11-26T14:00:00.123456789Z) or ns since 1970, from 2010 to 2100"


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], JobConfig]:
    """Return a function that loads a config from text, as the file run.yaml."""

    def load_text(text: str) -> JobConfig:
        path = tmp_path / "run.yaml"
        path.write_text(text, encoding="utf-8")
        return load_config(path)

    return load_text


# --- defaults


def test_defaults() -> None:
    config = JobConfig()
    assert config.venue == "coinbase"
    assert config.products == ()
    assert (config.start, config.end) == (None, None)
    assert (config.numbers, config.engine, config.address) == ("float64", "auto", None)
    assert (config.strict, config.overwrite) == (False, False)
    assert config.staging == StagingConfig(
        unit_mb=128.0, block_mb=32.0, rows_per_file=4_000_000, rows_per_group=262_144, max_line_mb=64.0, url=None
    )
    assert config.resources == ResourcesConfig(cpus_per_task=1.0, memory_mb_per_task=1024, max_tasks=None)


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
    assert {name: channel.processor_options for name, channel in config.channels.items()} == {
        name: {"include_batch": True} if name == "ticker" else {} for name in CHANNELS
    }
    assert config.include_ticker_batch is True


def test_partition_cols_of_tables_that_are_no_channel() -> None:
    config = JobConfig()
    assert config.partition_cols("rejects") == ("date",)
    assert config.partition_cols("instruments") == ()


def test_empty_file_is_the_default(load: Callable[[str], JobConfig]) -> None:
    assert load("") == load("# nothing\n") == load("{}") == JobConfig()


# --- what a file can say


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
    assert (config.strict, config.overwrite) == (True, True)
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


# --- refusals

REFUSED = {
    "unknown key": (
        "numbers: decimal\nstagin:\n  unit_mb: 1\n",
        f"2: stagin: unknown key; did you mean 'staging'? known: {KEYS}",
    ),
    "unknown key, nothing near": ("xyzzy: 1\n", f"1: xyzzy: unknown key; known: {KEYS}"),
    "unknown key of a section": (
        "staging:\n\n  unit_mbs: 1\n",
        f"3: staging.unit_mbs: unknown key; did you mean 'unit_mb'? known: {STAGING_KEYS}",
    ),
    "unknown key of resources": (
        "resources: {cpus: 2}\n",
        "1: resources.cpus: unknown key; known: cpus_per_task, memory_mb_per_task, max_tasks",
    ),
    "unknown key of a channel": (
        "channels:\n  level2:\n    enable: true\n",
        "3: channels.level2.enable: unknown key; did you mean 'enabled'? "
        "known: enabled, partition_cols, processor_options",
    ),
    "unknown channel": (
        "channels:\n  levl2: {}\n",
        f"2: channels.levl2: unknown channel; did you mean 'level2'? known: {CHANNEL_NAMES}",
    ),
    "wire name of a channel": (
        "channels:\n  l2_data: {}\n",
        f"2: channels.l2_data: unknown channel; did you mean 'level2'? known: {CHANNEL_NAMES}",
    ),
    "unknown option": (
        "channels:\n  ticker:\n    processor_options:\n      include_batches: true\n",
        "4: channels.ticker.processor_options.include_batches: channel ticker has no such processor option; "
        "did you mean 'include_batch'? known: include_batch",
    ),
    "option of a channel that has none": (
        "channels:\n  level2:\n    processor_options: {depth: 5}\n",
        "3: channels.level2.processor_options.depth: channel level2 has no such processor option; known: none",
    ),
    "option of the wrong type": (
        "channels:\n  ticker:\n    processor_options: {include_batch: 3}\n",
        "3: channels.ticker.processor_options.include_batch: expected true or false, found 3",
    ),
    "partition by another column": (
        "channels:\n  level2:\n    partition_cols: [side]\n",
        "3: channels.level2.partition_cols: expected some of product_id, date, each once, found ['side']",
    ),
    "partition by a column that the table lacks": (
        "channels:\n  heartbeats:\n    partition_cols: [product_id]\n",
        "3: channels.heartbeats.partition_cols: expected some of date, each once, found ['product_id']",
    ),
    "partition twice": (
        "channels:\n  level2:\n    partition_cols: [date, date]\n",
        "3: channels.level2.partition_cols: expected some of product_id, date, each once, found ['date', 'date']",
    ),
    "no channel left": (
        "channels:\n" + "".join(f"  {name}: {{enabled: false}}\n" for name in CHANNELS),
        "1: channels: expected at least one enabled channel, found none",
    ),
    "number for a bool": ("strict: 1\n", "1: strict: expected true or false, found 1"),
    "text for a bool": ("overwrite: 'yes'\n", "1: overwrite: expected true or false, found 'yes'"),
    "text for a number": ("staging: {unit_mb: '8'}\n", "1: staging.unit_mb: expected a number, found '8'"),
    "zero size": ("staging: {unit_mb: 0}\n", "1: staging.unit_mb: expected a number above 0, found 0"),
    "infinite size": ("staging: {unit_mb: .inf}\n", "1: staging.unit_mb: expected a finite number, found inf"),
    "no rows": ("staging: {rows_per_file: 0}\n", "1: staging.rows_per_file: expected a number from 1 on, found 0"),
    "part of a row": (
        "staging: {rows_per_group: 1.5}\n",
        "1: staging.rows_per_group: expected a whole number, found 1.5",
    ),
    "true tasks": ("resources: {max_tasks: true}\n", "1: resources.max_tasks: expected a whole number, found True"),
    "block above unit": (
        "staging:\n  unit_mb: 8\n  block_mb: 16\n",
        "3: staging.block_mb: expected a number up to unit_mb (8.0), found 16.0",
    ),
    "scalar for a list": ("products: BTC-USD\n", "1: products: expected a list, found 'BTC-USD'"),
    "number for a product": ("products:\n- 1\n", "1: products.0: expected text, found 1"),
    "empty product": ("products: ['']\n", "1: products.0: expected text that is not empty, found ''"),
    "section without keys": ("staging:\n", "1: staging: expected keys with values, found nothing"),
    "channels as a list": (
        "channels: [level2]\n",
        "1: channels: expected keys with values, found ['level2']",
    ),
    "numbers": ("numbers: float\n", "1: numbers: expected 'float64' or 'decimal', found 'float'"),
    "engine": ("engine: spark\n", "1: engine: expected 'auto', 'local' or 'ray', found 'spark'"),
    "venue": ("venue: kraken\n", "1: venue: expected 'coinbase', found 'kraken'"),
    "address without Ray": (
        "engine: local\naddress: auto\n",
        "2: address: expected nothing, because engine local uses no cluster, found 'auto'",
    ),
    "empty address": ("address: ''\n", "1: address: expected text that is not empty, found ''"),
    "start that is no day": ("start: 2025-02-29\n", f"1: start: expected {TIMES}, found '2025-02-29'"),
    "start in seconds": ("start: 1764115200\n", f"1: start: expected {TIMES}, found 1764115200"),
    "end long ago": ("end: 2009-12-31T23:59:59Z\n", f"1: end: expected {TIMES}, found '2009-12-31T23:59:59Z'"),
    "end far ahead": ("end: 2100-01-02\n", f"1: end: expected {TIMES}, found '2100-01-02'"),
    "end as a fraction": ("end: 1.5\n", f"1: end: expected {TIMES}, found 1.5"),
    "end as a bool": ("end: true\n", f"1: end: expected {TIMES}, found True"),
    "end at start": (
        "start: 2025-11-26\nend: 2025-11-26T00:00:00Z\n",
        "2: end: expected a time after start (2025-11-26T00:00:00Z), found 2025-11-26T00:00:00Z",
    ),
    "key twice": ("a: 1\na: 2\n", "2: a: expected once, found again (first on line 1)"),
    "key of a section twice": (
        "staging:\n  unit_mb: 1\n  unit_mb: 2\n",
        "3: staging.unit_mb: expected once, found again (first on line 2)",
    ),
    "key that is no text": ("1: a\n", "1: expected a key that is text, found '1'"),
    "YAML cut short": (
        "a: [\n",
        "2: expected YAML, found: expected the node content, but found '<stream end>'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_name_line_key_expectation_and_finding(
    case: str, load: Callable[[str], JobConfig], tmp_path: Path
) -> None:
    text, message = REFUSED[case]
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert str(caught.value) == f"{tmp_path / 'run.yaml'}:{message}"


def test_all_problems_are_told_at_once(load: Callable[[str], JobConfig], tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    with pytest.raises(ConfigError) as caught:
        load("strict: 2\nstaging:\n  unit_mb: -1\nnumber: decimal\n")
    assert str(caught.value) == (
        f"{path}:1: strict: expected true or false, found 2; "
        f"{path}:3: staging.unit_mb: expected a number above 0, found -1; "
        f"{path}:4: number: unknown key; did you mean 'numbers'? known: {KEYS}"
    )


def test_whole_file_of_the_wrong_kind(load: Callable[[str], JobConfig], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load("- level2\n")
    assert str(caught.value) == f"{tmp_path / 'run.yaml'}: config: expected keys with values, found ['level2']"


def test_long_values_are_cut_in_messages(load: Callable[[str], JobConfig]) -> None:
    with pytest.raises(ConfigError) as caught:
        load(f"numbers: {'x' * 500}\n")
    assert str(caught.value).endswith(f"expected 'float64' or 'decimal', found '{'x' * 96}...")


def test_yaml_that_refers_to_itself(load: Callable[[str], JobConfig], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load("&a staging: &b {unit_mb: *b}\n")
    assert str(caught.value).startswith(
        f"{tmp_path / 'run.yaml'}:1: staging.unit_mb: expected a number, found {{'unit_mb'"
    )


def test_tags_cannot_build_objects(load: Callable[[str], JobConfig], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load("address: !!python/object/apply:os.getcwd []\n")
    tag = "tag:yaml.org,2002:python/object/apply:os.getcwd"
    expected = f"1: expected YAML, found: could not determine a constructor for the tag {tag!r}"
    assert str(caught.value) == f"{tmp_path / 'run.yaml'}:{expected}"


def test_numbers_that_only_look_like_some(load: Callable[[str], JobConfig], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load("products: [0x_]\n")
    path = tmp_path / "run.yaml"
    assert str(caught.value) == f"{path}: expected YAML, found: invalid literal for int() with base 16: ''"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    missing, latin = tmp_path / "missing.yaml", tmp_path / "latin.yaml"
    latin.write_bytes(b"# caf\xe9\n")
    control = tmp_path / "control.yaml"
    control.write_bytes(b"a: \x00\n")
    for path, message in (
        (missing, "expected a YAML file, found: No such file or directory"),
        (tmp_path, "expected a YAML file, found: Is a directory"),
        (latin, "expected UTF-8 text, found byte 5 that is none"),
    ):
        with pytest.raises(ConfigError) as caught:
            load_config(path)
        assert str(caught.value) == f"{path}: {message}"
    with pytest.raises(ConfigError, match="expected YAML, found: unacceptable character #x0000"):
        load_config(control)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: JobConfig(staging={"unit_mb": -1}), "staging.unit_mb: expected a number above 0, found -1"),
        (lambda: StagingConfig(unit_mb=-1), "unit_mb: expected a number above 0, found -1"),
        (lambda: ChannelConfig(enabled="no"), "enabled: expected true or false, found 'no'"),
        (
            lambda: ResourcesConfig(task=1),
            "task: unknown key; did you mean 'max_tasks'? known: cpus_per_task, memory_mb_per_task, max_tasks",
        ),
        (
            lambda: JobConfig(channels={"level2": ChannelConfig(processor_options={"depth": True})}),
            "channels.level2.processor_options.depth: channel level2 has no such processor option; known: none",
        ),
        (
            lambda: JobConfig(channels={1: {}}),
            f"channels.1: unknown channel; known: {CHANNEL_NAMES}",
        ),
        (lambda: JobConfig.model_validate(3), "config: expected keys with values, found 3"),
    ],
)
def test_python_callers_get_config_errors_too(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build()
    assert str(caught.value) == message
    assert caught.value.exit_code == 2
    assert str(pickle.loads(pickle.dumps(caught.value))) == message


def test_a_refusal_does_not_change_how_the_next_one_is_told() -> None:
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"^staging\.unit_mb: "):
            JobConfig(staging={"unit_mb": -1})


# --- channels and products


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
    assert JobConfig(products=("é" * 33,)).products == ("é" * 33,)


# --- times


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2025-11-26", 1_764_115_200_000_000_000),
        ("2025-11-26T12:00:00Z", NOON_NS),
        ("2025-11-26t12:00:00z", NOON_NS),
        ("2025-11-26 12:00:00+00:00", NOON_NS),
        ("2025-11-26T12:00:00-00:00", NOON_NS),
        ("2025-11-26T13:30:00+01:30", NOON_NS),
        ("2025-11-26T07:00:00-05:00", NOON_NS),
        ("2025-11-26T12:00:00.1Z", NOON_NS + 100_000_000),
        ("2025-11-26T12:00:00.123456789Z", NOON_NS + 123_456_789),
        ("2025-11-26T12:00:00.000000001Z", NOON_NS + 1),
        ("2024-02-29T23:59:59.999999999Z", 1_709_251_199_999_999_999),
        ("1970-01-01", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("2262-04-11T23:47:16.854775807Z", 2**63 - 1),
    ],
)
def test_times_keep_all_digits(text: str, ns: int) -> None:
    assert time_ns(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "today",
        "2025-11-26T12:00:00",  # no zone
        "2025-11-26T12:00Z",
        "2025-11-26T24:00:00Z",
        "2025-11-26T12:60:00Z",
        "2025-11-26T23:59:60Z",
        "2025-11-26T12:00:00.Z",
        "2025-11-26T12:00:00.1234567890Z",
        "2025-11-26T12:00:00+0100",
        "2025-11-26T12:00:00+24:00",
        "2025-11-31",
        "2025-13-01",
        "0000-01-01",
        "20251126",
        "2025-11-26 ",
        "2025-11-26\n",
        "٢٠٢٥-11-26",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+00:01",
        "2262-04-11T23:47:16.854775808Z",
        "9999-12-31",
    ],
)
def test_other_text_is_no_time(text: str) -> None:
    assert time_ns(text) is None


@given(st.integers(0, 2**63 - 1))
def test_every_time_survives_its_text(ns: int) -> None:
    assert time_ns(format_time(ns)) == ns


def test_times_are_written_short() -> None:
    assert format_time(NOON_NS) == "2025-11-26T12:00:00Z"
    assert format_time(NOON_NS + 120_000_000) == "2025-11-26T12:00:00.12Z"


def test_times_in_python_are_ns() -> None:
    config = JobConfig(start=NOON_NS, end=NOON_NS + 1)
    assert (config.start, config.end) == (NOON_NS, NOON_NS + 1)
    assert JobConfig(end=4_102_444_800_000_000_000).end == time_ns("2100-01-01")


# --- merging


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


# --- meaning


def test_semantic_is_what_decides_rows() -> None:
    config = JobConfig(
        channels={name: {"enabled": name in ("level2", "ticker")} for name in CHANNELS},
        products=("ETH-USD", "BTC-USDC"),
        numbers="decimal",
    )
    assert config.semantic() == {
        "format_version": 1,
        "venue": "coinbase",
        "channels": {
            "level2": {"partition_cols": ["product_id", "date"], "processor_options": {}},
            "ticker": {"partition_cols": ["product_id", "date"], "processor_options": {"include_batch": True}},
        },
        "products": ["BTC-USD", "ETH-USD"],
        "numbers": "decimal",
        "staging": {
            "unit_bytes": 128_000_000,
            "block_bytes": 32_000_000,
            "max_line_bytes": 64_000_000,
            "rows_per_file": 4_000_000,
            "rows_per_group": 262_144,
        },
    }


SAME = [
    {"engine": "ray"},
    {"address": "auto"},
    {"strict": True},
    {"overwrite": True},
    {"start": NOON_NS},
    {"end": NOON_NS},
    {"staging": {"url": "gs://bucket/staging"}},
    {"resources": {"cpus_per_task": 2, "memory_mb_per_task": 1, "max_tasks": 1}},
    {"channels": {"level2": {"partition_cols": ["product_id", "date"]}}},
]
OTHER = [
    {"numbers": "decimal"},
    {"products": ["BTC-USD"]},
    {"channels": {"level2": {"enabled": False}}},
    {"channels": {"level2": {"partition_cols": ["date", "product_id"]}}},
    {"channels": {"ticker": {"processor_options": {"include_batch": False}}}},
    {"staging": {"unit_mb": 64}},
    {"staging": {"block_mb": 16}},
    {"staging": {"rows_per_file": 1}},
    {"staging": {"rows_per_group": 1}},
    {"staging": {"max_line_mb": 1}},
]


def test_hash_follows_the_meaning() -> None:
    default = JobConfig().semantic_hash()
    assert len(default) == 64
    assert {JobConfig().merge(overrides).semantic_hash() for overrides in SAME} == {default}
    hashes = [JobConfig().merge(overrides).semantic_hash() for overrides in OTHER]
    assert len({default, *hashes}) == 1 + len(OTHER)


def test_order_of_products_does_not_matter() -> None:
    one, other = JobConfig(products=("BTC-USD", "ETH-USD")), JobConfig(products=("ETH-USDC", "BTC-USD"))
    assert one.semantic_hash() == other.semantic_hash()


# --- round trip


@st.composite
def job_configs(draw: st.DrawFn) -> JobConfig:
    """Draw any valid config."""
    names = draw(st.lists(st.sampled_from(CHANNELS), unique=True, min_size=1))
    channels = {}
    for name in CHANNELS:
        allowed = [col for col in ("product_id", "date") if col in TABLES[name].names]
        cols = draw(st.none() | st.lists(st.sampled_from(allowed), unique=True).map(tuple))
        options = {"include_batch": draw(st.booleans())} if name == "ticker" else {}
        channels[name] = ChannelConfig(enabled=name in names, partition_cols=cols, processor_options=options)
    times = st.none() | st.integers(1_262_304_000 * 10**9, 4_102_444_800 * 10**9)
    start, end = draw(times), draw(times)
    if start is not None and end is not None and start >= end:
        start, end = (end, start) if start > end else (None, end)
    engine = draw(st.sampled_from(["auto", "local", "ray"]))
    text = st.text(min_size=1, max_size=10)
    size = st.floats(1e-6, 1e6)
    unit_mb = draw(size)
    return JobConfig(
        channels=channels,
        products=tuple(draw(st.lists(text, max_size=3))),
        start=start,
        end=end,
        numbers=draw(st.sampled_from(["float64", "decimal"])),
        engine=engine,
        address=None if engine == "local" else draw(st.none() | text),
        strict=draw(st.booleans()),
        overwrite=draw(st.booleans()),
        staging=StagingConfig(
            unit_mb=unit_mb,
            block_mb=draw(st.floats(unit_mb / 10, unit_mb)),
            rows_per_file=draw(st.integers(1, 10**12)),
            rows_per_group=draw(st.integers(1, 10**12)),
            max_line_mb=draw(size),
            url=draw(st.none() | text),
        ),
        resources=ResourcesConfig(
            cpus_per_task=draw(size),
            memory_mb_per_task=draw(st.integers(1, 10**6)),
            max_tasks=draw(st.none() | st.integers(1, 10**6)),
        ),
    )


@given(config=job_configs())
def test_yaml_says_all_of_a_config(config: JobConfig, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip.yaml"
    path.write_text(config.to_yaml(), encoding="utf-8")
    loaded = load_config(path)
    assert loaded == config
    assert loaded.semantic_hash() == config.semantic_hash()
    assert loaded.to_yaml() == config.to_yaml()


def test_yaml_of_times_is_readable() -> None:
    assert "start: '2025-11-26T12:00:00.000000001Z'\n" in JobConfig(start=NOON_NS + 1).to_yaml()


# --- ready configs


def test_the_default_file_spells_out_the_default() -> None:
    assert load_config(CONFIGS / "default.yaml") == JobConfig()
    assert load_config(CONFIGS / "default.yaml").model_fields_set == set(JobConfig.model_fields)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "level2-only",
            JobConfig(
                channels={
                    name: {"enabled": False} for name in ("market_trades", "ticker", "candles", "status", "errors")
                }
            ),
        ),
        (
            "research-decimal",
            JobConfig(
                numbers="decimal", strict=True, channels={"ticker": {"processor_options": {"include_batch": False}}}
            ),
        ),
        ("laptop", JobConfig(engine="local", staging=StagingConfig(unit_mb=64, block_mb=16, rows_per_file=1_000_000))),
        (
            "cluster",
            JobConfig(
                engine="ray",
                staging=StagingConfig(unit_mb=256, block_mb=32),
                resources=ResourcesConfig(cpus_per_task=1, memory_mb_per_task=1536),
            ),
        ),
    ],
)
def test_ready_configs(name: str, expected: JobConfig) -> None:
    assert load_config(CONFIGS / f"{name}.yaml") == expected


def test_every_ready_config_is_tested() -> None:
    names = {path.stem for path in CONFIGS.glob("*.yaml")}
    assert names == {"default", "level2-only", "research-decimal", "laptop", "cluster"}


# --- environment


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
