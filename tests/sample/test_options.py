"""Options that cannot be met are refused by name."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from etl_ray.errors import ConfigError
from etl_ray.sample import SampleOptions, write_sample
from etl_ray.sample.instruments import decimal_text, instrument
from etl_ray.sample.recording import arrivals

from .strict import checked

NAMES = "names without quotes, backslashes and control characters, of 1 to 200 bytes percent-encoded"
TIME = "a UTC time such as 2025-11-26T23:58:30Z, from 2010 to 2099"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": -1}, "seed: expected an integer of at least 0, found -1"),
        ({"minutes": 0.0}, "minutes: expected a number above 0, found 0.0"),
        ({"minutes": float("nan")}, "minutes: expected a number above 0, found nan"),
        ({"minutes": float("inf")}, "minutes: expected a number above 0, found inf"),
        ({"minutes": 0.02}, "minutes: expected at least 0.0333, 1 s for each connection, found 0.02"),
        ({"rate": 0.0}, "rate: expected a number of messages a second from 0.001 to 1000, found 0.0"),
        ({"rate": 1001.0}, "rate: expected a number of messages a second from 0.001 to 1000, found 1001.0"),
        ({"levels": 9}, "levels: expected an integer from 10 to 100000, found 9"),
        ({"segment_mb": 0.0}, "segment_mb: expected a number above 0, found 0.0"),
        ({"compress": "bz2"}, "compress: expected one of none, gz, zst, found 'bz2'"),
        ({"products": ()}, "products: expected at least one product, found ()"),
        ({"products": ("A", "B", "A")}, "products: expected each product once, found 'A more than once'"),
        ({"products": ("",)}, f"products: expected {NAMES}, found ''"),
        ({"products": ('A"B',)}, f"products: expected {NAMES}, found 'A\"B'"),
        ({"products": ("A\nB",)}, f"products: expected {NAMES}, found 'A\\nB'"),
        ({"products": ("µ" * 34,)}, f"products: expected {NAMES}, found {'µ' * 34!r}"),
        ({"connections": 0}, "connections: expected an integer of at least 1, found 0"),
        (
            {"connections": 4, "overlap": True},
            "connections: expected with overlap at most one per product (3), found 4",
        ),
        ({"start": "2025-11-26"}, f"start: expected {TIME}, found '2025-11-26'"),
        ({"start": "2025-02-29T00:00:00Z"}, f"start: expected {TIME}, found '2025-02-29T00:00:00Z'"),
        ({"start": "1999-01-01T00:00:00Z"}, f"start: expected {TIME}, found '1999-01-01T00:00:00Z'"),
    ],
)
def test_refusals(tmp_path: Path, changed: dict, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        write_sample(str(tmp_path / "out"), SampleOptions(**changed))
    assert str(refusal.value) == f"sample option {message}"
    assert not (tmp_path / "out").exists()


def test_the_extremes_are_met(tmp_path: Path) -> None:
    options = SampleOptions(
        minutes=1 / 30, products=("µ" * 33, "-", "A B/C"), rate=1000.0, levels=10, connections=2, segment_mb=1e-9
    )
    counts = Counter(message.channel for message in arrivals(options))
    assert 4_000 < counts["l2_data"] < 6_000
    slow = SampleOptions(minutes=1 / 60, products=("A",), rate=0.001, levels=10, connections=1, segment_mb=1e-9)
    report = write_sample(str(tmp_path), slow)
    assert len(report.paths) == report.lines == sum(report.messages.values())
    assert report.messages["l2_data"] == 1


def test_start_keeps_nine_digits() -> None:
    assert SampleOptions(start="2025-11-27T00:00:00.123456789Z").start_ns == 1_764_201_600_123_456_789
    assert SampleOptions(start="2025-11-27T00:00:00.5+00:00").start_ns == 1_764_201_600_500_000_000


def test_a_start_just_before_the_second_keeps_the_beat() -> None:
    options = SampleOptions(minutes=0.1, products=("A",), levels=10, connections=1, start="2025-11-27T00:00:00.995Z")
    beats = [checked(message.text) for message in arrivals(options) if message.channel == "heartbeats"]
    assert [beat.server_ns // 10_000_000 - 176_420_160_000 for beat in beats] == [198, 298, 398, 498, 598, 698]


def test_products_are_priced_in_their_own_decimals() -> None:
    known = {name: instrument(name) for name in ("BTC-USD", "SOL-USD", "DOGE-USD", "PEPE-USD")}
    assert {name: (item.price_text(1), item.size_text(1)) for name, item in known.items()} == {
        "BTC-USD": ("0.01", "0.00000001"),
        "SOL-USD": ("0.01", "0.001"),
        "DOGE-USD": ("0.00001", "0.1"),
        "PEPE-USD": ("0.0000000001", "1"),
    }
    derived = instrument("NEW-EUR")
    assert derived == instrument("NEW-EUR")
    assert (derived.base_currency, derived.quote_currency) == ("NEW", "EUR")
    assert instrument("ODD").quote_currency == "USD"


@pytest.mark.parametrize(
    ("units", "decimals", "text"),
    [
        (8_326_100, 2, "83261"),
        (8_326_110, 2, "83261.1"),
        (379, 7, "0.0000379"),
        (0, 8, "0"),
        (100, 0, "100"),
        (-41_577, 4, "-4.1577"),
    ],
)
def test_decimal_text_trims_zeros(units: int, decimals: int, text: str) -> None:
    assert decimal_text(units, decimals) == text
