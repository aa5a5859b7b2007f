"""Times as they stand on the wire, from nanoseconds UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from etl_ray.sample.options import NS_PER_S

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def server_text(time_ns: int) -> str:
    """Write a time as the venue does: up to nine digits, trailing zeros trimmed, none at a whole second."""
    seconds, fraction_ns = divmod(time_ns, NS_PER_S)
    if fraction_ns == 0:
        return f"{_second_text(seconds)}Z"
    return f"{_second_text(seconds)}.{fraction_ns:09d}".rstrip("0") + "Z"


def capture_text(time_ns: int) -> str:
    """Write a time as a Python collector does: six digits, or no fraction at a whole second."""
    seconds, fraction_ns = divmod(time_ns, NS_PER_S)
    if fraction_ns < 1000:
        return f"{_second_text(seconds)}+00:00"
    return f"{_second_text(seconds)}.{fraction_ns // 1000:06d}+00:00"


def go_text(time_ns: int, *, uptime_ns: int) -> str:
    """Write a time as Go prints it, with the process's monotonic clock behind."""
    seconds, fraction_ns = divmod(uptime_ns, NS_PER_S)
    return f"{server_text(time_ns)[:-1].replace('T', ' ')} +0000 UTC m=+{seconds}.{fraction_ns:09d}"


def segment_hour(time_ns: int) -> str:
    """Write the hour that names a segment, such as 20251126T23."""
    return _second_text(time_ns // NS_PER_S)[:13].replace("-", "")


@lru_cache(maxsize=256)
def _second_text(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
