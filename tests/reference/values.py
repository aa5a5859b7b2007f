"""Single values: numbers, integers, times, products, strings. Each reader takes the object and the key."""

from __future__ import annotations

import datetime
import math
import re
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from tests.reference.strict_json import Json

Object = dict[str, Json]

NS_PER_SECOND = 1_000_000_000
_NS_PER_DAY = 86_400 * NS_PER_SECOND
_EPOCH_DAY = datetime.date(1970, 1, 1).toordinal()
_FIRST_NS = (datetime.date(2010, 1, 1).toordinal() - _EPOCH_DAY) * _NS_PER_DAY
_LAST_NS = (datetime.date(2100, 1, 1).toordinal() - _EPOCH_DAY) * _NS_PER_DAY  # exclusive

_NUMBER = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]{1,3}))?")
_INTEGER = re.compile(r"[0-9]{1,19}")
_MAX_INTEGER = 2**63 - 1
_DATE = r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
_CLOCK = r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
_RFC_3339 = re.compile(_DATE + "T" + _CLOCK + r"(?:Z|\+00:00)")
_GO = re.compile(_DATE + " " + _CLOCK + r" \+0000 UTC(?: m=[+-][0-9]+(?:\.[0-9]+)?)?")
_PLAIN_BYTES = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


class InvalidError(ValueError):
    """A value breaks the contract; `path` says where in the line."""

    def __init__(self, path: str, expected: str, found: object) -> None:
        super().__init__(path, expected, found)
        self.path, self.expected, self.found = path, expected, found

    def __str__(self) -> str:
        return f"{self.path}: expected {self.expected}, found {self.found!r:.200}"

    def inside(self, outer: str) -> InvalidError:
        """Return the same fault, seen from the object around."""
        return InvalidError(f"{outer}.{self.path}", self.expected, self.found)


def is_absent(value: Json) -> bool:
    """Say whether a value is null by the contract (a missing one was read as None)."""
    return value is None or value == ""


def read_number(source: Object, key: str, *, decimal: bool, signed: bool = False) -> float | Decimal:
    """Return a required number."""
    value = source.get(key)
    if not isinstance(value, str) or not value:
        raise InvalidError(key, "a number in a string", value)
    try:
        return _number(value, decimal, signed)
    except ValueError as error:
        raise InvalidError(key, str(error), value) from None


def read_level_number(source: Object, key: str, *, decimal: bool) -> float | Decimal:
    """Return a required number that is an integer below 10^18 over a power of ten of at most 18."""
    value = read_number(source, key, decimal=decimal)
    if not _is_level_number(str(source[key])):
        raise InvalidError(key, "at most 18 digits", source[key])
    return value


@lru_cache(maxsize=1 << 16)
def _is_level_number(text: str) -> bool:
    above, below = Fraction(text).as_integer_ratio()
    scale = next((scale for scale in range(19) if 10**scale % below == 0), None)
    return scale is not None and above * 10**scale // below < 10**18


def read_nullable_number(source: Object, key: str, *, decimal: bool, signed: bool = False) -> float | Decimal | None:
    """Return a number or None."""
    return None if is_absent(source.get(key)) else read_number(source, key, decimal=decimal, signed=signed)


@lru_cache(maxsize=1 << 16)
def _number(text: str, decimal: bool, signed: bool) -> float | Decimal:
    match = _NUMBER.fullmatch(text)
    if match is None or len(text) > 64:
        raise ValueError("a decimal number of at most 64 characters")
    sign, whole, fraction, exponent = match[1], match[2], match[3] or "", int(match[4] or 0)
    if sign and not signed:
        raise ValueError("a number that is not negative")
    digits = int(whole + fraction)
    if decimal:
        return _fit_decimal(digits, exponent - len(fraction), negative=sign == "-")
    value = float(text)  # correctly rounded
    if math.isinf(value) or (value == 0 and digits != 0):
        raise ValueError("a number within the range of float64")
    return value if value else 0.0


def _fit_decimal(digits: int, exponent: int, *, negative: bool) -> Decimal:
    """Return digits x 10^exponent if decimal128(38, 18) holds it exactly."""
    if digits == 0:
        return Decimal(0)
    while digits % 10 == 0:
        digits, exponent = digits // 10, exponent + 1
    if exponent < -18 or digits * 10 ** (exponent + 18) >= 10**38:
        raise ValueError("a number that fits decimal128(38, 18)")
    return Decimal((int(negative), tuple(int(digit) for digit in str(digits)), exponent))


def read_integer(source: Object, key: str) -> int:
    """Return a required integer, 0 to 2^63 - 1."""
    value = source.get(key)
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_INTEGER:
        raise InvalidError(key, "an integer from 0 to 2^63 - 1", value)
    return value


def read_time(source: Object, key: str) -> int:
    """Return a required, plausible time in ns UTC."""
    ns = read_nullable_time(source, key)
    if ns is None:
        raise InvalidError(key, "a time from 2010-01-01 to 2100-01-01", source.get(key))
    return ns


def read_nullable_time(source: Object, key: str, *, or_go: bool = False) -> int | None:
    """Return a time in ns UTC, None if absent or implausible; Go's form is a time only with `or_go`."""
    value = source.get(key)
    if is_absent(value):
        return None
    if not isinstance(value, str):
        raise InvalidError(key, "a time in a string", value)
    try:
        ns = _time(value, or_go)
    except ValueError as error:
        raise InvalidError(key, str(error), value) from None
    return ns if is_plausible(ns) else None


@lru_cache(maxsize=1 << 16)
def _time(text: str, or_go: bool) -> int:
    match = _RFC_3339.fullmatch(text) or (_GO.fullmatch(text) if or_go else None)
    if match is None:
        raise ValueError("a time such as 2025-11-26T14:00:00.123456789Z")
    day = datetime.date(int(match[1]), int(match[2]), int(match[3])).toordinal() - _EPOCH_DAY  # or ValueError
    hour, minute, second = int(match[4]), int(match[5]), int(match[6])
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError("a time of day up to 23:59:59")
    seconds = ((day * 24 + hour) * 60 + minute) * 60 + second
    return seconds * NS_PER_SECOND + int((match[7] or "").ljust(9, "0"))


def is_plausible(ns: int) -> bool:
    """Say whether a time lies in 2010 to 2099."""
    return _FIRST_NS <= ns < _LAST_NS


@lru_cache(maxsize=1 << 10)
def _date_of_day(day: int) -> str:
    return datetime.date.fromordinal(_EPOCH_DAY + day).isoformat()


def utc_date(ns: int) -> str:
    """Return the UTC date of a time, YYYY-MM-DD."""
    return _date_of_day(ns // _NS_PER_DAY)


def utc_midnight(date: str) -> int:
    """Return the beginning of a UTC date in ns."""
    return (datetime.date.fromisoformat(date).toordinal() - _EPOCH_DAY) * _NS_PER_DAY


def read_product(source: Object, key: str) -> str:
    """Return a required product."""
    value = source.get(key)
    if not isinstance(value, str) or not value:
        raise InvalidError(key, "a product", value)
    if len(percent_encode(value)) > 200:
        raise InvalidError(key, "a product of at most 200 bytes when percent-encoded", value)
    return value


@lru_cache(maxsize=1 << 12)
def percent_encode(product: str) -> str:
    """Return a product as it stands in paths."""
    plain = frozenset() if product in (".", "..") else _PLAIN_BYTES
    if product == "__HIVE_DEFAULT_PARTITION__":
        return "%5F_HIVE_DEFAULT_PARTITION__"
    return "".join(chr(byte) if byte in plain else f"%{byte:02X}" for byte in product.encode())


def read_nullable_string(source: Object, key: str) -> str | None:
    """Return a string or None."""
    value = source.get(key)
    if is_absent(value):
        return None
    if not isinstance(value, str):
        raise InvalidError(key, "a string", value)
    return value


def read_choice(source: Object, key: str, choices: dict[str, str]) -> str:
    """Return what `choices` calls a required string."""
    value = source.get(key)
    if not isinstance(value, str) or value not in choices:
        raise InvalidError(key, f"one of {', '.join(choices)}", value)
    return choices[value]
