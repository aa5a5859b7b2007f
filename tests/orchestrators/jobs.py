"""Small inputs, and runs over them in this process."""

from __future__ import annotations

from pathlib import Path

from etl_ray.config import CHANNELS, JobConfig
from etl_ray.job import ETLJob
from etl_ray.sample import SampleOptions
from etl_ray.summary import RunSummary

SMALL = SampleOptions(
    minutes=0.1,
    products=("BTC-USD", "ETH-USD"),
    rate=8,
    levels=40,
    segment_mb=0.08,
    start="2025-11-26T23:59:57Z",
)
"""203 lines in four segments: two connections, over a midnight."""

FEW: dict[str, object] = {"channels": {name: {"enabled": name in ("level2", "market_trades")} for name in CHANNELS}}
"""The part of a config that selects the channels whose tables have product and date."""


def config(**overrides: object) -> JobConfig:
    """Return a config for small inputs, run in this process."""
    staging = {"unit_mb": 1, "block_mb": 0.5, "max_line_mb": 0.25}
    given = overrides.pop("staging", {})
    assert isinstance(given, dict)
    return JobConfig.model_validate({"engine": "local", "staging": staging | given, **overrides})


def run(source: Path | str, output: Path | str, **overrides: object) -> RunSummary:
    """Run the job in this process; `overrides` are keys of the config."""
    return ETLJob(str(source), str(output), config=config(**overrides)).process_all()
