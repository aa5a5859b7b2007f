"""Books in the cases that recordings hold, each by itself."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from tests.coverage.notation import message
from tests.orchestrators.jobs import run
from tests.orchestrators.outputs import rows_of

START = 1_764_201_599_000_000_000  # 2025-11-26T23:59:59Z
MS = 1_000_000
PLAIN: dict[str, object] = {"compute_features": False, "depth": 3}


def line(number: int, ms: int, text: str) -> bytes:
    """Return a message some ms after the start."""
    return message(text, number, START + ms * MS)


def raw_line(number: int, *events: tuple[str, str, list[tuple[str, str, str]]]) -> bytes:
    """Return an l2 message of (type, product, [(side, price, quantity)])."""
    body = [
        {
            "type": kind,
            "product_id": product,
            "updates": [
                {"side": side, "event_time": "2025-11-26T23:59:59Z", "price_level": price, "new_quantity": quantity}
                for side, price, quantity in levels
            ],
        }
        for kind, product, levels in events
    ]
    head = {"channel": "l2_data", "timestamp": "2025-11-26T23:59:59Z", "sequence_num": number}
    return json.dumps({**head, "events": body}).encode()


def books(input_dir: Path, output_dir: Path, *segments: list[bytes], **config: object) -> list[dict[str, object]]:
    """Run the job over segments; return the rows of `book` in arrival order."""
    for number, lines in enumerate(segments, 1):
        (input_dir / f"segment_20251126T23_{number:05}.ndjson").write_bytes(b"".join(item + b"\n" for item in lines))
    given = config.pop("level2", {})
    assert isinstance(given, dict)
    run(input_dir, output_dir, channels={"level2": {"processor_options": PLAIN | given}}, **config)
    rows = rows_of(output_dir, "book")
    return sorted(rows, key=lambda row: (str(row["segment"]), int(str(row["line"])), str(row["product_id"])))


def side(row: dict[str, object], name: str) -> list[tuple[object, object]]:
    """Return the levels of a side, best first, without those that are not there."""
    pairs = [(row[f"{name}_price_{level}"], row[f"{name}_size_{level}"]) for level in range(3)]
    return [pair for pair in pairs if pair != (None, None)]


def test_the_snapshot_of_a_whole_venue(input_dir: Path, output_dir: Path) -> None:
    bids = [("bid", f"{90_000 - level}.5", f"{level + 1}") for level in range(22_000)]
    asks = [("offer", f"{90_001 + level}.5", f"{level + 1}") for level in range(22_000)]
    lines = [raw_line(0, ("snapshot", "BTC-USD", bids + asks))]
    (row,) = books(input_dir, output_dir, lines, staging={"max_line_mb": 16})
    assert side(row, "bid") == [(90_000.5, 1.0), (89_999.5, 2.0), (89_998.5, 3.0)]
    assert side(row, "ask") == [(90_001.5, 1.0), (90_002.5, 2.0), (90_003.5, 3.0)]
    assert row["n_updates"] == 44_000


def test_an_empty_snapshot_empties_the_book(input_dir: Path, output_dir: Path) -> None:
    lines = [line(0, 0, "snap BTC b100x1 a101x1"), line(1, 1, "empty BTC"), line(2, 2, "up BTC b98x3")]
    rows = books(input_dir, output_dir, lines)
    assert [(side(row, "bid"), side(row, "ask")) for row in rows] == [
        ([(100.0, 1.0)], [(101.0, 1.0)]),
        ([], []),
        ([(98.0, 3.0)], []),
    ]
    assert [(row["n_updates"], row["is_snapshot"], row["book_state"]) for row in rows] == [
        (2, True, "verified"),
        (0, True, "verified"),
        (1, False, "verified"),
    ]


def test_unknown_levels_are_removed_and_repeated_ones_are_set_last(input_dir: Path, output_dir: Path) -> None:
    lines = [line(0, 0, "snap BTC b100x1 a101x1 a101x2"), line(1, 1, "up BTC b55x0 a101x7 a101x0 a101x9 b100x4 b100x0")]
    rows = books(input_dir, output_dir, lines)
    assert [(side(row, "bid"), side(row, "ask")) for row in rows] == [
        ([(100.0, 1.0)], [(101.0, 2.0)]),
        ([], [(101.0, 9.0)]),
    ]
    assert [row["n_updates"] for row in rows] == [3, 6]


def test_a_message_of_several_events_and_products_is_one_row_for_each(input_dir: Path, output_dir: Path) -> None:
    lines = [line(0, 0, "up BTC b99x9; snap BTC b100x1 a101x1; up ETH b5x1; up BTC b98x1")]
    rows = books(input_dir, output_dir, lines)
    assert [(row["product_id"], side(row, "bid"), row["book_state"], row["n_updates"]) for row in rows] == [
        ("BTC-USD", [(100.0, 1.0), (98.0, 1.0)], "verified", 4),
        ("ETH-USD", [(5.0, 1.0)], "no_snapshot", 1),
    ]


def test_a_server_time_that_steps_back_over_midnight(input_dir: Path, output_dir: Path) -> None:
    lines = [
        line(0, 900, "snap BTC b100x1 a101x1"),
        line(1, 1100, "up BTC b99x1"),
        line(2, 950, "up BTC b98x1"),
        line(3, 1200, "up BTC b100x0"),
    ]
    rows = books(input_dir, output_dir, lines, staging={"rows_per_file": 1})
    assert [(row["date"], side(row, "bid")) for row in rows] == [
        ("2025-11-26", [(100.0, 1.0)]),
        ("2025-11-27", [(100.0, 1.0), (99.0, 1.0)]),
        ("2025-11-26", [(100.0, 1.0), (99.0, 1.0), (98.0, 1.0)]),
        ("2025-11-27", [(99.0, 1.0), (98.0, 1.0)]),
    ]
    checkpoints = rows_of(output_dir, "book_checkpoints")
    found = {(row["date"], row["line"]): 0 for row in checkpoints}
    for row in checkpoints:
        found[row["date"], row["line"]] += 1
    assert found == {("2025-11-27", 2): 2, ("2025-11-26", 3): 3, ("2025-11-27", 4): 4}


def test_segments_without_a_snapshot_and_a_product_that_appears_later(input_dir: Path, output_dir: Path) -> None:
    rows = books(
        input_dir,
        output_dir,
        [line(0, 0, "snap BTC b100x1 a101x1")],
        [line(1, 10, "up BTC b99x1"), line(2, 20, "snap ETH b5x1 a6x1")],
        [line(3, 30, "up BTC a101x0"), line(4, 40, "up ETH a6x2")],
    )
    assert [(row["product_id"], side(row, "bid"), side(row, "ask"), row["book_state"]) for row in rows] == [
        ("BTC-USD", [(100.0, 1.0)], [(101.0, 1.0)], "verified"),
        ("BTC-USD", [(100.0, 1.0), (99.0, 1.0)], [(101.0, 1.0)], "verified"),
        ("ETH-USD", [(5.0, 1.0)], [(6.0, 1.0)], "verified"),
        ("BTC-USD", [(100.0, 1.0), (99.0, 1.0)], [], "verified"),
        ("ETH-USD", [(5.0, 1.0)], [(6.0, 2.0)], "verified"),
    ]


def test_a_range_limits_rows_and_the_book_comes_from_before_it(input_dir: Path, output_dir: Path) -> None:
    lines = [line(0, 0, "snap BTC b100x1 a101x1"), line(1, 500, "up BTC b99x1"), line(2, 900, "up BTC b98x1")]
    (row,) = books(input_dir, output_dir, lines, start=START + 400 * MS, end=START + 900 * MS)
    assert (row["sequence_num"], side(row, "bid")) == (1, [(100.0, 1.0), (99.0, 1.0)])
    assert [row["line"] for row in rows_of(output_dir, "level2")] == [2]


def test_two_connections_with_one_product_are_two_books(input_dir: Path, output_dir: Path) -> None:
    lines = [
        line(0, 0, "snap BTC b100x1 a101x1"),
        line(7, 10, "up BTC b99x1"),  # behind a hole: suspect
        line(0, 20, "snap BTC b50x1 a51x1"),  # another connection: published, being verified
        line(8, 30, "up BTC b97x1"),
        line(1, 40, "up BTC b49x1"),
    ]
    rows = books(input_dir, output_dir, lines)
    assert [(row["line"], row["book_state"], side(row, "bid")) for row in rows] == [
        (1, "verified", [(100.0, 1.0)]),
        (2, "suspect", [(100.0, 1.0), (99.0, 1.0)]),
        (3, "verified", [(50.0, 1.0)]),
        (5, "verified", [(50.0, 1.0), (49.0, 1.0)]),
    ]


@pytest.mark.parametrize("numbers", ["float64", "decimal"])
def test_fine_prices_and_great_quantities(input_dir: Path, output_dir: Path, numbers: str) -> None:
    levels = [
        ("bid", "0.00000123457", "912345678901"),
        ("bid", "0.0000012", "12.5"),
        ("offer", "0.00001", "92233720368547758"),
    ]
    (row,) = books(input_dir, output_dir, [raw_line(0, ("snapshot", "PEPE-USD", levels))], numbers=numbers)
    expected = [
        [(Decimal(price), Decimal(size)) for _, price, size in levels[:2]],
        [(Decimal("0.00001"), Decimal(levels[2][2]))],
    ]
    if numbers == "float64":
        expected = [[(float(price), float(size)) for price, size in found] for found in expected]  # type: ignore[misc]
    assert [side(row, "bid"), side(row, "ask")] == expected


def test_what_does_not_fit_64_bits_at_one_scale_has_no_book(input_dir: Path, output_dir: Path) -> None:
    lines = [
        raw_line(0, ("snapshot", "PEPE-USD", [("bid", "1", "100000000000000000"), ("offer", "2", "1")])),
        raw_line(1, ("update", "PEPE-USD", [("bid", "1", "0.00000001")])),
        raw_line(2, ("snapshot", "BTC-USD", [("bid", "1", "1"), ("offer", "2", "1")])),
    ]
    rows = books(input_dir, output_dir, lines)
    assert [row["product_id"] for row in rows] == ["BTC-USD"]
    assert len(rows_of(output_dir, "level2")) == 5
    summary = run(input_dir, output_dir, channels={"level2": {"processor_options": PLAIN}})
    assert summary.findings == (
        "PEPE-USD has no book: expected prices and quantities that fit 64 bits as integers at one scale, "
        "found both very large ones and very fine ones; its rows are in level2",
    )


def test_values_that_fit_at_their_unit_s_scale_but_not_at_the_product_s(input_dir: Path, output_dir: Path) -> None:
    coarse = [raw_line(0, ("snapshot", "PEPE-USD", [("bid", "1", "100000000000000000"), ("offer", "2", "1")]))]
    fine = [raw_line(1, ("update", "PEPE-USD", [("bid", "1", "0.00000001")]))]
    assert books(input_dir, output_dir, coarse, fine) == []
    assert len(rows_of(output_dir, "level2")) == 3


def test_zeros_at_the_end_of_great_numbers_do_not_count(input_dir: Path, output_dir: Path) -> None:
    levels = [("bid", "1.50000000", "9000000000.00000000"), ("offer", "2", "90000000000000000"), ("offer", "3", "0.5")]
    (row,) = books(input_dir, output_dir, [raw_line(0, ("snapshot", "PEPE-USD", levels))])
    assert side(row, "bid") == [(1.5, 9e9)]
    assert side(row, "ask") == [(2.0, 9e16), (3.0, 0.5)]
