"""How books are asked for: the processor options of `level2`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from etl_ray.config import JobConfig, Level2Options
from etl_ray.errors import ConfigError
from etl_ray.tables.book import BookColumns

OPTIONS = (
    "reconstruct_lob, compute_features, depth, emit, skip_empty, trust_beat, "
    "imbalance_levels, depth_bps, sweep_notionals, ofi_levels"
)
INTERVALS = "message, or an interval up to 24h such as 100ms, 1s, 5m, 1h"
MOST = {"imbalance_levels": 1_000, "depth_bps": 10_000, "sweep_notionals": 10**15}


def level2(**options: object) -> Level2Options:
    """Return what a config makes of options of the channel."""
    return JobConfig.model_validate({"channels": {"level2": {"processor_options": options}}}).level2


def test_books_are_rebuilt_unless_somebody_says_no() -> None:
    assert JobConfig().level2 == Level2Options()
    assert JobConfig().has_books is True
    assert JobConfig().merge({"channels": {"level2": {"processor_options": {"reconstruct_lob": False}}}}).has_books is (
        False
    )
    assert JobConfig(channels={"level2": {"enabled": False}}).has_books is False


def test_columns_are_what_the_options_ask_for() -> None:
    assert level2().columns == BookColumns()
    asked = level2(
        compute_features=False,
        depth=3,
        emit="250ms",
        imbalance_levels=[2],
        depth_bps=[7, 1],
        sweep_notionals=[],
        ofi_levels=0,
    )
    assert asked.columns == BookColumns(
        depth=3, intervals=True, features=False, imbalance=(2,), bps=(7, 1), notionals=(), ofi_levels=0
    )


@pytest.mark.parametrize(
    ("emit", "interval_ns"),
    [
        ("message", 0),
        ("1ms", 1_000_000),
        ("100ms", 100_000_000),
        ("1s", 1_000_000_000),
        ("5m", 300_000_000_000),
        ("1h", 3_600_000_000_000),
        ("24h", 86_400_000_000_000),
        ("86400000ms", 86_400_000_000_000),
    ],
)
def test_intervals(emit: str, interval_ns: int) -> None:
    assert level2(emit=emit).interval_ns == interval_ns


@pytest.mark.parametrize(
    "emit", ["", "messages", "1", "s", "0s", "01s", "1.5s", "-1s", "1 s", "1s\n", "1d", "1us", "25h", f"{'9' * 30}h"]
)
def test_what_is_no_interval(emit: str) -> None:
    with pytest.raises(ConfigError) as caught:
        level2(emit=emit)
    assert str(caught.value) == f"channels.level2.processor_options.emit: expected {INTERVALS}, found {emit!r}"


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("reconstruct_lob", "no", "true or false"),
        ("compute_features", 1, "true or false"),
        ("skip_empty", "false", "true or false"),
        ("trust_beat", 0, "true or false"),
        ("depth", 0, "a number from 1 on"),
        ("depth", 1001, "a number up to 1000"),
        ("depth", 2.5, "a whole number"),
        ("emit", 1, "text"),
        ("ofi_levels", -1, "a number from 0 on"),
        ("ofi_levels", 1001, "a number up to 1000"),
        ("depth_bps", 5, "a list"),
        *((name, [1, 2, 1], f"numbers from 1 to {most:,}, each once") for name, most in MOST.items()),
        *((name, [1, most + 1], f"numbers from 1 to {most:,}, each once") for name, most in MOST.items()),
    ],
)
def test_values_that_are_refused(option: str, value: object, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        level2(**{option: value})
    assert str(caught.value) == f"channels.level2.processor_options.{option}: expected {expected}, found {value!r}"


@pytest.mark.parametrize("option", MOST)
def test_the_greatest_values_are_taken(option: str) -> None:
    assert getattr(level2(**{option: [MOST[option], 1]}), option) == (MOST[option], 1)


def test_refusals_name_the_line(load: Callable[[str], JobConfig], tmp_path: Path) -> None:
    options = "channels:\n  level2:\n    processor_options:\n      depth: 5\n      "
    for text, message in (
        ("deep: 1", f"deep: channel level2 has no such processor option; did you mean 'depth'? known: {OPTIONS}"),
        ("depth_bps: [5, 0]", "depth_bps.1: expected a number from 1 on, found 0"),
    ):
        with pytest.raises(ConfigError) as caught:
            load(f"{options}{text}\n")
        assert str(caught.value) == f"{tmp_path / 'run.yaml'}:5: channels.level2.processor_options.{message}"
