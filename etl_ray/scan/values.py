"""What a single JSON value may look like: the rules of `docs/semantics.md`, in plain Python.

Each function takes the value as orjson gives it and returns it as Python; a value that breaks the rule raises
`BadValueError` with what was expected and what was found.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Context, Decimal
from functools import lru_cache

from etl_ray.tables.partitions import encode_value
from etl_ray.tables.schema import Numbers
from etl_ray.venues.rows import NULL
from etl_ray.venues.shapes import Field, Kind

Value = int | float | str | Decimal | None
MAX_PRODUCT_BYTES = 200
_SHOWN_CHARS = 60

_NUMBER = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE][+-]?[0-9]{1,3})?")
_INTEGER = re.compile(r"[0-9]{1,19}")
_CLOCK = r"([0-9]{4})-([0-9]{2})-([0-9]{2})%s([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?%s"
_RFC3339 = re.compile(_CLOCK % ("T", r"(?:Z|\+00:00)"))
_GO = re.compile(_CLOCK % (" ", r" \+0000 UTC(?: m=[+-][0-9]+(?:\.[0-9]+)?)?"))
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_DECIMAL_SCALE, _DECIMAL_WHOLE = 18, 20
_EXACT_DIGITS = 18
_EXACT = Context(prec=64)  # a number has at most 64 characters
PLAUSIBLE_FROM_NS = (date(2010, 1, 1).toordinal() - _EPOCH_DAY) * 86_400_000_000_000
PLAUSIBLE_TO_NS = (date(2100, 1, 1).toordinal() - _EPOCH_DAY) * 86_400_000_000_000


class BadValueError(ValueError):
    """A value that breaks its rule; the text says what was expected and what was found."""


def show(value: object) -> str:
    """Return a short form of a JSON value for messages."""
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 3]}..."


def show_key(name: str) -> str:
    """Return a short form of a key for messages: as it is if it is a plain word."""
    return name if name.isidentifier() and len(name) <= _SHOWN_CHARS else show(name)


def integer(value: object) -> int:
    """Read a JSON integer or a string of digits, 0 to 2^63 - 1."""
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
        return value
    raise BadValueError(f"expected an integer from 0 to 2^63 - 1, found {show(value)}")


def number(value: object, *, signed: bool, numbers: Numbers) -> float | Decimal:
    """Read a decimal string as the run stores numbers."""
    match = _NUMBER.fullmatch(value) if isinstance(value, str) and len(value) <= 64 else None
    if not isinstance(value, str) or match is None:
        raise BadValueError(f"expected a decimal string, found {show(value)}")
    if match[1] and not signed:
        raise BadValueError(f"expected a number that is not negative, found {show(value)}")
    return _decimal(value) if numbers == "decimal" else _float(value, (match[2] + (match[3] or "")).strip("0") == "")


def _float(text: str, zero: bool) -> float:
    result = float(text)
    if result in (float("inf"), float("-inf")) or (result == 0.0 and not zero):
        raise BadValueError(f"expected a number within the range of float64, found {show(text)}")
    return result + 0.0  # -0.0 becomes +0.0


def _decimal(text: str) -> Decimal:
    result = _EXACT.normalize(Decimal(text))
    if not result:
        return Decimal(0)
    last_place = result.adjusted() - len(result.as_tuple().digits) + 1
    if last_place < -_DECIMAL_SCALE or result.adjusted() >= _DECIMAL_WHOLE:
        raise BadValueError(f"expected a number that fits decimal128(38, 18), found {show(text)}")
    return result


def exact_number(value: object) -> Decimal:
    """Read a decimal string that is not negative and has at most 18 digits, zeros at its ends not counted."""
    number(value, signed=False, numbers="float64")
    result = _EXACT.normalize(Decimal(str(value)))
    if not result:
        return Decimal(0)
    last_place = result.adjusted() - len(result.as_tuple().digits) + 1
    if last_place < -_EXACT_DIGITS or result.adjusted() - min(last_place, 0) >= _EXACT_DIGITS:
        raise BadValueError(f"expected an integer below 10^18 over a power of ten up to 10^18, found {show(value)}")
    return result


def time_ns(value: object, *, nullable: bool, go: bool = False) -> int:
    """Read a time as ns UTC; implausible ones are NULL where that is allowed."""
    ns = _time(value, go) if isinstance(value, str) else None
    if ns is None:
        raise BadValueError(f"expected a UTC time with 0 to 9 fraction digits, found {show(value)}")
    if ns == NULL and not nullable:
        raise BadValueError(f"expected a time from 2010 to 2099, found {show(value)}")
    return ns


@lru_cache(maxsize=4096)  # the levels of a snapshot share their times
def _time(text: str, go: bool) -> int | None:
    match = _RFC3339.fullmatch(text) or (_GO.fullmatch(text) if go else None)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    try:
        days = date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    if hour > 23 or minute > 59 or second > 59:
        return None
    ns = (
        ((days * 24 + hour) * 60 + minute) * 60_000_000_000
        + second * 1_000_000_000
        + int((match[7] or "").ljust(9, "0"))
    )
    return ns if PLAUSIBLE_FROM_NS <= ns < PLAUSIBLE_TO_NS else NULL


def epoch_seconds(value: object) -> int:
    """Read epoch seconds as ns UTC."""
    ns = integer(value) * 1_000_000_000
    if not PLAUSIBLE_FROM_NS <= ns < PLAUSIBLE_TO_NS:
        raise BadValueError(f"expected epoch seconds from 2010 to 2099, found {show(value)}")
    return ns


def product(value: object) -> str:
    """Read a product id."""
    # the length is looked at first so that the cache never holds a huge string
    if isinstance(value, str) and 0 < len(value) <= MAX_PRODUCT_BYTES >= len(encode_value(value)):
        return value
    raise BadValueError(
        f"expected a product id of at most {MAX_PRODUCT_BYTES} bytes when percent-encoded, found {show(value)}"
    )


def choice(value: object, choices: tuple[str, ...]) -> int:
    """Read one of a few words as its position."""
    if isinstance(value, str) and value in choices:
        return choices.index(value)
    raise BadValueError(f"expected {' or '.join(choices)}, found {show(value)}")


def text(value: object) -> str:
    """Read a string."""
    if isinstance(value, str):
        return value
    raise BadValueError(f"expected a string, found {show(value)}")


def read_field(field: Field, value: object, numbers: Numbers) -> Value:
    """Read `value` as `field` says; null, "" and a missing key are None (times: NULL) where null is allowed."""
    if field.kind == Kind.ANY:
        return None
    if value is None or value == "":
        if field.nullable:
            return NULL if field.kind in (Kind.TIME, Kind.GO_TIME) else None
        found = "nothing" if value is None else '""'
        raise BadValueError(f"expected a value, found {found}")
    if field.kind == Kind.NUMBER and field.exact:
        return exact_number(value)
    if field.kind == Kind.NUMBER:
        return number(value, signed=field.signed, numbers=numbers)
    if field.kind in (Kind.TIME, Kind.GO_TIME):
        return time_ns(value, nullable=field.nullable, go=field.kind == Kind.GO_TIME)
    if field.kind == Kind.CHOICE:
        return choice(value, field.choices)
    return _READERS[field.kind](value)


_READERS: dict[Kind, Callable[[object], Value]] = {
    Kind.INTEGER: integer,
    Kind.EPOCH_SECONDS: epoch_seconds,
    Kind.PRODUCT: product,
    Kind.TEXT: text,
}
