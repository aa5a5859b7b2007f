"""What a sample is made of, and what was written."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

from etl_ray.errors import ConfigError

Compression = Literal["none", "gz", "zst"]

DEFAULT_PRODUCTS = ("BTC-USD", "ETH-USD", "SOL-USD")
NS_PER_S = 1_000_000_000
# Shorter connections would end before their subscriptions are acknowledged.
MIN_CONNECTION_S = 1.0
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|\+00:00)")
_PLAIN_BYTES = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


@dataclass(frozen=True)
class SampleOptions:
    """Say what to generate; the same options give the same lines everywhere.

    `rate` is l2_data messages per second and product, `levels` those of one side in the first product's snapshot,
    `segment_mb` the unpacked size at which a segment is rotated (1 MB is 1,000,000 bytes), `start` the first server
    time. Connections follow each other, or with `overlap` run at the same time and share the products out.
    """

    seed: int = 7
    minutes: float = 2.0
    products: tuple[str, ...] = DEFAULT_PRODUCTS
    rate: float = 20.0
    connections: int = 2
    compress: Compression = "none"
    overlap: bool = False
    levels: int = 5000
    segment_mb: float = 16.0
    start: str = "2025-11-26T23:58:30Z"

    def validate(self) -> None:
        """Raise ConfigError for the first option that cannot be met."""
        _require(self.seed >= 0, "seed", "an integer of at least 0", self.seed)
        _require(math.isfinite(self.minutes) and self.minutes > 0, "minutes", "a number above 0", self.minutes)
        _require(0.001 <= self.rate <= 1000, "rate", "a number of messages a second from 0.001 to 1000", self.rate)
        _require(10 <= self.levels <= 100_000, "levels", "an integer from 10 to 100000", self.levels)
        _require(
            math.isfinite(self.segment_mb) and self.segment_mb > 0, "segment_mb", "a number above 0", self.segment_mb
        )
        codecs = get_args(Compression)
        _require(self.compress in codecs, "compress", f"one of {', '.join(codecs)}", self.compress)
        self._validate_products()
        self._validate_connections()
        _ = self.start_ns

    @property
    def start_ns(self) -> int:
        """Return `start` as nanoseconds UTC; raise ConfigError if it is no time between 2010 and 2100."""
        expected = "a UTC time such as 2025-11-26T23:58:30Z, from 2010 to 2099"
        match = _TIME.fullmatch(self.start)
        _require(match is not None, "start", expected, self.start)
        assert match is not None  # noqa: S101 - for the type checker; refused one line above
        try:
            moment = datetime.strptime(match[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
        except ValueError:
            raise ConfigError(f"sample option start: expected {expected}, found {self.start!r}") from None
        _require(2010 <= moment.year < 2100, "start", expected, self.start)
        since_epoch = moment - datetime(1970, 1, 1, tzinfo=UTC)
        seconds = since_epoch.days * 86_400 + since_epoch.seconds
        return seconds * NS_PER_S + int((match[2] or "").ljust(9, "0"))

    @property
    def duration_ns(self) -> int:
        """Return the recorded time in nanoseconds."""
        return int(self.minutes * 60 * NS_PER_S)

    def _validate_products(self) -> None:
        _require(len(self.products) > 0, "products", "at least one product", self.products)
        repeated = sorted({product for product in self.products if self.products.count(product) > 1})
        _require(not repeated, "products", "each product once", f"{', '.join(repeated)} more than once")
        for product in self.products:
            _require(
                _is_product_name(product),
                "products",
                "names without quotes, backslashes and control characters, of 1 to 200 bytes percent-encoded",
                product,
            )

    def _validate_connections(self) -> None:
        _require(self.connections >= 1, "connections", "an integer of at least 1", self.connections)
        if self.overlap:
            _require(
                self.connections <= len(self.products),
                "connections",
                f"with overlap at most one per product ({len(self.products)})",
                self.connections,
            )
        shared_by = 1 if self.overlap else self.connections
        _require(
            self.minutes * 60 >= shared_by * MIN_CONNECTION_S,
            "minutes",
            f"at least {shared_by * MIN_CONNECTION_S / 60:.4f}, {MIN_CONNECTION_S:g} s for each connection",
            self.minutes,
        )


@dataclass(frozen=True)
class SampleReport:
    """Say what was written: `paths` in order, `bytes` unpacked, `lines`, and `messages` per wire channel.

    Error frames have no channel and are counted as `error`, so that the messages add up to the lines.
    """

    paths: tuple[str, ...]
    bytes: int
    lines: int
    messages: dict[str, int]


def _require(condition: bool, option: str, expected: str, found: object) -> None:
    if not condition:
        raise ConfigError(f"sample option {option}: expected {expected}, found {found!r}")


def _is_product_name(name: str) -> bool:
    # Quotes and backslashes would need escapes, which no venue uses in a product's name.
    if not name or any(char in '"\\' or not char.isprintable() for char in name):
        return False
    return sum(1 if byte in _PLAIN_BYTES else 3 for byte in name.encode("utf-8", "surrogatepass")) <= 200
