"""What is JSON at all: RFC 8259 in valid UTF-8, which the standard library's reader is too lenient about."""

from __future__ import annotations

import json
import math
import re
import sys

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

# RFC 8259, section 9, lets a reader limit depth and the range of numbers; these are the limits of the contract.
_MAX_DEPTH = 1024
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)")


class NotJsonError(ValueError):
    """The text is not JSON."""


def load(line: bytes) -> Json:
    """Return the value of a line; NotJsonError if it is not JSON. Of duplicate keys the last wins."""
    try:
        text = line.decode("utf-8", errors="strict")
    except UnicodeDecodeError as error:
        raise NotJsonError(f"not UTF-8: {error}") from None
    if text.count("[") + text.count("{") > _MAX_DEPTH:
        _check_depth(text)
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(before + 4 * _MAX_DEPTH)
    try:
        value: Json = json.loads(text, parse_int=_integer, parse_float=_float, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise NotJsonError(f"not JSON: {error}") from None
    finally:
        sys.setrecursionlimit(before)
    if "\\u" in text:
        _check_surrogates(text)
    return value


def _integer(text: str) -> int:
    if len(text) > 300:
        _float(text)
    # More than 4,300 digits cannot come here: the check above refuses what overflows.
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise NotJsonError(f"a number that overflows: {text[:40]}")
    return value


def _no_constant(text: str) -> Json:
    raise NotJsonError(f"not JSON: {text}")


def _check_depth(text: str) -> None:
    depth = 0
    for char in _STRING.sub("", text):
        if char in "[{":
            depth += 1
        elif char in "]}":
            depth -= 1
        if depth > _MAX_DEPTH:
            raise NotJsonError(f"nested more than {_MAX_DEPTH} deep")


def _check_surrogates(text: str) -> None:
    high_end = None  # end of the escape of a high surrogate that waits for its low one
    for escape in _ESCAPE.finditer(text):
        code = int(escape[1], 16) if escape[1] else 0
        is_low = 0xDC00 <= code <= 0xDFFF
        if (high_end is not None) != is_low or (high_end is not None and escape.start() != high_end):
            raise NotJsonError(f"a lone surrogate at character {escape.start()}")
        high_end = escape.end() if 0xD800 <= code <= 0xDBFF else None
    if high_end is not None:
        raise NotJsonError("a lone surrogate at the end")
