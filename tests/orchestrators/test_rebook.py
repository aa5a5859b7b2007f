"""Books computed again from stored tables: what a run over the segments gives, with the same bytes where it can be."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from etl_ray.orchestrators import rebook_replay
from etl_ray.sample import SampleOptions, write_sample
from etl_ray.sample.options import FAULT_KINDS
from tests.orchestrators.jobs import config, run
from tests.orchestrators.outputs import rows_of
from tests.orchestrators.rebooks import Runs, book_rows, books_of, compute_again, overrides
from tests.orchestrators.test_books_of_any_recording import CUTS, EXAMPLE, FEATURES, OPTIONS, PHASES, STEPS, Step, write

S = 1_000_000_000
FAULTY = SampleOptions(
    minutes=0.6,
    rate=5,
    levels=20,
    products=("BTC-USD", "ETH-USD", "PEPE-USD"),
    segment_mb=0.3,
    start="2025-11-26T23:59:46Z",
    faults=FAULT_KINDS,
)
"""Two connections over midnight, with all faults."""
CUT = {"unit_mb": 0.1, "block_mb": 0.05, "max_line_mb": 0.04, "rows_per_file": 700, "rows_per_group": 150}
WANTED: tuple[dict[str, object], ...] = (
    {"depth": 2, "compute_features": False},
    {"depth": 25, "imbalance_levels": [3, 1], "depth_bps": [40, 2], "sweep_notionals": [900], "ofi_levels": 7},
    {"depth": 3, "imbalance_levels": [], "depth_bps": [], "sweep_notionals": [], "ofi_levels": 0},
    {"emit": "100ms"},
    {"emit": "1s", "skip_empty": True, "depth": 1},
    {"emit": "1s", "compute_features": False, "depth": 1},
)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Runs over connections that follow each other, with all faults."""
    directory = tmp_path_factory.mktemp("faulty")
    write_sample(str(directory / "in"), FAULTY)
    return Runs(directory / "in", directory)


@pytest.mark.parametrize("wanted", WANTED, ids=str)
def test_books_of_faulty_connections_have_the_bytes_of_a_run(
    faulty: Runs, tmp_path: Path, wanted: dict[str, object]
) -> None:
    stored = overrides({"depth": 6}, staging=CUT)
    assert faulty.assert_computed(stored, overrides(wanted, staging=CUT), tmp_path) > 50


@pytest.mark.parametrize("wanted", [WANTED[1], WANTED[3]], ids=str)
def test_decimals_have_the_bytes_of_a_run(faulty: Runs, tmp_path: Path, wanted: dict[str, object]) -> None:
    given = {"numbers": "decimal", "staging": CUT}
    assert faulty.assert_computed(overrides({}, **given), overrides(wanted, **given), tmp_path) > 50


@pytest.mark.parametrize("wanted", [WANTED[1], WANTED[3]], ids=str)
def test_connections_side_by_side_have_the_bytes_of_a_run(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, wanted: dict[str, object]
) -> None:
    directory = tmp_path_factory.mktemp("side_by_side")
    write_sample(str(directory / "in"), replace(FAULTY, overlap=True, compress="gz"))
    runs = Runs(directory / "in", directory)
    assert runs.assert_computed(overrides({}, staging=CUT), overrides(wanted, staging=CUT), tmp_path) > 50


@pytest.mark.parametrize("partition_cols", [[], ["date"], ["product_id"]], ids=str)
def test_it_does_not_matter_how_level2_is_partitioned(faulty: Runs, tmp_path: Path, partition_cols: list[str]) -> None:
    stored = {"channels": {"level2": {"partition_cols": partition_cols}}, "staging": CUT}
    for wanted in (WANTED[1], WANTED[3]):
        faulty.assert_computed(stored, overrides(wanted, staging=CUT), tmp_path / str(wanted.get("emit")))


@pytest.mark.parametrize("wanted", [WANTED[1], WANTED[3]], ids=str)
def test_it_does_not_matter_how_many_rows_are_held(
    faulty: Runs, tmp_path: Path, wanted: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebook_replay, "_ROWS_AT_ONCE", 40)
    monkeypatch.setattr(rebook_replay, "CHUNK_MESSAGES", 7)
    faulty.assert_computed(overrides({"depth": 6}, staging=CUT), overrides(wanted, staging=CUT), tmp_path)


BEAT = [
    Step(0, 20, 0, "snap BTC b100x1 b99x2 a101x1 a102x2"),
    *(Step(0, 1000, 1, f"up BTC b100x{quantity}") for quantity in ("2", "3", "4", "5")),
    Step(0, 20, 0, "up BTC b100x7"),
]
"""Each message but the last stands behind a hole of one number, a second behind the one before."""


def test_behind_trusted_holes_flow_stays_unknown(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write(BEAT, tmp_path / "in")
    runs = Runs(tmp_path / "in", tmp_path)
    level2 = {"trust_beat": True}
    assert runs.assert_computed(overrides(level2), overrides({**level2, "depth": 2}), tmp_path / "again") == 6
    flows = [(row["book_state"], row["ofi"]) for row in book_rows(tmp_path / "again")]
    assert flows[-3:] == [("verified", None), ("verified", None), ("verified", 2.0)]


SILENT = [
    Step(0, 20, 0, "restart"),
    Step(0, 20, 0, "snap BTC b100x1 a101x1"),
    Step(1, 20, 0, "restart"),
    Step(0, 1500, 0, "up BTC b100x2"),
    Step(1, 20_000, 0, "ticker ETH"),
    Step(0, 20_000, 0, "up BTC b100x3"),
    Step(0, 2500, 0, "up BTC b100x4"),
]
"""A silence of 40 seconds, in which another connection passes midnight, and a pause that is none."""


@pytest.mark.parametrize(("emit", "rows"), [("1s", 5), ("7s", 1)])
def test_intervals_in_a_silence_are_left_out(tmp_path: Path, emit: str, rows: int) -> None:
    (tmp_path / "in").mkdir()
    write(SILENT, tmp_path / "in")
    runs = Runs(tmp_path / "in", tmp_path)
    assert runs.assert_computed(overrides({}), overrides({"emit": emit}), tmp_path / "again") == rows


TWO = [
    Step(0, 20, 0, "snap BTC b100x1 a101x1"),
    Step(1, 20, 0, "snap BTC b100x9 a101x9"),
    *(
        Step(connection, 20, 0, f"up BTC b100x{quantity} b99x{quantity + 1}")
        for quantity in range(2, 10)
        for connection in (0, 1)
    ),
]
"""Two connections, of which only one is published from its second message on."""


@pytest.mark.parametrize("emit", ["message", "100ms"])
@pytest.mark.parametrize("unit_mb", [0.0003, 0.0005, 0.0007])
def test_shards_may_end_with_messages_that_are_not_published(tmp_path: Path, unit_mb: float, emit: str) -> None:
    (tmp_path / "in").mkdir()
    write(TWO, tmp_path / "in")
    runs = Runs(tmp_path / "in", tmp_path)
    cut = {"unit_mb": unit_mb, "block_mb": 0.0001, "rows_per_file": 1}
    wanted = overrides({"depth": 2, "emit": emit}, staging=cut)
    if emit == "message":
        assert runs.assert_computed(overrides({}, staging=cut), wanted, tmp_path / "again") > 10
        return
    # What is not published counts for the shard of the next row, so rows may stand in another file.
    compute_again(runs.of(overrides({}, staging=cut)), tmp_path / "again", config(**wanted))
    assert book_rows(tmp_path / "again") == book_rows(runs.of(wanted))
    assert len(book_rows(tmp_path / "again")) > 2


@pytest.fixture(scope="module")
def flow(real_flow: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Runs over a recording of real order flow."""
    return Runs(real_flow, tmp_path_factory.mktemp("flow"))


class TestRealFlow:
    """A recording of another venue in the shapes of this one."""

    @pytest.mark.slow
    @pytest.mark.parametrize("wanted", [WANTED[1], WANTED[3]], ids=str)
    def test_books_have_the_bytes_of_a_run(self, flow: Runs, tmp_path: Path, wanted: dict[str, object]) -> None:
        assert flow.assert_computed(overrides({}), overrides(wanted), tmp_path) > 10_000


def level2_clocks(output: Path, product: str) -> list[int]:
    """Return the time of each message of a product, in arrival order."""
    found: dict[tuple[object, object], list[int]] = {}
    for row in rows_of(output, "level2"):
        if row["product_id"] == product:
            times = found.setdefault((row["segment"], row["line"]), [])
            times.append(int(str(row["ts_server"] if row["ts_event"] is None else row["ts_event"])))
    return [max(times) for _, times in sorted(found.items(), key=str)]


RANGE = {"start": "2025-11-26T23:59:51.5Z", "end": "2025-11-27T00:00:08.25Z"}


@pytest.mark.parametrize("wanted", [WANTED[0], WANTED[1]], ids=str)
def test_books_of_a_range_have_the_bytes_of_a_run(faulty: Runs, tmp_path: Path, wanted: dict[str, object]) -> None:
    stored = overrides({}, staging=CUT, **RANGE)
    assert faulty.assert_computed(stored, overrides(wanted, staging=CUT, **RANGE), tmp_path) > 50


def test_of_a_range_the_first_and_the_last_interval_are_left_out(faulty: Runs, tmp_path: Path) -> None:
    stored, wanted = overrides({}, staging=CUT, **RANGE), overrides({"emit": "1s"}, staging=CUT, **RANGE)
    compute_again(faulty.of(stored), tmp_path, config(**wanted))
    found, expected = book_rows(tmp_path), book_rows(faulty.of(wanted))
    for product in FAULTY.products:
        clocks = level2_clocks(faulty.of(stored), product)
        first, last = clocks[0] // S * S, max(clocks) // S * S
        inner = [row for row in expected if row["product_id"] == product and first < int(str(row["ts_start"])) < last]
        assert [row for row in found if row["product_id"] == product] == inner
        assert len(inner) > 5


def check(steps: list[Step], options: Mapping[str, object], cut: Mapping[str, object], numbers: str) -> None:
    """Hold the books of a recording to those of a run; these may stand in other files where messages are not shown."""
    if sum(step.kind == "garbage" for step in steps) * 2 > len(steps):
        return  # the job would refuse it
    stored = {"depth": 2, "trust_beat": options["trust_beat"], "compute_features": options["trust_beat"]}
    given = overrides({**FEATURES, **options}, staging=cut, numbers=numbers)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "in").mkdir()
        write(steps, place / "in")
        run(place / "in", place / "a", **overrides(stored, staging=cut, numbers=numbers))
        run(place / "in", place / "run", **given)
        compute_again(place / "a", place / "again", config(**given))
        found, expected = book_rows(place / "again"), book_rows(place / "run")
        if options["emit"] == "message":
            assert books_of(place / "again") == books_of(place / "run")
        elif any(step.kind in ("hb", "restart") for step in steps):
            # There may be silences, of which coverage does not tell all: only empty intervals may differ.
            found, expected = ([row for row in rows if row["n_messages"]] for rows in (found, expected))
        assert found == expected
        event(f"{options['emit']}: {len(expected) > 0}")


MESSAGES = OPTIONS.map(lambda options: {**options, "emit": "message"})
INTERVALS = OPTIONS.filter(lambda options: options["emit"] != "message")
NUMBERS = st.sampled_from(("float64", "decimal"))


@given(steps=STEPS, options=MESSAGES, cut=CUTS, numbers=NUMBERS)
@example(
    steps=EXAMPLE,
    options={"emit": "message", "depth": 1, "trust_beat": False, "skip_empty": False, "compute_features": True},
    cut={"unit_mb": 0.0003, "block_mb": 0.0001, "rows_per_file": 1, "rows_per_group": 1},
    numbers="float64",
)
@settings(max_examples=10, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
def test_books_of_any_recording_are_those_of_a_run(steps: list[Step], options: dict, cut: dict, numbers: str) -> None:
    check(steps, options, cut, numbers)


@pytest.mark.slow
@given(steps=STEPS, options=MESSAGES, cut=CUTS, numbers=NUMBERS)
@settings(max_examples=200, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
def test_books_of_many_more_of_them(steps: list[Step], options: dict, cut: dict, numbers: str) -> None:
    check(steps, options, cut, numbers)


@given(steps=STEPS, options=INTERVALS, cut=CUTS, numbers=NUMBERS)
@settings(max_examples=10, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
def test_intervals_of_any_recording_are_those_of_a_run(
    steps: list[Step], options: dict, cut: dict, numbers: str
) -> None:
    check(steps, options, cut, numbers)


@pytest.mark.slow
@given(steps=STEPS, options=INTERVALS, cut=CUTS, numbers=NUMBERS)
@settings(max_examples=200, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
def test_intervals_of_many_more_of_them(steps: list[Step], options: dict, cut: dict, numbers: str) -> None:
    check(steps, options, cut, numbers)
