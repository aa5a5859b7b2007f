"""Books of the reference, worked out by hand."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from tests.coverage.notation import message
from tests.reference import reference
from tests.reference.book_features import Wanted
from tests.reference.book_table import BookOptions, book_table_rows
from tests.reference.messages import Row

START = 1_764_165_600_000_000_000  # 2025-11-26T14:00:00Z
MS = 1_000_000
NO_FEATURES = BookOptions(depth=2, wanted=None)
FEATURES = BookOptions(
    depth=2, wanted=Wanted(imbalance=(1, 2), bps=(100, 200), notionals=(100, 250, 393, 394), ofi_levels=2)
)


def rows(input_dir: Path, *lines: tuple[int, int, str], options: BookOptions = NO_FEATURES) -> list[Row]:
    """Return the rows of BTC-USD after lines of (number, ms, message)."""
    raw = [message(text, number, START + ms * MS) for number, ms, text in lines]
    (input_dir / "s_20251126.ndjson").write_bytes(b"\n".join(raw))
    return book_table_rows(reference([input_dir]).recording, options)["BTC-USD"]


def shown(found: list[Row], *names: str) -> list[tuple[object, ...]]:
    return [tuple(row[name] for name in names) for row in found]


def test_a_whole_row(input_dir: Path) -> None:
    line = json.loads(message("snap BTC b100.5x1 b99x2 b98x3 a101x4", 0, START))
    line["events"][0]["updates"][1]["event_time"] = "2025-11-26T14:00:00.000000007Z"
    line["events"][0]["updates"][2]["event_time"] = "1970-01-01T00:00:00Z"
    envelope = {"capture_ts": "2025-11-26T14:00:00.5Z", "data": line}
    (input_dir / "s_20251126.ndjson").write_text(json.dumps(envelope))
    assert book_table_rows(reference([input_dir]).recording, NO_FEATURES) == {
        "BTC-USD": [
            {
                "product_id": "BTC-USD",
                "date": "2025-11-26",
                "ts_event": START + 7,
                "ts_server": START,
                "ts_capture": START + 500 * MS,
                "ts_align": START + 7,
                "ts_available": START + 500 * MS,
                "sequence_num": 0,
                "book_state": "verified",
                "crossed": False,
                "locked": False,
                "n_updates": 4,
                "is_snapshot": True,
                "bid_price_0": 100.5,
                "bid_size_0": 1.0,
                "bid_price_1": 99.0,
                "bid_size_1": 2.0,
                "ask_price_0": 101.0,
                "ask_size_0": 4.0,
                "ask_price_1": None,
                "ask_size_1": None,
                "connection_id": "s_20251126.ndjson:1",
                "segment": "s_20251126.ndjson",
                "line": 1,
            }
        ]
    }


def test_levels_are_set_replaced_and_removed(input_dir: Path) -> None:
    found = rows(
        input_dir,
        (0, 0, "snap BTC b100x1 b99x2 a101x4"),
        (1, 1, "up BTC b100x0 b98x7 a102x0"),  # 102 was never there
        (2, 2, "up BTC b99.0x5 a101x0; up ETH; up BTC a100.0x1 a99.9x1 a99.9x0"),  # the same price, spelled anew
        (3, 3, "empty BTC; up BTC b1x1"),
        (4, 4, "none BTC"),
        (5, 5, "empty BTC"),
    )
    names = (
        "line",
        "n_updates",
        "is_snapshot",
        "bid_price_0",
        "bid_size_0",
        "bid_price_1",
        "ask_price_0",
        "ask_size_0",
    )
    assert shown(found, *names) == [
        (1, 3, True, 100.0, 1.0, 99.0, 101.0, 4.0),
        (2, 3, False, 99.0, 2.0, 98.0, 101.0, 4.0),
        (3, 5, False, 99.0, 5.0, 98.0, 100.0, 1.0),
        (4, 1, True, 1.0, 1.0, None, None, None),
        (6, 0, True, None, None, None, None, None),
    ]


def test_crossed_and_locked(input_dir: Path) -> None:
    found = rows(
        input_dir,
        (0, 0, "snap BTC b100x1 a101x1"),
        (1, 1, "up BTC b101x1"),
        (2, 2, "up BTC b102x1"),
        (3, 3, "snap BTC b1x1"),
    )
    assert shown(found, "crossed", "locked", "book_state") == [
        (False, False, "verified"),
        (False, True, "verified"),
        (True, False, "suspect"),
        (False, False, "verified"),
    ]


def test_numbers_are_exact(input_dir: Path) -> None:
    lines = (0, 0, "snap BTC b0.10000000001x92233720368.5 b0.1x1 a0.100000000011x1")
    options = BookOptions(depth=2, decimal=True, wanted=None)
    (found,) = rows(input_dir, lines, options=options)
    assert found["bid_price_0"] == Decimal("0.10000000001")
    assert found["bid_size_0"] == Decimal("92233720368.5")
    assert found["ask_price_0"] == Decimal("0.100000000011")


def test_clock_of_joins_never_steps_back(input_dir: Path) -> None:
    found = rows(
        input_dir,
        (0, 0, "snap BTC"),
        (1, 9, "up BTC"),
        (2, 5, "empty BTC"),  # has no event time: that of the server counts
        (3, 12, "empty BTC"),
    )
    times = [
        (START + event * MS if event is not None else None, START + align * MS)
        for event, align in ((0, 0), (9, 9), (None, 9), (None, 12))
    ]
    assert shown(found, "ts_event", "ts_align") == times


def test_features_by_hand(input_dir: Path) -> None:
    (found,) = rows(input_dir, (0, 0, "snap BTC b99x1 b98x3 a101x3 a103x1"), options=FEATURES)
    expected = {
        "mid": 100.0,
        "spread": 2.0,
        "spread_bps": 200.0,
        "weighted_mid": 99.5,  # a quarter of 101 and three of 99
        "imbalance_1": -0.5,
        "imbalance_2": 0.0,
        "depth_bid_100bps": 1.0,  # to 99, inclusive
        "depth_ask_100bps": 3.0,
        "depth_bid_200bps": 4.0,
        "depth_ask_200bps": 3.0,
        "sweep_bid_100": float(Fraction(100 * 98, 99)),
        "sweep_ask_100": 101.0,
        "sweep_bid_250": float(250 / (1 + Fraction(151, 98))),
        "sweep_ask_250": 101.0,
        "sweep_bid_393": 98.25,  # all there is
        "sweep_bid_394": None,
        "ofi": None,
        "ofi_level_0": None,
        "ofi_level_1": None,
    }
    assert {name: found[name] for name in expected} == expected


def test_features_of_books_that_lack_something(input_dir: Path) -> None:
    one_sided, thin, lost = rows(
        input_dir, (0, 0, "snap BTC b99x1"), (1, 1, "up BTC a101x1"), (3, 2, "up BTC b98x1 a102x1"), options=FEATURES
    )
    names = ("mid", "imbalance_1", "depth_bid_100bps", "sweep_bid_100", "sweep_ask_100", "sweep_ask_250")
    assert shown([one_sided], *names) == [(None, None, None, None, None, None)]
    assert shown([thin], *names, "imbalance_2") == [(100.0, 0.0, 1.0, None, 101.0, None, None)]
    assert shown([lost], *names, "ofi") == [(None,) * 7]


def test_order_flow_by_hand(input_dir: Path) -> None:
    found = rows(
        input_dir,
        (0, 0, "snap BTC b100x1 b99x1 a101x2"),
        (1, 1, "up BTC b100x4"),  # more at the bid
        (2, 2, "up BTC a101x5"),  # more at the ask
        (3, 3, "up BTC b100x0"),  # the bid falls to 99
        (4, 4, "up BTC a101x0 a102x7 a103x1"),  # the ask rises
        (5, 5, "up BTC b101x3"),  # the bid rises
        (6, 6, "up BTC a102x0 a103x0"),
        (7, 7, "up BTC a102x1 a103x1"),  # behind a book of one side
        (8, 8, "up BTC b101x2 b99x2 a103x4"),
        (9, 9, "snap BTC"),
        (10, 10, "up BTC b100x2"),
        options=FEATURES,
    )
    assert shown(found, "ofi", "ofi_level_0", "ofi_level_1") == [
        (None, None, None),
        (3.0, 3.0, None),
        (-3.0, -3.0, None),
        (-4.0, -4.0, None),
        (5.0, 5.0, None),
        (3.0, 3.0, None),
        (None, None, None),
        (None, None, None),
        (-1.0, -1.0, 1.0 - 3.0),
        (None, None, None),
        (1.0, 1.0, None),
    ]


def test_order_flow_at_holes(input_dir: Path) -> None:
    found = rows(
        input_dir,
        (0, 0, "snap BTC"),
        (1, 1, "hb 1"),
        (3, 2, "up BTC b100x2"),
        (4, 3, "hb 3"),  # it was a heartbeat
        (5, 4, "up BTC b100x5"),
        (7, 5, "hb 5"),
        (8, 6, "up BTC b100x9"),  # behind a hole that a heartbeat has explained already
        options=FEATURES,
    )
    assert shown(found, "book_state", "ofi") == [
        ("verified", None),
        ("suspect", None),
        ("verified", 3.0),
        ("verified", 4.0),
    ]


def test_order_flow_at_a_beat_that_is_trusted(input_dir: Path) -> None:
    options = BookOptions(depth=1, trusts_beat=True, wanted=Wanted((), (), (), 1))
    lines = [(number, number * 500, f"up BTC b100x{number}") for number in (2, 4, 6, 8, 9)]
    found = rows(input_dir, (0, 0, "snap BTC"), *lines, options=options)
    assert shown(found, "book_state", "ofi") == [
        ("verified", None),
        ("suspect", None),
        ("suspect", None),
        ("verified", None),
        ("verified", None),
        ("verified", 1.0),
    ]


def test_order_flow_of_a_connection_that_is_not_always_published(input_dir: Path) -> None:
    found = rows(
        input_dir,
        (500, 0, "snap BTC"),
        (0, 1, "snap BTC"),
        (501, 2, "up BTC b100x3"),
        (1, 3, "up BTC b100x9"),  # gives no row
        (502, 4, "up BTC b100x4"),
        (2, 4005, "up BTC b100x11"),
        options=FEATURES,
    )
    assert shown(found, "sequence_num", "ofi") == [(500, None), (0, None), (501, 2.0), (502, 1.0), (2, 2.0)]


def test_intervals(input_dir: Path) -> None:
    options = BookOptions(depth=1, interval_ns=100 * MS, wanted=Wanted((), (), (), 1))
    found = rows(
        input_dir,
        (0, 50, "snap BTC b100x1 a101x2"),
        (1, 60, "up BTC b100x4"),
        (2, 199, "up BTC b100x6"),
        (3, 420, "up BTC b100x7"),
        (4, 430, "snap BTC b100x1 a101x2"),
        (5, 290, "up BTC b100x3"),  # the clock does not step back
        (6, 500, "snap BTC b1x1"),
        options=options,
    )
    assert [(row["ts_start"] - START, row["ts_end"] - START) for row in found] == [  # type: ignore[operator]
        (start * MS, (start + 100) * MS) for start in (0, 100, 200, 300, 400)
    ]
    names = ("n_messages", "line", "bid_size_0", "mid", "ofi", "ofi_level_0", "ofi_n", "ofi_missing")
    assert shown(found, *names) == [
        (2, 2, 4.0, 100.5, 3.0, 3.0, 1, 1),
        (1, 3, 6.0, 100.5, 2.0, 2.0, 1, 0),
        (0, 3, 6.0, 100.5, None, None, 0, 0),
        (0, 3, 6.0, 100.5, None, None, 0, 0),
        (3, 6, 3.0, 100.5, 3.0, 3.0, 2, 1),
    ]
    assert shown(found, "ts_available") == [(START + ended * MS,) for ended in (199, 420, 420, 420, 500)]
    skipping = BookOptions(depth=1, interval_ns=100 * MS, skips_empty=True, wanted=None)
    again = book_table_rows(reference([input_dir]).recording, skipping)["BTC-USD"]
    assert shown(again, "n_messages", "line") == [(2, 2), (1, 3), (3, 6)]


def test_intervals_of_two_connections(input_dir: Path) -> None:
    options = BookOptions(depth=1, interval_ns=100 * MS, wanted=None)
    found = rows(
        input_dir,
        (500, 0, "snap BTC"),
        (501, 150, "up BTC"),
        (0, 820, "snap BTC"),  # between the two nothing is repeated
        (1, 1010, "up BTC"),
        (2, 1020, "up BTC"),
        (502, 1030, "up BTC"),
        (3, 1350, "up BTC"),  # gives no row, and ends those intervals all the same
        (503, 1360, "up BTC"),
        (504, 1430, "up BTC"),
        options=options,
    )
    assert shown(found, "ts_start", "sequence_num", "n_messages", "ts_available") == [
        (START + start * MS, number, n_messages, START + ended * MS)
        for start, number, n_messages, ended in (
            (0, 500, 1, 150),
            (100, 501, 1, 820),
            (800, 0, 1, 1010),
            (900, 0, 0, 1010),
            (1000, 502, 3, 1350),
            (1300, 503, 1, 1430),
        )
    ]


def test_intervals_of_a_silence(input_dir: Path) -> None:
    options = BookOptions(depth=1, interval_ns=1000 * MS, wanted=None)
    found = rows(
        input_dir,
        (0, 0, "snap BTC"),
        (1, 1500, "hb 1"),
        (2, 6200, "ack"),
        (3, 7000, "up BTC"),
        (4, 11000, "up BTC"),
        options=options,
    )
    # Silent from 1.5 s to 6.2 s, and from 7 s to 11 s: nothing is repeated in what is wholly within.
    starts_s = [(row["ts_start"] - START) // (1000 * MS) for row in found]  # type: ignore[operator]
    assert starts_s == [0, 1, 6, 7]


def test_an_hour_of_empty_intervals_is_the_most(input_dir: Path) -> None:
    options = BookOptions(depth=1, interval_ns=600_000 * MS, wanted=None)  # ten minutes
    minutes = (0, 70, 150, 151)
    lines = [(number, minute * 60_000, "snap BTC") for number, minute in enumerate(minutes)]
    found = rows(input_dir, *lines, options=options)
    starts_min = [(row["ts_start"] - START) // (60_000 * MS) for row in found]  # type: ignore[operator]
    assert starts_min == [0, 10, 20, 30, 40, 50, 60, 70]


def test_order_flow_of_intervals_that_were_not_verified(input_dir: Path) -> None:
    options = BookOptions(depth=1, interval_ns=100 * MS, wanted=Wanted((), (), (), 1))
    found = rows(
        input_dir,
        (0, 0, "snap BTC b100x1 a101x1"),
        (1, 10, "up BTC b100x2"),
        (2, 20, "up BTC b102x2"),  # crossed
        (3, 30, "up BTC b102x0"),
        (4, 40, "up BTC b100x5"),
        (5, 110, "up BTC b100x6"),
        (6, 200, "up BTC b100x7"),
        options=options,
    )
    names = ("mid", "ofi", "ofi_n", "ofi_missing")
    assert shown(found, *names) == [(100.5, None, 2, 3), (100.5, 1.0, 1, 0)]
