"""What decides the output, the way through YAML and back, and the ready configs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_ray.config import (
    CHANNELS,
    ChannelConfig,
    JobConfig,
    ProcessorConfig,
    ResourcesConfig,
    StagingConfig,
    load_config,
)
from etl_ray.tables import TABLES

NOON_NS = 1_764_158_400_000_000_000  # 2025-11-26T12:00:00Z
CONFIGS = Path(__file__).parent.parent.parent / "configs"


def test_semantic_is_what_decides_rows() -> None:
    config = JobConfig(
        channels={name: {"enabled": name in ("level2", "ticker")} for name in CHANNELS},
        products=("ETH-USD", "BTC-USDC"),
        numbers="decimal",
    )
    assert config.semantic() == {
        "format_version": 2,
        "venue": "coinbase",
        "channels": {
            "level2": {
                "partition_cols": ["product_id", "date"],
                "processor_options": {
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
                },
                "processors": [],
            },
            "ticker": {
                "partition_cols": ["product_id", "date"],
                "processor_options": {"include_batch": True},
                "processors": [],
            },
        },
        "products": ["BTC-USD", "ETH-USD"],
        "numbers": "decimal",
        "derived": {},
        "staging": {
            "unit_bytes": 128_000_000,
            "block_bytes": 32_000_000,
            "max_line_bytes": 16_000_000,
            "rows_per_file": 4_000_000,
            "rows_per_group": 262_144,
        },
    }


SAME = [
    {"engine": "ray"},
    {"address": "auto"},
    {"strict": True},
    {"overwrite": True},
    {"break_lock": True},
    {"after": "archive", "archive_to": "gs://bucket/archive"},
    {"after": "delete", "settle": "1ms"},
    {"start": NOON_NS},
    {"end": NOON_NS},
    {"staging": {"url": "gs://bucket/staging"}},
    {"derived": {"fill": True}},  # nothing is asked for that it could change
    {"resources": {"cpus_per_task": 2, "memory_mb_per_task": 1, "max_tasks": 1, "placement_timeout": "1s"}},
    {"channels": {"level2": {"partition_cols": ["product_id", "date"]}}},
    {"channels": {"level2": {"processor_options": {"depth": 10, "emit": "message", "depth_bps": [5, 10, 25]}}}},
]
OTHER = [
    {"numbers": "decimal"},
    {"products": ["BTC-USD"]},
    {"channels": {"level2": {"enabled": False}}},
    {"channels": {"level2": {"partition_cols": ["date", "product_id"]}}},
    *(
        {"channels": {"level2": {"processor_options": {name: value}}}}
        for name, value in {
            "reconstruct_lob": False,
            "compute_features": False,
            "depth": 11,
            "emit": "1s",
            "skip_empty": True,
            "trust_beat": True,
            "imbalance_levels": [5, 1, 10],
            "depth_bps": [],
            "sweep_notionals": [1],
            "ofi_levels": 0,
        }.items()
    ),
    {"channels": {"ticker": {"processor_options": {"include_batch": False}}}},
    {"channels": {"ticker": {"processors": ["my.module:Class"]}}},
    {"staging": {"unit_mb": 64}},
    {"staging": {"block_mb": 16}},
    {"staging": {"rows_per_file": 1}},
    {"derived": {"bars": ["1m"]}},
    {"derived": {"bars": ["1m"], "fill": True}},
    {"derived": {"features": "1s"}},
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


def levels(greatest: int) -> st.SearchStrategy[list[int]]:
    """Draw a list of an option of books."""
    return st.lists(st.integers(1, greatest), unique=True, max_size=3)


OPTIONS = {
    "ticker": st.fixed_dictionaries({"include_batch": st.booleans()}),
    "level2": st.fixed_dictionaries(
        {},
        optional={
            "reconstruct_lob": st.booleans(),
            "compute_features": st.booleans(),
            "depth": st.integers(1, 1000),
            "emit": st.sampled_from(["message", "100ms", "24h"]),
            "skip_empty": st.booleans(),
            "trust_beat": st.booleans(),
            "imbalance_levels": levels(1000),
            "depth_bps": levels(10_000),
            "sweep_notionals": levels(10**15),
            "ofi_levels": st.integers(0, 1000),
        },
    ),
}


@st.composite
def job_configs(draw: st.DrawFn) -> JobConfig:
    """Draw any valid config."""
    names = draw(st.lists(st.sampled_from(CHANNELS), unique=True, min_size=1))
    scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
    processors = st.builds(
        ProcessorConfig,
        path=st.just("my_package.module:Class"),
        options=st.dictionaries(st.text(), scalars, max_size=2),
    )
    channels = {}
    for name in CHANNELS:
        allowed = [col for col in ("product_id", "date") if col in TABLES[name].names]
        cols = draw(st.none() | st.lists(st.sampled_from(allowed), unique=True).map(tuple))
        options = draw(OPTIONS[name]) if name in OPTIONS else {}
        channels[name] = ChannelConfig(
            enabled=name in names,
            partition_cols=cols,
            processor_options=options,
            processors=draw(st.lists(processors, max_size=2).map(tuple)),
        )
    times = st.none() | st.integers(1_262_304_000 * 10**9, 4_102_444_800 * 10**9)
    start, end = draw(times), draw(times)
    if start is not None and end is not None and start >= end:
        start, end = (end, start) if start > end else (None, end)
    engine = draw(st.sampled_from(["auto", "local", "ray"]))
    text = st.text(min_size=1, max_size=10)
    size = st.floats(1e-6, 1e6)
    unit_mb = draw(size)
    after = draw(st.sampled_from(["keep", "archive", "delete"]))
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
        break_lock=draw(st.booleans()),
        after=after,
        archive_to=draw(text) if after == "archive" else None,
        settle=f"{draw(st.integers(1, 10**9))}{draw(st.sampled_from(['ms', 's', 'm', 'h']))}",
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
            placement_timeout=draw(st.sampled_from(["30s", "5m", "2h"])),
        ),
    )


@settings(deadline=None)
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
