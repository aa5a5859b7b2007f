"""The judge judged: the plain reference against expectations written by hand."""

from __future__ import annotations

import gzip
import hashlib
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from etl_ray.tables import Numbers
from tests.reference import read_segments, reference
from tests.reference.connections import Connections
from tests.reference.expectation import (
    Fault,
    expected_counts,
    expected_tables,
    place_of_line,
    read_expectation,
    read_faults,
    without_reason,
)
from tests.reference.messages import read_message
from tests.reference.values import (
    InvalidError,
    is_plausible,
    percent_encode,
    read_integer,
    read_nullable_time,
    read_number,
)

WIRE = Path(__file__).parent / "data" / "coinbase"
VALID = sorted(path for path in WIRE.glob("*.ndjson") if not path.name.startswith("invalid"))
INVALID = sorted(WIRE.glob("invalid*.ndjson"))
FAULTS = [(segment, fault) for segment in INVALID for fault in read_faults(segment)]
OF_THE_RECORDING = ("book", "book_checkpoints", "coverage", "connections", "witness")
"""Tables that have expectations of their own, in tests/coverage and tests/reference/test_books.py."""
NS = 1_000_000_000


def stem(path: Path) -> str:
    return path.stem


def fault_id(value: object) -> str:
    return value.stem if isinstance(value, Path) else str(value["line"])  # type: ignore[index]


def test_every_fixture_is_explained() -> None:
    readme = (WIRE / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in WIRE.glob("*.ndjson") if f"`{path.name}`" not in readme] == []
    assert len(VALID) == 12
    assert len(FAULTS) == 341


@pytest.mark.parametrize("numbers", ["float64", "decimal"])
@pytest.mark.parametrize("segment", VALID, ids=stem)
def test_rows_and_counts_are_as_expected(segment: Path, numbers: Numbers) -> None:
    found = reference([segment], numbers=numbers)
    for name, rows in expected_tables(segment, numbers).items():
        if name not in OF_THE_RECORDING:
            assert without_reason(found)[name] == rows
    assert found.counts.as_dict() == expected_counts(segment, numbers)


@pytest.mark.parametrize("segment", INVALID, ids=stem)
def test_invalid_lines_leave_nothing_but_rejects(segment: Path) -> None:
    found = reference([segment])
    assert {name for name, rows in found.tables.items() if rows} == {"rejects"}
    faults = read_faults(segment)
    assert [row["line"] for row in found.tables["rejects"]] == [fault["line"] for fault in faults]
    assert found.counts.rejected == found.counts.lines == len(faults)
    assert not found.counts.messages


@pytest.mark.parametrize(("segment", "fault"), FAULTS, ids=fault_id)
def test_invalid_line_is_rejected_for_its_fault_alone(segment: Path, fault: Fault, input_dir: Path) -> None:
    _, line = place_of_line(segment, fault["line"])
    (input_dir / "bad.ndjson").write_bytes(b"\n" + line + b"\n")
    (reject,) = reference([input_dir]).tables["rejects"]
    assert str(reject["reason"]).startswith(fault["reason"])
    assert reject["channel"] == fault["channel"]
    assert reject["raw"] == (line if fault["raw"] else None)
    wrong, right = fault["wrong"].encode("latin-1"), fault["right"].encode("latin-1")
    assert line.count(wrong) == 1
    (input_dir / "bad.ndjson").write_bytes(b"\n" + line.replace(wrong, right))
    assert reference([input_dir]).counts.accepted == 1


def test_products_are_encoded_in_paths() -> None:
    paths = read_expectation(WIRE / "products_20251126.ndjson")["paths"]
    assert {product: percent_encode(product) for product in paths} == paths


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("0.1", "0x1.999999999999ap-4"),
        ("9007199254740993", "0x1.0000000000000p+53"),  # half way: to even
        ("9007199254740995", "0x1.0000000000002p+53"),
        ("9007199254740993.0000000000000000000000000001", "0x1.0000000000001p+53"),
        ("2.2250738585072011e-308", "0x0.fffffffffffffp-1022"),
        ("1.7976931348623158e308", "0x1.fffffffffffffp+1023"),
        ("0e0", "0x0.0p+0"),
        ("-0.0", "0x0.0p+0"),
        ("-1.5", "-0x1.8000000000000p+0"),
    ],
)
def test_numbers_are_correctly_rounded(text: str, bits: str) -> None:
    value = read_number({"x": text}, "x", decimal=False, signed=True)
    assert isinstance(value, float)
    assert value.hex() == bits


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-0", "0"),
        ("-1.50", "-1.5"),
        ("12e-1", "1.2"),
        ("1e19", "10000000000000000000"),
        ("100000000000000000000.0", None),
        ("-99999999999999999999.999999999999999999", "-99999999999999999999.999999999999999999"),
        ("0.0000000000000000001", None),
        ("0.0000000000000000010", "0.000000000000000001"),
        ("10e-19", "0.000000000000000001"),
        ("1e-400", None),
    ],
)
def test_decimals_fit_exactly_or_not_at_all(text: str, value: str | None) -> None:
    if value is None:
        with pytest.raises(InvalidError, match="decimal128"):
            read_number({"x": text}, "x", decimal=True, signed=True)
    else:
        found = read_number({"x": text}, "x", decimal=True, signed=True)
        assert found == Decimal(value)
        assert isinstance(found, Decimal)
        assert found.is_signed() == value.startswith("-")


def test_times_keep_nine_digits() -> None:
    def ns(text: str) -> int | None:
        return read_nullable_time({"x": text}, "x", or_go=True)

    assert ns("2010-01-01T00:00:00Z") == 1_262_304_000 * NS
    assert ns("2010-01-01T00:00:00.1+00:00") == 1_262_304_000 * NS + 100_000_000
    assert ns("2099-12-31T23:59:59.999999999Z") == 4_102_444_800 * NS - 1
    assert ns("2024-02-29 00:00:00 +0000 UTC m=-3.5") == 1_709_164_800 * NS
    assert ns("2009-12-31T23:59:59.999999999Z") is None
    assert ns("2100-01-01T00:00:00Z") is None
    assert not is_plausible(4_102_444_800 * NS)
    assert is_plausible(1_262_304_000 * NS)


def test_minus_zero_is_the_integer_zero() -> None:
    assert read_integer({"x": 0}, "x") == 0
    raw = b'{"channel":"heartbeats","timestamp":"2025-11-26T14:00:00Z","sequence_num":-0,"events":[]}'
    assert accepted(raw)
    assert not accepted(raw.replace(b"-0", b'"-0"'))


def accepted(line: bytes) -> bool:
    try:
        read_message(line, decimal=False)
    except ValueError:
        return False
    return True


Told = tuple[int, str | None, int | None]
"""A message: number, first product, first heartbeat counter."""


def assigned(*messages: Told) -> list[str]:
    connections = Connections()
    return [connections.assign(*message, f"s:{line}") for line, message in enumerate(messages, start=1)]


def test_connections_go_on_where_products_live() -> None:
    told = assigned(
        (0, "A", None),
        (0, "B", None),
        (1, "A", None),
        (1, None, None),
        (2, None, None),
        (2, "C", None),
        (9, "C", None),  # behind a hole
        (9, "D", None),  # near enough
        (90, "E", None),
        (9, None, None),  # behind a hole of the highest below
        (10, "B", None),
        (8, "D", None),  # late
    )
    assert told == ["s:1", "s:2", "s:1", "s:2", "s:2", "s:1", "s:1", "s:2", "s:9", "s:10", "s:2", "s:2"]


def test_connections_are_told_apart_by_heartbeats_and_guesses_corrected() -> None:
    first: list[Told] = [(0, None, 7), (0, None, 3), (1, "A", None), (1, "B", None)]
    assert assigned(*first)[2:] == ["s:2", "s:1"]
    assert assigned(*first, (2, None, 4), (2, None, 8))[4:] == ["s:2", "s:1"]
    assert assigned(*first, (2, None, None), (2, "B", None), (3, "A", None))[4:] == ["s:1", "s:1", "s:2"]
    assert assigned(*first, (2, None, None), (3, "A", None), (2, "B", None))[4:] == ["s:1", "s:2", "s:1"]


def test_connections_of_strange_products_do_not_go_on() -> None:
    home: list[Told] = [(number, "A", None) for number in range(15)]
    assert assigned(*home, (40, "B", None), (15, "A", None), (41, "A", None))[15:] == ["s:16", "s:1", "s:1"]
    assert assigned(*home, (40, "B", None), (41, "A", None))[15:] == ["s:16", "s:16"]


def test_only_so_many_connections_are_known() -> None:
    def places(others: int) -> list[str]:
        return assigned((5, "A", None), (70, "B", None), *[(0, "C", None)] * others, (6, "D", None), (71, "B", None))[
            -2:
        ]

    assert places(1_022) == ["s:1", "s:2"]
    assert places(1_023) == ["s:1025", "s:2"]
    assert places(1_024) == ["s:1026", "s:1028"]


def test_connections_go_on_over_segments(input_dir: Path) -> None:
    event = b'"events":[{"heartbeat_counter":1}]'
    line = b'{"channel":"heartbeats","timestamp":"2025-11-26T14:00:00Z","sequence_num":%d,' + event + b"}"
    (input_dir / "b_20250101.ndjson").write_bytes(line % 6)
    (input_dir / "a_20250101.ndjson").write_bytes(b"\n" + line % 5)
    rows = reference([input_dir]).tables["heartbeats"]
    assert [(row["segment"], row["connection_id"]) for row in rows] == [
        ("a_20250101.ndjson", "a_20250101.ndjson:2"),
        ("b_20250101.ndjson", "a_20250101.ndjson:2"),
    ]


def test_segments_are_found_unpacked_and_ordered(input_dir: Path) -> None:
    (input_dir / "deep" / ".hidden").mkdir(parents=True)
    (input_dir / "s2.ndjson").write_bytes(b"two")
    frames = [pa.compress(part, codec="zstd", asbytes=True) for part in (b"on", b"e")]
    (input_dir / "deep" / "s1.ndjson.zst").write_bytes(b"".join(frames))
    (input_dir / "deep" / "s10.ndjson.gz").write_bytes(gzip.compress(b"te") + gzip.compress(b"n"))
    for passed_over in ("truth.csv", ".s3.ndjson", "deep/.hidden/s4.ndjson", "s5.ndjson.tmp", "s6.json"):
        (input_dir / passed_over).write_bytes(b"none")
    assert read_segments([input_dir]) == [("s1.ndjson", b"one"), ("s10.ndjson", b"ten"), ("s2.ndjson", b"two")]
    (input_dir / "s1.ndjson").write_bytes(b"again")
    with pytest.raises(ValueError, match="one identity"):
        read_segments([input_dir])


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("segment_20251126T14_00001.ndjson", "2025-11-26"),
        ("20251126140000.ndjson", "2025-11-26"),
        ("part_00000001_20240229.ndjson", "2024-02-29"),
        ("part_00020251126.ndjson", "2025-11-26"),
        ("part_20230229.ndjson", "unknown"),
        ("part_1732629600123.ndjson", "unknown"),
        ("part_20091231_21000101.ndjson", "unknown"),
        ("part_2025112.ndjson", "unknown"),
        ("part_20250101_20260101.ndjson", "2025-01-01"),
    ],
)
def test_errors_and_rejects_take_their_date_from_the_name(name: str, date: str, input_dir: Path) -> None:
    (input_dir / name).write_bytes(b'{"type":"error"}\nx\n')
    found = reference([input_dir])
    assert found.tables["errors"][0]["date"] == date
    assert found.tables["rejects"][0]["date"] == date


def test_long_texts_are_cut(input_dir: Path) -> None:
    line = b'{"channel":"l2_data","x":"' + b"y" * 70_000 + b'"}'
    error = '{"type":"error","message":"' + "é" * 5_000 + '"}\n'
    (input_dir / "s.ndjson").write_bytes(error.encode() + line)
    found = reference([input_dir])
    assert found.tables["errors"][0]["message"] == "é" * 4_096
    (reject,) = found.tables["rejects"]
    assert (reject["length"], reject["byte_offset"], reject["raw"]) == (len(line), len(error.encode()), line[:65_536])


def test_lines_may_be_too_long(input_dir: Path) -> None:
    line = b'{"channel":"heartbeats","timestamp":"2025-11-26T14:00:00Z","sequence_num":1,"events":[]}'
    (input_dir / "s.ndjson").write_bytes(line + b"\r\n" + line + b"\n" + b" " * 70_000 + line)
    found = reference([input_dir], max_line_bytes=len(line))
    lengths = [(row["line"], row["length"], row["channel"], row["raw"]) for row in found.tables["rejects"]]
    assert lengths == [(1, len(line) + 1, "heartbeats", None), (3, 70_000 + len(line), None, None)]
    assert found.tables["rejects"][1]["sha256"] == hashlib.sha256(b" " * 70_000 + line).hexdigest()
    assert (found.counts.rejected, found.counts.accepted) == (2, 1)


class TestSelection:
    """Each test names what is left of the whole run."""

    def test_channels(self) -> None:
        whole = reference(VALID)
        found = reference(VALID, channels=["l2_data", "ticker_batch", "errors"])
        assert found.counts.messages == whole.counts.messages
        assert found.counts.unknown_keys == whole.counts.unknown_keys
        selected = ("l2_data", "ticker_batch", "error")
        assert found.counts.accepted == sum(whole.counts.messages[name] for name in selected)
        assert found.counts.ignored == sum(whole.counts.messages.values()) - found.counts.accepted
        for name in ("level2", "errors", "rejects"):
            assert found.tables[name] == whole.tables[name]
        assert found.tables["ticker"] == [row for row in whole.tables["ticker"] if row["is_batch"]]
        for name in ("market_trades", "candles", "status", "instruments", "heartbeats", "subscriptions"):
            assert found.tables[name] == []
        assert reference(VALID, channels=["ticker"]).counts.messages["error"] == whole.counts.messages["error"]
        assert reference(VALID, channels=["ticker"]).tables["errors"] == []
        with pytest.raises(ValueError, match="level2"):
            reference(VALID, channels=["level2"])

    def test_products(self) -> None:
        segments = [WIRE / "l2_data_20251126.ndjson", WIRE / "control_20251126T14.ndjson"]
        found = reference(segments, products=["ETH-USD"])
        places = [(row["line"], row["event_index"], row["row_index"]) for row in found.tables["level2"]]
        assert places == [(3, 0, 0), (5, 1, 0), (5, 3, 0)]
        assert [row["is_last"] for row in found.tables["level2"]] == [True, False, True]
        # Line 9 names no product; lines 1, 2, 4, 6, 7 and 8 name others, also where they have no level.
        assert (found.counts.accepted, found.counts.out_of_range, found.counts.ignored) == (3 + 9, 6, 2)
        assert [len(found.tables[name]) for name in ("heartbeats", "subscriptions", "errors")] == [6, 6, 4]

    def test_usdc_products_are_resolved(self) -> None:
        segment = [WIRE / "products_20251126.ndjson"]
        assert [row["product_id"] for row in reference(segment, products=["BTC-USDC"]).tables["market_trades"]] == [
            "BTC-USD"
        ]
        (row,) = reference(segment, products=["USDT-USDC"]).tables["market_trades"]
        assert row["product_id"] == "USDT-USDC"

    def test_range_is_half_open_on_server_time(self) -> None:
        segment = [WIRE / "l2_data_20251126.ndjson"]
        midnight = 1_764_201_600 * NS
        found = reference(segment, start_ns=midnight, end_ns=midnight + 1_250_000_000)
        assert [row["line"] for row in found.tables["level2"]] == [6, 6]
        assert (found.counts.accepted, found.counts.out_of_range) == (1, 8)
        found = reference(segment, end_ns=midnight)
        assert {row["line"] for row in found.tables["level2"]} == {1, 2, 3, 5}
        assert reference([WIRE / "control_20251126T14.ndjson"], start_ns=midnight).counts.accepted == 4  # the errors

    def test_connections_and_instruments_know_what_is_not_selected(self) -> None:
        found = reference([WIRE / "connections_20251126.ndjson"], channels=["heartbeats"])
        whole = reference([WIRE / "connections_20251126.ndjson"])
        assert found.tables["heartbeats"] == whole.tables["heartbeats"]
        segment = [WIRE / "status_20251126.ndjson"]
        terms = reference(segment, products=["BTC-USD"], start_ns=1_764_165_605 * NS).tables["instruments"]
        assert [(row["line"], row["product_id"]) for row in terms] == [(3, "BTC-USD"), (4, "BTC-USD")]

    def test_ignored_goes_before_out_of_range(self) -> None:
        found = reference([WIRE / "ticker_20251126.ndjson"], channels=["ticker_batch"], start_ns=1_900_000_000 * NS)
        assert (found.counts.ignored, found.counts.out_of_range) == (4, 1)
