"""The unit of work, the same in-process and on Ray: options and one item in, one result out, all as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Literal

from etl_ray import storage
from etl_ray.errors import EtlRayError
from etl_ray.orchestrators.build import BuildOptions, BuiltFile, build
from etl_ray.orchestrators.messages import from_json, to_json
from etl_ray.orchestrators.normalize import NormalizeOptions, Normalizer
from etl_ray.orchestrators.receipts import Receipt
from etl_ray.orchestrators.stitch import Shard
from etl_ray.readers.segments import Unit

Stage = Literal["normalize", "build"]


def work(stage: Stage, options: bytes, item: bytes) -> bytes:
    """Normalize a Unit to a Receipt, or build a Shard to a BuiltFile. What is raised by a defect says of which one."""
    if stage == "normalize":
        unit = from_json(Unit, item)
        with _named(_place(unit)):
            return to_json(_normalizer(options).run(unit))
    shard = from_json(Shard, item)
    with _named(shard.path):
        return to_json(build(shard, _build_options(options)))


@contextmanager
def _named(place: str) -> Iterator[None]:
    try:
        yield
    except EtlRayError:  # says so itself
        raise
    except Exception as error:
        error.add_note(f"while working on {place}")
        raise


def _place(unit: Unit) -> str:
    url = storage.redact(unit.segment.url)
    return url if unit.end is None else f"{url}, bytes {unit.start:,} to {unit.end:,}"


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
