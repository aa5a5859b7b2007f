"""Books, coverage and connections of random recordings: what the reference says, whatever the cut."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, event, example, given, settings
from hypothesis import strategies as st

from tests.coverage.notation import message
from tests.orchestrators.jobs import run
from tests.orchestrators.outputs import rows_of
from tests.reference import reference
from tests.reference.book_features import Wanted
from tests.reference.book_table import BookOptions, book_table_rows
from tests.reference.messages import Row

START = 1_764_201_595_000_000_000  # 2025-11-26T23:59:55Z
MS = 1_000_000
INTERVALS = {"message": 0, "100ms": 100 * MS, "1s": 1_000 * MS, "1m": 60_000 * MS}
WANTED = Wanted(imbalance=(1, 3), bps=(50, 200), notionals=(100, 5000), ofi_levels=2)
FEATURES = {"imbalance_levels": [1, 3], "depth_bps": [50, 200], "sweep_notionals": [100, 5000], "ofi_levels": 2}
STEPS_MS = (0, 1, 20, 99, 100, 350, 950, 1000, 1040, 2999, 3000, 3001, 5000, -20, -4000)

LEVELS = st.lists(
    st.builds(
        "{}{}x{}".format, st.sampled_from("ba"), st.integers(97, 103), st.sampled_from(("0", "1", "2.5", "0.001"))
    ),
    min_size=1,
    max_size=4,
).map(" ".join)
EVENTS = st.one_of(
    st.builds("{} {} {}".format, st.sampled_from(("up", "up", "up", "snap")), st.sampled_from(("BTC", "ETH")), LEVELS),
    st.sampled_from(("empty BTC", "none BTC", "trades BTC", "ticker ETH", "candles BTC ETH", "ack", "user", "hb")),
    st.builds("up BTC {}; snap ETH {}; up BTC {}".format, LEVELS, LEVELS, LEVELS),
)


@dataclass(frozen=True)
class Step:
    """What happens next: on which of three connections, how much later, with how many numbers lost in front of it.

    `kind` is an event, or "garbage" for a broken line in the place of the message, or "restart" for a new connection.
    """

    connection: int
    later_ms: int
    lost: int
    kind: str


STEP = st.builds(
    Step,
    st.sampled_from((0, 0, 0, 1, 2)),
    st.sampled_from(STEPS_MS),
    st.sampled_from((0, 0, 0, 0, 0, 1, 3)),
    st.one_of(EVENTS, EVENTS, EVENTS, st.sampled_from(("garbage", "restart"))),
)
STEPS = st.lists(STEP, min_size=1, max_size=60)
CUTS = st.fixed_dictionaries(
    {
        "unit_mb": st.sampled_from((0.0003, 0.0007, 0.002)),
        "block_mb": st.sampled_from((0.0001, 0.0003)),
        "rows_per_file": st.sampled_from((1, 5, 40)),
        "rows_per_group": st.sampled_from((1, 3)),
    }
)
OPTIONS = st.fixed_dictionaries(
    {
        "emit": st.sampled_from(sorted(INTERVALS)),
        "depth": st.sampled_from((1, 3)),
        "trust_beat": st.booleans(),
        "skip_empty": st.booleans(),
        "compute_features": st.booleans(),
    }
)


def lines_of(steps: list[Step]) -> list[bytes]:
    """Return the lines of a recording."""
    numbers, counters, now_ns = [0, 0, 0], [0, 0, 0], START
    lines = []
    for step in steps:
        now_ns += step.later_ms * MS
        k = step.connection
        numbers[k] = 0 if step.kind == "restart" else numbers[k] + step.lost
        text = step.kind
        if text in ("hb", "restart"):
            counters[k] += 1
            text = f"hb {counters[k]}"
        lines.append(b'{"channel":"l2_data"' if text == "garbage" else message(text, numbers[k], now_ns))
        numbers[k] += 1
    return lines


def write(steps: list[Step], input_dir: Path) -> None:
    """Write a recording into two segments."""
    lines = lines_of(steps)
    middle = len(lines) // 2
    for number, part in enumerate((lines[:middle], lines[middle:]), 1):
        (input_dir / f"segment_20251126T23_{number:05}.ndjson").write_bytes(b"".join(line + b"\n" for line in part))


def write_one_segment(steps: list[Step], input_dir: Path) -> None:
    """Write a recording into one segment."""
    (input_dir / "segment_20251126T23_00001.ndjson").write_bytes(b"".join(line + b"\n" for line in lines_of(steps)))


def tables(input_dir: Path, output_dir: Path, options: Mapping[str, object], staging: Mapping[str, object]) -> dict:
    """Run the job; return the rows of what is said of the recording and its books, and the bytes of the files."""
    level2 = {"processor_options": {**FEATURES, **options}}
    run(input_dir, output_dir, staging=staging, channels={"level2": level2})
    found = {name: rows_of(output_dir, name) for name in ("coverage", "connections", "book", "book_checkpoints")}
    found["book"].sort(key=lambda row: (row["product_id"], row["segment"], row["line"], row.get("ts_end")))
    return found


def assert_same(found: list[Row], expected: list[Row]) -> None:
    """Compare rows; floats that are sums or quotients may differ in their last digits."""
    assert len(found) == len(expected)
    for row, true in zip(found, expected, strict=True):
        assert row.keys() == true.keys()
        different = {name: (row[name], true[name]) for name in row if not _equal(row[name], true[name])}
        assert not different, (row["product_id"], row["segment"], row["line"], different)


def _equal(value: object, true: object) -> bool:
    if isinstance(value, float) and isinstance(true, float):
        return math.isclose(value, true, rel_tol=1e-12, abs_tol=1e-12)
    return value == true


def check(steps: list[Step], options: Mapping[str, object], cut: Mapping[str, object]) -> None:
    """Hold a recording to the reference, and another cut of it to the first."""
    with tempfile.TemporaryDirectory() as place:
        input_dir = Path(place) / "input"
        input_dir.mkdir()
        write(steps, input_dir)
        if sum(step.kind == "garbage" for step in steps) * 2 > len(steps):
            return  # the job would refuse it
        whole = tables(input_dir, Path(place) / "whole", options, {})
        truth = reference([input_dir], trusts_beat=bool(options["trust_beat"]))
        wanted = BookOptions(
            depth=int(str(options["depth"])),
            interval_ns=INTERVALS[str(options["emit"])],
            skips_empty=bool(options["skip_empty"]),
            trusts_beat=bool(options["trust_beat"]),
            wanted=WANTED if options["compute_features"] else None,
        )
        expected = [row for _, rows in sorted(book_table_rows(truth.recording, wanted).items()) for row in rows]
        expected.sort(key=lambda row: (row["product_id"], row["segment"], row["line"], row.get("ts_end")))
        assert_same(whole["book"], expected)
        in_cuts = tables(input_dir, Path(place) / "cuts", options, cut)
        for name in ("book", "coverage", "connections"):
            assert in_cuts[name] == whole[name], name
        event(f"{len({row['book_state'] for row in whole['book']})} states")


EXAMPLE = [
    Step(0, 20, 0, "snap BTC b100x1 a101x1"),
    Step(0, 20, 1, "up BTC b99x1"),
    Step(1, 20, 0, "snap BTC b98x2 a99x1"),
]


# Making a failing recording smaller takes longer than looking at it.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)


@given(steps=STEPS, options=OPTIONS, cut=CUTS)
@example(
    steps=EXAMPLE,
    options={"emit": "100ms", "depth": 1, "trust_beat": False, "skip_empty": False, "compute_features": True},
    cut={"unit_mb": 0.0003, "block_mb": 0.0001, "rows_per_file": 1, "rows_per_group": 1},
)
@settings(max_examples=15, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
def test_books_are_those_of_the_reference_however_they_are_cut(steps: list[Step], options: dict, cut: dict) -> None:
    check(steps, options, cut)


def check_past(steps: list[Step], kept: int, options: Mapping[str, object]) -> None:
    """Hold the rows of a recording's beginning to those of all of it: what comes later must not change them."""
    # Of garbage a beginning may have too much.
    steps = [step for step in steps if step.kind != "garbage"]
    found = []
    for beginning in (steps, steps[:kept]):
        with tempfile.TemporaryDirectory() as place:
            (Path(place) / "input").mkdir()
            write_one_segment(beginning, Path(place) / "input")
            found.append(tables(Path(place) / "input", Path(place) / "out", options, {})["book"])
    whole, past = found
    for product in {row["product_id"] for row in whole}:
        now = [row for row in past if row["product_id"] == product]
        later = [row for row in whole if row["product_id"] == product]
        assert now == later[: len(now)]
        if options["emit"] == "message":
            assert len(now) == sum(int(str(row["line"])) <= kept for row in later)


@given(steps=STEPS, kept=st.integers(1, 60), options=OPTIONS)
@settings(max_examples=10, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
def test_nothing_that_comes_later_changes_a_row(steps: list[Step], kept: int, options: dict) -> None:
    check_past(steps, kept, options)


@pytest.mark.slow
@given(steps=STEPS, kept=st.integers(1, 60), options=OPTIONS)
@settings(max_examples=150, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
def test_nothing_that_comes_later_changes_any_of_many(steps: list[Step], kept: int, options: dict) -> None:
    check_past(steps, kept, options)


@pytest.mark.slow
@given(steps=STEPS, options=OPTIONS, cut=CUTS)
@settings(max_examples=300, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
def test_many_more_of_them(steps: list[Step], options: dict, cut: dict) -> None:
    check(steps, options, cut)
