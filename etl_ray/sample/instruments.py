"""The products of a sample: decimals, price and typical size of each."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from math import isqrt


@dataclass(frozen=True)
class Instrument:
    """State how a product is priced: prices are integer ticks, sizes integer lots, of so many decimals.

    `size_lots` is the largest usual size of a level.
    """

    product_id: str
    price_decimals: int
    size_decimals: int
    price_ticks: int
    size_lots: int

    @property
    def base_currency(self) -> str:
        """Return what is traded."""
        return self.product_id.partition("-")[0]

    @property
    def quote_currency(self) -> str:
        """Return what it is priced in."""
        return self.product_id.partition("-")[2] or "USD"

    @property
    def product_json(self) -> str:
        """Return the product's name as a JSON string."""
        return json.dumps(self.product_id)

    @property
    def key(self) -> int:
        """Return the number that names the product's random streams."""
        return zlib.crc32(self.product_id.encode("utf-8", "surrogatepass"))

    @property
    def spacing_ticks(self) -> int:
        """Return the usual distance of levels near the touch."""
        return 1 + self.price_ticks // 200_000

    def levels_within(self, levels: int) -> int:
        """Return how many of `levels` a side has: far fewer than there are ticks below the price."""
        return max(10, min(levels, self.price_ticks // 8))

    def step_units(self, rate_milli: int) -> int:
        """Return the standard deviation of one walk step in 1/1024 ticks, at `rate_milli` steps in 1000 s."""
        at_20_per_s = max(1, self.price_ticks * 1024 * 5 // 1_000_000)
        return max(1, at_20_per_s * isqrt(20_000 * 1_000_000 // rate_milli) // 1000)

    def price_text(self, ticks: int) -> str:
        """Return a price as the venue writes it: trailing zeros trimmed."""
        return decimal_text(ticks, self.price_decimals)

    def size_text(self, lots: int) -> str:
        """Return a size as the venue writes it: trailing zeros trimmed."""
        return decimal_text(lots, self.size_decimals)


def decimal_text(units: int, decimals: int) -> str:
    """Write `units` of 10^-decimals as a plain decimal, trailing zeros trimmed."""
    sign = "-" if units < 0 else ""
    whole, fraction = divmod(abs(units), 10**decimals)
    return f"{sign}{whole}.{fraction:0{max(1, decimals)}d}".rstrip("0").rstrip(".")


def fraction_template(decimals: int) -> str:
    """Return the template of (whole, fraction); its zeros are to be trimmed, then its point."""
    # At least one fraction digit, so that trimming never eats the zeros of a whole number.
    return f"%d.%0{max(1, decimals)}d"


def instrument(product_id: str) -> Instrument:
    """Return the parameters of a product; those of an unknown name are derived from it."""
    return _KNOWN.get(product_id) or _derived(product_id)


def _derived(product_id: str) -> Instrument:
    bits = zlib.crc32(product_id.encode("utf-8", "surrogatepass"))
    return Instrument(
        product_id,
        price_decimals=(2, 3, 4, 5, 6, 8)[bits % 6],
        size_decimals=(0, 1, 2, 4, 6, 8)[(bits >> 4) % 6],
        price_ticks=20_000 + (bits >> 8) % 400_000,
        size_lots=300_000 + (bits >> 12) % 9_000_001,
    )


_KNOWN = {
    known.product_id: known
    for known in (
        Instrument("BTC-USD", 2, 8, 9_134_210, 200_000_003),
        Instrument("ETH-USD", 2, 8, 302_815, 3_000_000_019),
        Instrument("SOL-USD", 2, 3, 14_275, 900_007),
        Instrument("XRP-USD", 4, 6, 21_877, 90_000_000_007),
        Instrument("ADA-USD", 4, 8, 43_120, 5_000_000_000_053),
        Instrument("DOGE-USD", 5, 1, 15_290, 4_000_037),
        Instrument("PEPE-USD", 10, 0, 47_812, 900_000_011),
        Instrument("BONK-USD", 11, 1, 961_305, 40_000_000_019),
    )
}
