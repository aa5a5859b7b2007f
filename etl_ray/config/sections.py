"""The sections of the config, and how what is wrong with one is told."""

from __future__ import annotations

from contextvars import ContextVar
from difflib import get_close_matches
from math import isfinite
from typing import Annotated, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    Strict,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from etl_ray.config.text import NS_PER_S, KeyPath, interval_ns
from etl_ray.errors import ConfigError
from etl_ray.urls import redact

_MB = 1_000_000


def suggest(name: str, known: tuple[str, ...]) -> str:
    """Say which of `known` is nearest to `name`, if any is near, and list them all."""
    nearest = get_close_matches(name, known, n=1)
    return (f"did you mean {nearest[0]!r}? " if nearest else "") + f"known: {', '.join(known) or 'none'}"


class ConfigRefusedError(ConfigError):
    """Every problem of a config, as pairs of key path and message."""

    def __init__(self, problems: tuple[tuple[KeyPath, str], ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "; ".join(message for _, message in self.problems)


def problem(text: str, *, key: str = "") -> PydanticCustomError:
    """Build a validator's error; `key` is the dotted key below the validated value that is meant."""
    return PydanticCustomError("problem", "{text}", {"text": text, "key": key})


def expected(wanted: str, found: object, *, key: str = "") -> PydanticCustomError:
    """Build a validator's error about a value that is not what it should be."""
    return problem(f"expected {wanted}, found {_show(found)}", key=key)


def _show(value: object) -> str:
    text = "nothing" if value is None else repr(redact(value) if isinstance(value, str) else value)
    return text if len(text) <= 100 else text[:97] + "..."


_EXPECTATIONS = {
    "bool_type": "true or false",
    "dict_type": "keys with values",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number from {ge} on",
    "int_type": "a whole number",
    "less_than_equal": "a number up to {le}",
    "literal_error": "{expected}",
    "model_type": "keys with values",
    "string_pattern_mismatch": "an import path such as package.module:Class",
    "string_too_short": "text that is not empty",
    "string_type": "text",
    "string_unicode": "text in UTF-8",
    "tuple_type": "a list",
}
"""What a value should have been, by the kind of pydantic's error."""


def describe(model: type[BaseModel], error: ErrorDetails) -> tuple[KeyPath, str]:
    """Return the key path and the message of one of pydantic's errors in `model`."""
    kind, context = error["type"], error.get("ctx", {})
    path: KeyPath = (*error["loc"], *(part for part in str(context.get("key", "")).split(".") if part))
    name = ".".join(str(part) for part in path) or "config"
    if kind == "problem":
        return path, f"{name}: {context['text']}"
    if kind == "extra_forbidden":
        section = _section_at(path[:-1], model)
        return path, f"{name}: unknown key; {suggest(str(path[-1]), tuple(section.model_fields))}"
    if kind == "missing":
        return path, f"{name}: expected a value, found nothing"
    wanted = _EXPECTATIONS.get(kind, error["msg"]).format_map(context)
    return path, f"{name}: expected {wanted}, found {_show(error['input'])}"


def _section_at(path: KeyPath, model: type[BaseModel]) -> type[BaseModel]:
    """Return the section that `path` leads to from `model`."""
    if "processors" in path:
        return ProcessorConfig
    if path and path[0] == "channels":
        return ChannelConfig
    section = model.model_fields[str(path[0])].annotation if path else model
    return section if isinstance(section, type) and issubclass(section, BaseModel) else model


_nested: ContextVar[bool] = ContextVar("_nested", default=False)


class Section(BaseModel):
    """Keys of the config: frozen, strictly typed, unknown ones refused, every problem a ConfigError."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="wrap")
    @classmethod
    def _raise_config_error(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if _nested.get():  # the outermost section reports: only it knows the whole path of a key
            return handler(data)
        token = _nested.set(True)
        try:
            return handler(data)
        except ValidationError as error:
            parts = [part for part in error.errors(include_url=False) if part["type"] != "default_factory_not_called"]
            raise ConfigRefusedError(tuple(describe(cls, part) for part in parts)) from None
        finally:
            _nested.reset(token)


Text = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[Text, ...], Strict(False)]
PositiveFloat = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


def _scalar(value: object) -> object:
    """Refuse what is no plain value; the union behind would tell it once for each of its types."""
    if value is not None and not isinstance(value, str | int | float):
        raise expected("true or false, a number, text or nothing", value)
    if isinstance(value, float) and not isfinite(value):
        raise expected("a finite number", value)
    return value


Scalar = Annotated[bool | int | float | str | None, BeforeValidator(_scalar)]


class ProcessorConfig(Section):
    """A processor of the user's own: `module:Class` and the keyword arguments to make it with."""

    path: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
    options: dict[str, Scalar] = Field(default_factory=dict)


class ChannelConfig(Section):
    """One channel: whether its table is written, its Hive keys (None: the table's own), its processor's options.

    `processors` are applied, in this order, to the rows of each final file.
    """

    enabled: bool = True
    partition_cols: Names | None = None
    processor_options: dict[str, object] = Field(default_factory=dict)
    processors: Annotated[tuple[ProcessorConfig, ...], Strict(False)] = ()

    @field_validator("processors", mode="before")
    @classmethod
    def _accept_paths(cls, processors: object) -> object:
        if not isinstance(processors, (list, tuple)):
            return processors
        return tuple({"path": item} if isinstance(item, str) else item for item in processors)


class StagingConfig(Section):
    """How work is cut and where its pieces wait; 1 MB is 1,000,000 bytes. `url` None: OUTPUT/_etl_ray/staged.

    All pieces of the last `keep_days` days of data are kept for later runs, and those of segments that are gone.
    """

    unit_mb: PositiveFloat = 128.0
    block_mb: PositiveFloat = Field(default_factory=lambda known: min(32.0, known["unit_mb"]))
    rows_per_file: Count = 4_000_000
    rows_per_group: Count = 262_144
    max_line_mb: PositiveFloat = 16.0
    url: Text | None = None
    keep_days: Annotated[int, Field(ge=0)] = 2

    @field_validator("block_mb")
    @classmethod
    def _fit_unit(cls, block_mb: float, info: ValidationInfo) -> float:
        unit_mb = info.data.get("unit_mb", block_mb)
        if block_mb > unit_mb:
            raise expected(f"a number up to unit_mb ({unit_mb})", block_mb)
        return block_mb

    @property
    def unit_bytes(self) -> int:
        """Size above which a plain segment is cut into byte ranges."""
        return max(1, round(self.unit_mb * _MB))

    @property
    def block_bytes(self) -> int:
        """Size of what is parsed at once."""
        return max(1, round(self.block_mb * _MB))

    @property
    def max_line_bytes(self) -> int:
        """Length above which a line is rejected."""
        return max(1, round(self.max_line_mb * _MB))


class ResourcesConfig(Section):
    """What one Ray task asks for, and how many may run. `max_tasks` None: as many as the cluster has room for.

    A run waits up to `placement_timeout` for a node that has room for a task.
    """

    cpus_per_task: PositiveFloat = 1.0
    memory_mb_per_task: Count = 1024
    max_tasks: Count | None = None
    placement_timeout: Text = "10m"

    @field_validator("placement_timeout")
    @classmethod
    def _know_timeout(cls, timeout: str) -> str:
        if interval_ns(timeout) <= 0:
            raise expected("a length such as 30s, 10m, 2h", timeout)
        return timeout

    @property
    def placement_timeout_s(self) -> float:
        """How long a run waits for a node that has room for a task."""
        return interval_ns(self.placement_timeout) / NS_PER_S
