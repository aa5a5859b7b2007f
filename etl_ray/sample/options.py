"""What a sample is made of, and what was written."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Literal, get_args

from etl_ray.errors import ConfigError

Compression = Literal["none", "gz", "zst"]

FaultKind = Literal[
    "lost",
    "heartbeats",
    "discarded",
    "healing",
    "no-snapshot",
    "resubscribed",
    "down",
    "garbage",
    "cut-tail",
    "clock-step",
    "server-step",
]
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)

DEFAULT_PRODUCTS = ("BTC-USD", "ETH-USD", "SOL-USD")
NS_PER_S = 1_000_000_000
# Shorter connections would end before their subscriptions are acknowledged.
MIN_CONNECTION_S = 1.0
# With less than this, faults run into each other, or find no message to befall.
_MIN_FAULTY_MINUTES, _MIN_FAULTY_RATE, _MIN_FAULTY_CONNECTION_S = 0.5, 5.0, 10.0
DAY_NS = 86_400 * NS_PER_S
# A server clock that steps back over midnight is seen on both sides of it.
_MIN_BEFORE_MIDNIGHT_NS, _MIN_AFTER_MIDNIGHT_NS = 5 * NS_PER_S, 20 * NS_PER_S
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|\+00:00)")
_PLAIN_BYTES = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


@dataclass(frozen=True)
class SampleOptions:
    """Say what to generate; the same options give the same lines everywhere.

    `rate` is l2_data messages per second and product, `levels` those of one side in the first product's snapshot,
    `segment_mb` the unpacked size at which a segment is rotated (1 MB is 1,000,000 bytes), `start` the first server
    time. Connections follow each other, or with `overlap` run at the same time and share the products out. `faults`
    names kinds of FAULT_KINDS: each befalls the recording at least once in every two minutes, cut-tail at its end and
    server-step at its first midnight.
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
    faults: tuple[str, ...] = ()

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
        if self.faults:
            self._validate_faults()

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

    @property
    def midnight_ns(self) -> int:
        """Return the first midnight (UTC) after the start."""
        return (self.start_ns // DAY_NS + 1) * DAY_NS

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

    def _validate_faults(self) -> None:
        for name in self.faults:
            nearest = get_close_matches(name, FAULT_KINDS, n=1)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
            if name not in FAULT_KINDS:
                raise ConfigError(
                    f"sample option faults: expected some of {', '.join(FAULT_KINDS)}, found {name!r}{hint}"
                )
        _require(
            self.minutes >= _MIN_FAULTY_MINUTES, "minutes", f"with faults at least {_MIN_FAULTY_MINUTES}", self.minutes
        )
        _require(self.rate >= _MIN_FAULTY_RATE, "rate", f"with faults at least {_MIN_FAULTY_RATE}", self.rate)
        _require(
            self.overlap or self.minutes * 60 >= self.connections * _MIN_FAULTY_CONNECTION_S,
            "connections",
            f"with faults at most one for each {_MIN_FAULTY_CONNECTION_S:g} s",
            self.connections,
        )
        before_ns = self.midnight_ns - self.start_ns
        seen = _MIN_BEFORE_MIDNIGHT_NS <= before_ns <= self.duration_ns - _MIN_AFTER_MIDNIGHT_NS
        _require(
            seen or "server-step" not in self.faults,
            "faults",
            "for server-step a recording from 5 s or more before 00:00 UTC to 20 s or more after it",
            f"{self.minutes:g} minutes from {self.start}",
        )


@dataclass(frozen=True)
class SampleReport:
    """Say what was written: `paths` in order, `bytes` unpacked, `lines`, and `messages` per wire channel.

    Error frames have no channel and are counted as `error`, so that without faults the messages add up to the lines.
    With faults `messages` are those that are whole; `faults` counts the records in the file at `faults_path` by kind.
    """

    paths: tuple[str, ...]
    bytes: int
    lines: int
    messages: dict[str, int]
    faults: dict[str, int] = field(default_factory=dict)
    faults_path: str | None = None


def _require(condition: bool, option: str, expected: str, found: object) -> None:
    if not condition:
        raise ConfigError(f"sample option {option}: expected {expected}, found {found!r}")


def _is_product_name(name: str) -> bool:
    # Quotes and backslashes would need escapes, which no venue uses in a product's name.
    if not name or any(char in '"\\' or not char.isprintable() for char in name):
        return False
    return sum(1 if byte in _PLAIN_BYTES else 3 for byte in name.encode("utf-8", "surrogatepass")) <= 200
