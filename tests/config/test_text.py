"""Times as text, with all their digits."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_ray.config import (
    JobConfig,
    format_time,
    time_ns,
)

NOON_NS = 1_764_158_400_000_000_000  # 2025-11-26T12:00:00Z


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2025-11-26", 1_764_115_200_000_000_000),
        ("2025-11-26T12:00:00Z", NOON_NS),
        ("2025-11-26t12:00:00z", NOON_NS),
        ("2025-11-26 12:00:00+00:00", NOON_NS),
        ("2025-11-26T12:00:00-00:00", NOON_NS),
        ("2025-11-26T13:30:00+01:30", NOON_NS),
        ("2025-11-26T07:00:00-05:00", NOON_NS),
        ("2025-11-26T12:00:00.1Z", NOON_NS + 100_000_000),
        ("2025-11-26T12:00:00.123456789Z", NOON_NS + 123_456_789),
        ("2025-11-26T12:00:00.000000001Z", NOON_NS + 1),
        ("2024-02-29T23:59:59.999999999Z", 1_709_251_199_999_999_999),
        ("1970-01-01", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("2262-04-11T23:47:16.854775807Z", 2**63 - 1),
    ],
)
def test_times_keep_all_digits(text: str, ns: int) -> None:
    assert time_ns(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "today",
        "2025-11-26T12:00:00",  # no zone
        "2025-11-26T12:00Z",
        "2025-11-26T24:00:00Z",
        "2025-11-26T12:60:00Z",
        "2025-11-26T23:59:60Z",
        "2025-11-26T12:00:00.Z",
        "2025-11-26T12:00:00.1234567890Z",
        "2025-11-26T12:00:00+0100",
        "2025-11-26T12:00:00+24:00",
        "2025-11-31",
        "2025-13-01",
        "0000-01-01",
        "20251126",
        "2025-11-26 ",
        "2025-11-26\n",
        "٢٠٢٥-11-26",
        "2025-11-26T1٢:00:00Z",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+00:01",
        "2262-04-11T23:47:16.854775808Z",
        "9999-12-31",
    ],
)
def test_other_text_is_no_time(text: str) -> None:
    assert time_ns(text) is None


@settings(deadline=None)
@given(st.integers(0, 2**63 - 1))
def test_every_time_survives_its_text(ns: int) -> None:
    assert time_ns(format_time(ns)) == ns


def test_times_are_written_short() -> None:
    assert format_time(NOON_NS) == "2025-11-26T12:00:00Z"
    assert format_time(NOON_NS + 120_000_000) == "2025-11-26T12:00:00.12Z"


def test_times_in_python_are_ns() -> None:
    config = JobConfig(start=NOON_NS, end=NOON_NS + 1)
    assert (config.start, config.end) == (NOON_NS, NOON_NS + 1)
    assert JobConfig(end=4_102_444_800_000_000_000).end == time_ns("2100-01-01")
