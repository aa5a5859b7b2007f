"""What the features of an interval are computed with."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from etl_ray.errors import ConfigError

DAY_NS = 86_400_000_000_000
SECOND_NS = 1_000_000_000
BUCKETS_PER_DAY = 50
"""Into how many buckets of VPIN the volume of the day before is divided."""


@dataclass(frozen=True)
class FeatureOptions:
    """How trades are joined to books, and what `features` tells by interval; ConfigError if a value makes no sense.

    `admit_unverifiable` takes books that are `unverifiable` for `verified`. `vpin_bucket` is the volume of a bucket in
    base units; None: the volume of the UTC day before / 50.
    """

    interval_ns: int = SECOND_NS
    max_book_age_ns: int = SECOND_NS // 5
    admit_unverifiable: bool = False
    kyle_step_ns: int = SECOND_NS
    kyle_window_ns: int = 300 * SECOND_NS
    kyle_min_n: int = 30
    vpin_bucket: Decimal | None = None
    vpin_n: int = 50

    def __post_init__(self) -> None:
        for name in ("interval_ns", "kyle_step_ns", "kyle_window_ns"):
            value = getattr(self, name)
            if not 0 < value <= DAY_NS:
                raise ConfigError(f"{name} is {value}; expected 1 to {DAY_NS} (a day)")
        if self.kyle_window_ns % self.kyle_step_ns:
            raise ConfigError(
                f"kyle_window_ns is {self.kyle_window_ns}; expected a multiple of kyle_step_ns, {self.kyle_step_ns}"
            )
        if self.max_book_age_ns < 0:
            raise ConfigError(f"max_book_age_ns is {self.max_book_age_ns}; expected 0 or more")
        for name, least in (("kyle_min_n", 2), ("vpin_n", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected {least} or more")
        if self.vpin_bucket is not None and not (self.vpin_bucket.is_finite() and self.vpin_bucket > 0):
            raise ConfigError(f"vpin_bucket is {self.vpin_bucket}; expected a volume above 0")
