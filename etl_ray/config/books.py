"""The options of the processor of `level2`: whether and how books are rebuilt."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, Strict, ValidationInfo, field_validator

from etl_ray.config.sections import Section, expected
from etl_ray.config.text import interval_ns
from etl_ray.tables.book import BookColumns

LONGEST_NS = interval_ns("24h")
_MAX_DEPTH = 1_000

Numbers = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Strict(False)]


class Level2Options(Section):
    """What the processor of `level2` does beside writing its rows.

    `emit` is "message" or an interval such as 100ms, 1s, 5m, 1h. `trust_beat`: holes that fit a beat of one second are
    taken for heartbeats that were not recorded, and books stay verified. `skip_empty`: no rows for intervals without
    messages. `compute_features` adds features: `imbalance_levels`, `depth_bps`, `sweep_notionals` and `ofi_levels` say
    of which depths.
    """

    reconstruct_lob: bool = True
    compute_features: bool = True
    depth: Annotated[int, Field(ge=1, le=_MAX_DEPTH)] = 10
    emit: str = "message"
    skip_empty: bool = False
    trust_beat: bool = False
    imbalance_levels: Numbers = (1, 5, 10)
    depth_bps: Numbers = (5, 10, 25)
    sweep_notionals: Numbers = (10_000, 100_000)
    ofi_levels: Annotated[int, Field(ge=0, le=_MAX_DEPTH)] = 5

    @field_validator("emit")
    @classmethod
    def _know_interval(cls, emit: str) -> str:
        if emit != "message" and not 0 < interval_ns(emit) <= LONGEST_NS:
            raise expected("message, or an interval up to 24h such as 100ms, 1s, 5m, 1h", emit)
        return emit

    @field_validator("imbalance_levels", "depth_bps", "sweep_notionals")
    @classmethod
    def _distinct(cls, values: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        limit = {"imbalance_levels": _MAX_DEPTH, "depth_bps": 10_000, "sweep_notionals": 10**15}[str(info.field_name)]
        if len(set(values)) != len(values) or any(value > limit for value in values):
            raise expected(f"numbers from 1 to {limit:,}, each once", list(values))
        return values

    @property
    def interval_ns(self) -> int:
        """Length of the intervals at whose ends rows are written, 0 for a row after each message."""
        return 0 if self.emit == "message" else interval_ns(self.emit)

    @property
    def columns(self) -> BookColumns:
        """What rows of `book` tell."""
        return BookColumns(
            depth=self.depth,
            intervals=self.interval_ns > 0,
            features=self.compute_features,
            imbalance=self.imbalance_levels,
            bps=self.depth_bps,
            notionals=self.sweep_notionals,
            ofi_levels=self.ofi_levels,
        )


class TickerOptions(Section):
    """What the processor of `ticker` does: whether messages of ticker_batch become rows."""

    include_batch: bool = True


class NoOptions(Section):
    """Of a channel whose processor has no options."""


OPTIONS: dict[str, type[Section]] = {"level2": Level2Options, "ticker": TickerOptions}
"""The processor options of each channel that has some."""
