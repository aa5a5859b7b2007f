"""What is computed from the tables of trades and books: bars, trades with books, features."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from etl_ray.config.books import LONGEST_NS
from etl_ray.config.sections import Count, Names, Section, Text, expected, problem
from etl_ray.config.text import interval_ns

if TYPE_CHECKING:
    from etl_ray.bars import BarSpec


class DerivedConfig(Section):
    """Which derived tables are written, and how; none by default.

    `bars` are 1s, 5m, 1h, tick:1000, volume:10.5, dollar:1000000. `fill`: time bars of empty intervals too. `reset`:
    bars by trades, quantity or notional begin anew at each date, or never. `rv_step` is the grid of realized variance,
    `roll_spread` asks for that column. `trades_with_book` puts the book beside each trade. `features` is the length of
    intervals, such as 1s. A book older than `max_book_age` counts for no spread; `admit_unverifiable` lets books count
    that are so. Kyle's lambda is taken over `kyle_window` in steps of `kyle_step`, of which `kyle_min_n` have to be
    there, VPIN over `vpin_n` buckets of the base quantity that `vpin_bucket` says by product (else of the day before).
    """

    bars: Names = ()
    fill: bool = False
    reset: Literal["day", "never"] = "day"
    rv_step: Text = "5s"
    roll_spread: bool = False
    trades_with_book: bool = False
    features: Text | None = None
    max_book_age: Text = "200ms"
    admit_unverifiable: bool = False
    kyle_step: Text = "1s"
    kyle_window: Text = "5m"
    kyle_min_n: Annotated[int, Field(ge=2)] = 30
    vpin_n: Count = 50
    vpin_bucket: dict[str, Text] = Field(default_factory=dict)

    @field_validator("bars")
    @classmethod
    def _know_bars(cls, bars: tuple[str, ...]) -> tuple[str, ...]:
        names = [_bar(text).name for text in bars]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise problem(f"expected each kind of bars once, found {twice[0]} twice")
        return bars

    @field_validator("features", "rv_step", "max_book_age", "kyle_step", "kyle_window")
    @classmethod
    def _know_duration(cls, text: str | None, info: ValidationInfo) -> str | None:
        if text is not None:
            _duration_ns(text)
        if info.field_name == "kyle_window" and text is not None and "kyle_step" in info.data:
            step = info.data["kyle_step"]
            if _duration_ns(text) % _duration_ns(step):
                raise expected(f"a multiple of kyle_step ({step})", text)
        return text

    @field_validator("vpin_bucket")
    @classmethod
    def _know_buckets(cls, buckets: dict[str, str]) -> dict[str, str]:
        for size in buckets.values():
            _bar(f"volume:{size}")
        return buckets

    @property
    def is_asked(self) -> bool:
        """Whether any derived table is written."""
        return bool(self.bars) or self.needs_books

    @property
    def needs_books(self) -> bool:
        """Whether a table is asked for that is made of books, too."""
        return self.trades_with_book or self.features is not None

    def duration_ns(self, name: str) -> int:
        """Return the length that the key `name` says."""
        return _duration_ns(str(getattr(self, name)))

    def bucket_of(self, product: str) -> Decimal | None:
        """Return the size of the buckets of VPIN that is fixed for a product."""
        size = self.vpin_bucket.get(product)
        return None if size is None else Decimal(size)

    def semantic(self) -> dict[str, object]:
        """Return what decides which rows are written."""
        return self.model_dump(mode="json") if self.is_asked else {}


def _duration_ns(text: str) -> int:
    ns = interval_ns(text)
    if not 0 < ns <= LONGEST_NS:
        raise expected("a length up to 24h such as 100ms, 5s, 1m", text)
    return ns


def _bar(text: str) -> BarSpec:
    from etl_ray.bars import parse_bar  # brings Polars along, which takes time

    try:
        return parse_bar(text)
    except ValueError as error:
        raise problem(str(error)) from None
