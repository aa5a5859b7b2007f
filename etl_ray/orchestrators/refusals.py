"""What a run refuses before it reads anything."""

from __future__ import annotations

import json
from collections.abc import Sequence

from etl_ray import storage
from etl_ray.config import JobConfig
from etl_ray.errors import ConfigError
from etl_ray.orchestrators.manifest import Manifest
from etl_ray.readers.segments import Segment


def check_output(input_url: str, output_url: str, *, names: tuple[str, str] = ("INPUT", "OUTPUT")) -> None:
    """Raise ConfigError if OUTPUT lies inside INPUT: the next run would read what this one has written."""
    outer_name, inner_name = names
    if storage.is_local(input_url) and storage.is_local(output_url):
        outer, inner = storage.local_path(input_url).resolve(), storage.local_path(output_url).resolve()
        inside = inner == outer or outer in inner.parents
    else:
        inside = f"{output_url.rstrip('/')}/".startswith(f"{input_url.rstrip('/')}/")
    if inside:
        raise ConfigError(
            f"{inner_name} {storage.redact(output_url)} lies inside {outer_name} {storage.redact(input_url)}; "
            "expected a place outside it"
        )


def check_segments(segments: Sequence[Segment], output_url: str) -> None:
    """Raise ConfigError if a segment lies below OUTPUT, which is given in its canonical form: a pattern may find it."""
    below = f"{output_url.rstrip('/')}/"
    found = [segment.url for segment in segments if segment.url.startswith(below)]
    if found:
        raise ConfigError(
            f"INPUT leads to {len(found):,} files below OUTPUT {storage.redact(output_url)} "
            f"({storage.redact(found[0])}); expected places apart from each other, or a pattern that leaves OUTPUT out"
        )


def check_same_config(latest: Manifest, config: JobConfig, *, output: str) -> None:
    """Raise ConfigError if OUTPUT was made with a config that this run cannot go on with."""
    before = json.loads(latest.semantic)
    now = json.loads(json.dumps(config.semantic()))
    found = differences(before, now)
    if found:
        raise ConfigError(
            f"OUTPUT {output} was made with another config: {'; '.join(found)}. "
            "Give another OUTPUT, or --overwrite to replace it"
        )


def differences(before: object, now: object, place: str = "") -> list[str]:
    """Return where two configs differ, each with what is there and what is here."""
    if isinstance(before, dict) and isinstance(now, dict):
        found = []
        for key in sorted(before.keys() | now.keys()):
            found += differences(before.get(key), now.get(key), f"{place}.{key}" if place else str(key))
        return found
    if before == now:
        return []
    return [f"{place}: {_shown(before)} there, {_shown(now)} here"]


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "enabled"
    return "not enabled" if value is None else json.dumps(value)
