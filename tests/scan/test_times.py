"""Times as the scanner reads them, against `datetime`."""

from __future__ import annotations

import calendar
import datetime
from random import Random

import numpy as np
import pytest

from etl_ray.scan import LineParser
from etl_ray.venues.rows import NULL
from tests.scan.outcome import COINBASE, parse

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
SECOND = datetime.timedelta(seconds=1)


def lines(times: list[str]) -> bytes:
    """Return a message without rows for each server time."""
    form = '{"channel":"ticker","timestamp":"%s","sequence_num":1,"events":[]}'
    return "\n".join(form % time for time in times).encode()


def scanned(times: list[str], *, slow: int = 0) -> dict[str, int]:
    """Return the server time of each valid line; `slow` lines are not for the kernel."""
    (found,) = parse(LineParser(COINBASE, "float64", block_bytes=1 << 24), lines(times))
    assert found.slow_lines == slow
    return {times[line - 1]: ns for line, ns in zip(found.messages.line, found.messages.ts_server, strict=True)}


def capture_times(times: list[str]) -> bytes:
    """Return an enveloped message for each time of the collector."""
    message = '{"channel":"ticker","timestamp":"2025-11-26T14:00:00Z","sequence_num":1,"events":[]}'
    return "\n".join(f'{{"capture_ts":"{time}","data":{message}}}' for time in times).encode()


def ns(time: datetime.datetime, nanoseconds: int = 0) -> int:
    return (time - EPOCH) // SECOND * 1_000_000_000 + nanoseconds


def every_day(first: int, last: int) -> list[datetime.datetime]:
    """Return midnight of every day of the years from `first` to `last`."""
    begin = datetime.datetime(first, 1, 1, tzinfo=datetime.UTC)
    days = (datetime.datetime(last + 1, 1, 1, tzinfo=datetime.UTC) - begin).days
    return [begin + datetime.timedelta(days=day) for day in range(days)]


def test_every_plausible_day() -> None:
    expected = {f"{day:%Y-%m-%d}T00:00:00Z": ns(day) for day in every_day(2010, 2099)}
    assert len(expected) == 32_872
    assert scanned(list(expected)) == expected


def test_last_nanosecond_of_every_day() -> None:
    late = 86_399 * 1_000_000_000 + 999_999_999
    expected = {f"{day:%Y-%m-%d}T23:59:59.999999999Z": ns(day, late) for day in every_day(2010, 2099)}
    assert scanned(list(expected)) == expected


def test_every_minute_of_a_leap_day_and_the_days_around() -> None:
    begin = datetime.datetime(2024, 2, 28, tzinfo=datetime.UTC)
    minutes = [begin + datetime.timedelta(minutes=minute) for minute in range(3 * 1440)]
    expected = {
        f"{time:%Y-%m-%dT%H:%M}:{time.minute:02d}.5Z": ns(time, time.minute * 10**9 + 5 * 10**8) for time in minutes
    }
    assert scanned(list(expected)) == expected


def test_days_that_do_not_exist() -> None:
    """Every (year, month, day) with a month to 13 and a day to 32: what the calendar does not have is rejected."""
    dates = [(year, month, day) for year in (2010, 2024, 2025, 2096, 2099) for month in range(14) for day in range(33)]
    exists = [1 <= m <= 12 and 1 <= d <= calendar.monthrange(y, max(1, min(m, 12)))[1] for y, m, d in dates]
    times = [f"{year}-{month:02d}-{day:02d}T00:00:00Z" for year, month, day in dates]
    found = scanned(times, slow=exists.count(False))
    assert list(found) == [time for time, real in zip(times, exists, strict=True) if real]
    assert exists.count(True) == 366 + 365 + 365 + 366 + 365


@pytest.mark.parametrize("year", ["0001", "0004", "0100", "1900", "2000", "2100", "2104", "2400", "9999"])
def test_implausible_days_have_to_exist_too(year: str) -> None:
    leaps = calendar.isleap(int(year))
    data = capture_times([f"{year}-02-28T00:00:00Z", f"{year}-02-29T00:00:00Z", f"{year}-02-30T00:00:00Z"])
    (found,) = parse(LineParser(COINBASE, "float64", block_bytes=1 << 16), data)
    assert found.messages.line.tolist() == ([1, 2] if leaps else [1])
    assert found.messages.ts_capture.tolist() == [NULL] * (1 + leaps)


def test_random_times_of_every_precision() -> None:
    random = Random(1)
    expected = {}
    for _ in range(20_000):
        time = datetime.datetime(2010, 1, 1, tzinfo=datetime.UTC) + random.randrange(90 * 365 * 86_400) * SECOND
        fraction = "".join(random.choice("0123456789") for _ in range(random.randrange(10)))
        tail = f".{fraction}" if fraction else ""
        zone = random.choice(("Z", "+00:00"))
        expected[f"{time:%Y-%m-%dT%H:%M:%S}{tail}{zone}"] = ns(time, int(fraction.ljust(9, "0")))
    assert scanned(list(expected)) == expected


def test_gos_form() -> None:
    random = Random(2)
    heartbeat = '{"channel":"heartbeats","timestamp":"2025-11-26T14:00:00Z","sequence_num":1,"events":[%s]}'
    event = '{"current_time":"%s","heartbeat_counter":1}'
    expected: list[int] = []
    words: list[str] = []
    for day in every_day(2023, 2026):
        nanoseconds = random.randrange(10**9)
        words.append(f"{day:%Y-%m-%d} 00:00:00.{nanoseconds:09d} +0000 UTC m=+{random.random() * 1e5:.9f}")
        expected.append(ns(day, nanoseconds))
    data = (heartbeat % ",".join(event % word for word in words)).encode()
    (found,) = parse(LineParser(COINBASE, "float64", block_bytes=1 << 20), data)
    assert found.slow_lines == 0
    assert found.rows["heartbeats"].ints("current_time").tolist() == expected


def test_implausible_times_of_the_collector_are_null() -> None:
    years = ("0001", "1969", "1970", "2009", "2010", "2099", "2100", "9999")
    data = capture_times([f"{year}-12-31T23:59:59.999999999Z" for year in years])
    (found,) = parse(LineParser(COINBASE, "float64", block_bytes=1 << 20), data)
    assert found.slow_lines == 0
    late = [ns(datetime.datetime(year, 12, 31, 23, 59, 59, tzinfo=datetime.UTC), 999_999_999) for year in (2010, 2099)]
    assert found.messages.ts_capture.tolist() == [NULL, NULL, NULL, NULL, *late, NULL, NULL]
    assert np.all(found.messages.ts_server == ns(datetime.datetime(2025, 11, 26, 14, tzinfo=datetime.UTC)))
