"""Processors of the user's own, by import path."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from etl_ray.errors import ConfigError, SchemaError
from etl_ray.processors.base import BaseProcessor
from etl_ray.processors.chain import ProcessorChain

Option = bool | int | float | str | None


@dataclass(frozen=True)
class ProcessorSpec:
    """`path` is module:Class, `options` are the keyword arguments to make it with."""

    path: str
    options: Mapping[str, Option] = field(default_factory=dict)


def load_processors(specs: tuple[ProcessorSpec, ...]) -> ProcessorChain:
    """Import and make the processors; ConfigError says which one cannot be had, and why."""
    return ProcessorChain([_load(spec) for spec in specs])


def _load(spec: ProcessorSpec) -> BaseProcessor:
    module_name, _, class_name = spec.path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(
            f"processor {spec.path}: cannot import {module_name}: {error}; expected a module on Python's path"
        ) from None
    kind = getattr(module, class_name, None)
    if not isinstance(kind, type) or not callable(getattr(kind, "process", None)):
        raise ConfigError(f"processor {spec.path}: expected a class with a method process(batches) in {module_name}")
    try:
        made: BaseProcessor = kind(**spec.options)
    except TypeError as error:
        raise ConfigError(f"processor {spec.path}: cannot be made with {dict(spec.options)}: {error}") from None
    return made


def apply(chain: ProcessorChain, rows: Iterator[pa.Table], place: str) -> Iterator[pa.Table]:
    """Yield what a chain makes of `rows`; SchemaError if that is not of one schema."""
    first: pa.Schema | None = None
    for batch in chain.process(batch for table in rows for batch in table.to_batches()):
        if first is None:
            first = batch.schema
        elif not batch.schema.equals(first):
            raise SchemaError(
                f"{place}: the processors yield batches of different schemas: "
                f"{', '.join(first.names)} and then {', '.join(batch.schema.names)}"
            )
        yield pa.Table.from_batches([batch])
