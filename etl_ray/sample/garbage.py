"""Lines that no parser may accept, made of the lines that they replace."""

from __future__ import annotations

import re

from etl_ray.sample.draws import raw_draws

VARIANTS = ("broken", "binary", "glued", "wrong-types")
_LINE_END = "\n"
# What stands there is replaced by what has another type.
_WRONG_TYPES = (
    (re.compile(r'("sequence_num": ?)\d+'), "true"),
    (re.compile(r'("timestamp": ?)"[^"]*"'), "1764201600"),
    (re.compile(r'("channel": ?)"[^"]*"'), "7"),
    (re.compile(r'("(?:price_level|price|open)": ?)"[^"]*"'), "[]"),
)


def broken(line: str, draw: int) -> str:
    """Return the line without its end: its JSON is not closed."""
    return first_part(line, draw) + _LINE_END


def first_part(line: str, draw: int) -> str:
    """Return between a quarter and three quarters of a line, without a line end."""
    quarter = len(line) // 4
    return line[: quarter + draw % (2 * quarter)]


def binary(draw: int) -> str:
    """Return bytes, one character each, that begin like no text does and hold no line end."""
    draws = raw_draws(draw)
    body = (chr(next(draws) & 0xFF) for _ in range(16 + draw % 200))
    return "\xff" + "".join(char for char in body if char not in "\r\n") + _LINE_END


def glued(line: str, following: str, draw: int) -> str:
    """Return the first part of a line with the following line behind it."""
    return first_part(line, draw) + following


def wrong_types(text: str, draw: int) -> str:
    """Return the message with one value of another type than the venue's."""
    for turn in range(len(_WRONG_TYPES)):
        pattern, wrong = _WRONG_TYPES[(draw + turn) % len(_WRONG_TYPES)]
        changed, count = pattern.subn(rf"\g<1>{wrong}", text, count=1)
        if count:
            return changed
    raise AssertionError(text)
