"""The unit of work, the same in-process and on Ray: options and one item in, one result out, all as JSON."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from etl_ray.orchestrators.build import BuildOptions, BuiltFile, build
from etl_ray.orchestrators.messages import from_json, to_json
from etl_ray.orchestrators.normalize import NormalizeOptions, Normalizer
from etl_ray.orchestrators.receipts import Receipt
from etl_ray.orchestrators.stitch import Shard
from etl_ray.readers.segments import Unit

Stage = Literal["normalize", "build"]


def work(stage: Stage, options: bytes, item: bytes) -> bytes:
    """Normalize a Unit to a Receipt, or build a Shard to a BuiltFile."""
    if stage == "normalize":
        return to_json(_normalizer(options).run(from_json(Unit, item)))
    return to_json(build(from_json(Shard, item), _build_options(options)))


def read_receipt(data: bytes, place: str = "a receipt") -> Receipt:
    """Read the result of the stage `normalize`."""
    return from_json(Receipt, data, place)


def read_built(data: bytes) -> BuiltFile:
    """Read the result of the stage `build`."""
    return from_json(BuiltFile, data)


@lru_cache(maxsize=1)  # a worker serves one run; its buffers are allocated once
def _normalizer(options: bytes) -> Normalizer:
    return Normalizer(from_json(NormalizeOptions, options))


@lru_cache(maxsize=1)
def _build_options(options: bytes) -> BuildOptions:
    return from_json(BuildOptions, options)
