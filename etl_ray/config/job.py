"""`JobConfig`: everything a run is asked to do."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

import yaml
from pydantic import Field, ValidationError, ValidationInfo, field_validator

from etl_ray.config.books import OPTIONS, Level2Options, NoOptions, TickerOptions
from etl_ray.config.derived import DerivedConfig
from etl_ray.config.sections import (
    ChannelConfig,
    ConfigRefusedError,
    Names,
    ResourcesConfig,
    Section,
    StagingConfig,
    Text,
    describe,
    expected,
    problem,
    suggest,
)
from etl_ray.config.text import format_time, interval_ns, line_of, read_yaml, time_ns
from etl_ray.errors import ConfigError
from etl_ray.tables import TABLES, Numbers

logger = logging.getLogger(__name__)

FORMAT_VERSION = 2
"""Version of the output's layout; part of the semantic hash, so that a new layout redoes what an old one wrote."""

DERIVED = (
    *("rejects", "instruments", "book", "book_checkpoints", "connections", "coverage", "witness"),
    *("bars", "trades_with_book", "features"),
)
"""Tables that are no channel's own."""

CHANNELS = tuple(name for name in TABLES if name not in DERIVED)
"""Channels by the name of their table, in table order."""

CHANNEL_ALIASES = {"l2_data": "level2", "ticker_batch": "ticker"}
"""Names that the wire gives to a channel and its table does not."""

_OWN_USDC_PRODUCTS = ("USDT-USDC", "EURC-USDC")  # all other -USDC products are delivered as -USD
_MAX_PRODUCT_BYTES = 200
# The venue's times are plausible in between; a number outside was meant in another unit than ns.
_FIRST_NS, _LAST_NS = 1_262_304_000_000_000_000, 4_102_444_800_000_000_000


def channel_name(text: str) -> str:
    """Return the channel that its table or the wire calls `text`."""
    name = CHANNEL_ALIASES.get(text, text)
    if name not in CHANNELS:
        raise ConfigError(f"unknown channel {text!r}; {suggest(text, (*CHANNELS, *CHANNEL_ALIASES))}")
    return name


class JobConfig(Section):
    """The whole config of a run.

    `channels` holds all channels, in table order, with their effective partition columns and options. `products` are
    resolved to what the venue delivers; empty means all. `start` and `end` are ns UTC, half-open; None means open.
    `after` says what becomes of segments that are committed and older than `settle`.
    """

    venue: Literal["coinbase"] = "coinbase"
    channels: dict[str, ChannelConfig] = Field(default_factory=dict, validate_default=True)
    products: Names = ()
    start: int | None = None
    end: int | None = None
    numbers: Numbers = "float64"
    engine: Literal["auto", "local", "ray"] = "auto"
    address: Text | None = None
    strict: bool = False
    overwrite: bool = False
    break_lock: bool = False
    after: Literal["keep", "archive", "delete"] = "keep"
    archive_to: Annotated[Text | None, Field(validate_default=True)] = None
    settle: Text = "10m"
    derived: DerivedConfig = DerivedConfig()
    staging: StagingConfig = StagingConfig()
    resources: ResourcesConfig = ResourcesConfig()

    @field_validator("channels", mode="before")
    @classmethod
    def _know_channels(cls, channels: object) -> object:
        for name, channel in channels.items() if isinstance(channels, Mapping) else ():
            if name not in CHANNELS:
                hint = CHANNEL_ALIASES.get(str(name))
                near = f"did you mean {hint!r}? known: {', '.join(CHANNELS)}" if hint else suggest(str(name), CHANNELS)
                raise problem(f"unknown channel; {near}", key=str(name))
            options = channel.get("processor_options") if isinstance(channel, Mapping) else None
            if isinstance(channel, ChannelConfig):
                options = channel.processor_options
            for option in options if isinstance(options, Mapping) else ():
                known = tuple(OPTIONS.get(name, NoOptions).model_fields)
                if option not in known:
                    near = suggest(str(option), known)
                    text = f"channel {name} has no such processor option; {near}"
                    raise problem(text, key=f"{name}.processor_options.{option}")
        return channels

    @field_validator("channels")
    @classmethod
    def _complete_channels(cls, channels: dict[str, ChannelConfig]) -> dict[str, ChannelConfig]:
        complete = {name: _effective_channel(name, channels.get(name, ChannelConfig())) for name in CHANNELS}
        if not any(channel.enabled for channel in complete.values()):
            raise problem("expected at least one enabled channel, found none")
        return complete

    @field_validator("products")
    @classmethod
    def _resolve_products(cls, products: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_delivered_product(product) for product in products))

    @field_validator("start", "end", mode="before")
    @classmethod
    def _read_time(cls, value: object) -> int | None:
        if value is None:
            return None
        ns = time_ns(value) if isinstance(value, str) else value
        if not isinstance(ns, int) or not _FIRST_NS <= ns <= _LAST_NS:
            wanted = "a date (2025-11-26), a time with its zone (2025-11-26T14:00:00.123456789Z) or ns since 1970"
            raise expected(f"{wanted}, from 2010 to 2100", value)
        return ns

    @field_validator("end")
    @classmethod
    def _end_after_start(cls, end: int | None, info: ValidationInfo) -> int | None:
        start = info.data.get("start")
        if start is not None and end is not None and end <= start:
            raise problem(f"expected a time after start ({format_time(start)}), found {format_time(end)}")
        return end

    @field_validator("address")
    @classmethod
    def _address_needs_ray(cls, address: str | None, info: ValidationInfo) -> str | None:
        if address is not None and info.data.get("engine") == "local":
            raise expected("nothing, because engine local uses no cluster", address)
        return address

    @field_validator("archive_to")
    @classmethod
    def _archive_has_a_place(cls, archive_to: str | None, info: ValidationInfo) -> str | None:
        after = info.data.get("after")
        if after == "archive" and archive_to is None:
            raise expected("a directory or URL, because after is archive", archive_to)
        if after in ("keep", "delete") and archive_to is not None:
            raise expected(f"nothing, because after is {after}", archive_to)
        return archive_to

    @field_validator("settle")
    @classmethod
    def _know_settle(cls, settle: str) -> str:
        if interval_ns(settle) <= 0:
            raise expected("a length such as 30s, 10m, 2h", settle)
        return settle

    @property
    def settle_ns(self) -> int:
        """How long nobody must have written to a segment before it is removed."""
        return interval_ns(self.settle)

    @property
    def include_ticker_batch(self) -> bool:
        """Whether ticker_batch messages become rows of `ticker`; if not they are ignored."""
        return TickerOptions.model_validate(self.channels["ticker"].processor_options).include_batch

    @property
    def level2(self) -> Level2Options:
        """Whether and how books are rebuilt."""
        return Level2Options.model_validate(self.channels["level2"].processor_options)

    @property
    def has_books(self) -> bool:
        """Whether this run rebuilds books."""
        return self.channels["level2"].enabled and self.level2.reconstruct_lob

    @field_validator("derived")
    @classmethod
    def _derived_has_sources(cls, derived: DerivedConfig, info: ValidationInfo) -> DerivedConfig:
        channels = info.data.get("channels", {})
        trades, level2 = channels.get("market_trades"), channels.get("level2")
        if not derived.is_asked or trades is None or level2 is None:
            return derived
        if not trades.enabled or trades.processors or set(trades.partition_cols) != {"product_id", "date"}:
            raise problem(
                "bars and features need the channel market_trades, partitioned by product_id and date and without "
                "processors of your own; expected it so, or no derived tables"
            )
        options = Level2Options.model_validate(level2.processor_options)
        if derived.needs_books and not (level2.enabled and options.reconstruct_lob and not options.interval_ns):
            raise problem(
                "trades_with_book and features need a book after each message; expected the channel level2 with "
                "reconstruct_lob: true and emit: message, or neither of them"
            )
        if derived.features is not None and not options.compute_features:
            raise problem(
                "features need the order flow of books; expected level2 with compute_features: true", key="features"
            )
        return derived

    def enabled_channels(self) -> tuple[str, ...]:
        """Return the names of the enabled channels, in table order."""
        return tuple(name for name in CHANNELS if self.channels[name].enabled)

    def partition_cols(self, table: str) -> tuple[str, ...]:
        """Return the Hive keys of any table, in path order."""
        channel = self.channels.get(table)
        cols = channel.partition_cols if channel else None
        return TABLES[table].partition_cols if cols is None else cols

    def semantic(self) -> dict[str, object]:
        """Return what decides which rows a run writes and where; the time range does not count (semantics.md, Runs)."""
        staging = self.staging
        return {
            "format_version": FORMAT_VERSION,
            "venue": self.venue,
            "channels": {
                name: {
                    "partition_cols": list(self.partition_cols(name)),
                    "processor_options": dict(self.channels[name].processor_options),
                    "processors": [processor.model_dump() for processor in self.channels[name].processors],
                }
                for name in self.enabled_channels()
            },
            "derived": self.derived.semantic(),
            "products": sorted(self.products),
            "numbers": self.numbers,
            "staging": {
                "unit_bytes": staging.unit_bytes,
                "block_bytes": staging.block_bytes,
                "max_line_bytes": staging.max_line_bytes,
                "rows_per_file": staging.rows_per_file,
                "rows_per_group": staging.rows_per_group,
            },
        }

    def semantic_hash(self) -> str:
        """Return the SHA-256 of `semantic()`, hexadecimal."""
        text = json.dumps(self.semantic(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_yaml(self) -> str:
        """Write every key; `load_config` reads the same config from it."""
        data = self.model_dump(mode="json")
        for key in ("start", "end"):
            if data[key] is not None:
                data[key] = format_time(data[key])
        return yaml.safe_dump(data, sort_keys=False, width=120)

    def merge(self, overrides: Mapping[str, object]) -> JobConfig:
        """Return this config with `overrides` (nested as in YAML) laid over what was set, checked anew."""
        return JobConfig.model_validate(_merged(self.model_dump(exclude_unset=True), overrides))


def load_config(path: str | Path) -> JobConfig:
    """Read a YAML file; every problem names file, line and key."""
    path = Path(path)
    data, lines = read_yaml(path)
    try:
        return JobConfig.model_validate({} if data is None else data)
    except ConfigRefusedError as refused:
        located = [(line_of(key, lines), message) for key, message in refused.problems]
        text = "; ".join(f"{path}:{line}: {message}" if line else f"{path}: {message}" for line, message in located)
        raise ConfigError(text) from None


def _effective_channel(name: str, channel: ChannelConfig) -> ChannelConfig:
    """Return `channel` with its defaults filled in; refuse partition columns that its table cannot be split by."""
    default = TABLES[name].partition_cols
    allowed = tuple(col for col in ("product_id", "date") if col in TABLES[name].names)
    cols = default if channel.partition_cols is None else channel.partition_cols
    if len(set(cols)) != len(cols) or not set(cols) <= set(allowed):
        text = f"some of {', '.join(allowed)}, each once"
        raise expected(text, list(cols), key=f"{name}.partition_cols")
    options = _effective_options(name, channel.processor_options)
    return channel.model_copy(update={"partition_cols": cols, "processor_options": options})


def _effective_options(name: str, options: dict[str, object]) -> dict[str, object]:
    """Return all options of a channel's processor; refuse what is not of their type."""
    model = OPTIONS.get(name, NoOptions)
    try:
        return model.model_validate(options).model_dump(mode="json")
    except ValidationError as error:
        key, message = describe(model, error.errors(include_url=False)[0])
        dotted = ".".join(str(part) for part in (name, "processor_options", *key))
        raise problem(message.partition(": ")[2], key=dotted) from None


def _delivered_product(product: str) -> str:
    """Return the name under which the venue delivers `product`."""
    encoded = quote(product, safe="")
    if len(encoded) > _MAX_PRODUCT_BYTES:
        raise expected(f"product names of at most {_MAX_PRODUCT_BYTES} bytes in a path", product)
    if not product.endswith("-USDC") or product in _OWN_USDC_PRODUCTS:
        return product
    delivered = product.removesuffix("C")
    logger.warning("product %s is delivered by the venue as %s: %s is selected", product, delivered, delivered)
    return delivered


def _merged(base: Mapping[str, object], overrides: Mapping[str, object]) -> dict[str, object]:
    """Lay nested `overrides` over `base`."""
    result = dict(base)
    for key, value in overrides.items():
        below = result.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        result[key] = _merged(below, value) if both else value  # type: ignore[arg-type]
    return result
