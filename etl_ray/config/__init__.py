"""What a run is asked to do: YAML and options become a frozen `JobConfig`. The only reader of the environment."""

from __future__ import annotations

from etl_ray.config.books import Level2Options
from etl_ray.config.derived import DerivedConfig
from etl_ray.config.environment import (
    failpoint,
    has_ray_token,
    inside_ray_job,
    ray_address,
    ray_auth_mode,
    user_cache_dir,
    with_ray_token,
)
from etl_ray.config.job import CHANNEL_ALIASES, CHANNELS, FORMAT_VERSION, JobConfig, channel_name, load_config
from etl_ray.config.sections import ChannelConfig, ProcessorConfig, ResourcesConfig, StagingConfig, suggest
from etl_ray.config.text import format_time, time_ns

__all__ = [
    "CHANNELS",
    "CHANNEL_ALIASES",
    "FORMAT_VERSION",
    "ChannelConfig",
    "DerivedConfig",
    "JobConfig",
    "Level2Options",
    "ProcessorConfig",
    "ResourcesConfig",
    "StagingConfig",
    "channel_name",
    "failpoint",
    "format_time",
    "has_ray_token",
    "inside_ray_job",
    "load_config",
    "ray_address",
    "ray_auth_mode",
    "suggest",
    "time_ns",
    "user_cache_dir",
    "with_ray_token",
]
