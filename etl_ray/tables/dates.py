"""Dates of rows that have no time of their own."""

from __future__ import annotations

import re
from datetime import date

UNKNOWN_DATE = "unknown"

_NS_PER_DAY = 86_400_000_000_000
_EPOCH = date(1970, 1, 1).toordinal()
_EIGHT_DIGITS = re.compile("(?=([0-9]{8}))")  # at every place, also within a longer number


def date_of(ts_ns: int) -> str:
    """Return the UTC date of a time (ns) as YYYY-MM-DD."""
    return date.fromordinal(_EPOCH + ts_ns // _NS_PER_DAY).isoformat()


def date_in_name(name: str) -> str:
    """Return the first YYYYMMDD in a name that is a date from 2010 to 2099, as YYYY-MM-DD, else the word unknown."""
    for match in _EIGHT_DIGITS.finditer(name):
        try:
            found = date.fromisoformat(match[1])
        except ValueError:
            continue
        if 2010 <= found.year <= 2099:
            return found.isoformat()
    return UNKNOWN_DATE
