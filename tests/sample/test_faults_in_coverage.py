"""Every fault that a recording shows, found in `connections` and `coverage` with the right cause and extent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from etl_ray.sample import write_sample
from etl_ray.sample.options import FAULT_KINDS
from etl_ray.sample.recording import arrivals
from tests.coverage.job import Row, job_tables
from tests.reference import reference

from .faulty import SMALL, TWO_MINUTES, Faulty, place, record
from .told import Told, carries
from .witness import Place, unpacked, witness

CLASSES = ("lost", "explained", "rejected", "damaged_segment")
RECORDINGS = {
    "in-a-row": TWO_MINUTES,
    "side-by-side": replace(SMALL, overlap=True, compress="gz", faults=FAULT_KINDS),
    "over-midnight": replace(SMALL, minutes=2, faults=FAULT_KINDS),
}


@pytest.fixture(scope="module", params=[(name, seed) for name in RECORDINGS for seed in (7, 8, 9)], ids=str)
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Faulty:
    name, seed = request.param
    return record(tmp_path_factory.mktemp("faulty") / "out", replace(RECORDINGS[name], seed=seed))


def test_the_reference_finds_what_is_told(found: Faulty) -> None:
    truth = reference([Path(path) for path in found.report.paths])
    check(found, truth.connections, truth.coverage)


def test_the_job_finds_what_is_told(found: Faulty, output_dir: Path) -> None:
    tables = job_tables(Path(found.report.paths[0]).parent, output_dir)
    check(found, tables.connections, tables.coverage)


@pytest.mark.parametrize("is_job", [False, True])
def test_a_segment_that_is_cut_in_the_middle(tmp_path: Path, output_dir: Path, *, is_job: bool) -> None:
    options = replace(SMALL, overlap=True, compress="gz", start="2025-11-26T14:00:00Z")
    report = write_sample(str(tmp_path / "in"), options)
    connections = [message.connection for message in arrivals(options) if message.sequence_num is not None]
    whole = witness(report.paths, connections)
    path = Path(report.paths[2])
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 4 // 5])  # 2 s are cut off: no silence
    n_left = unpacked(str(path))[0].count(b"\n")
    segment = path.name.removesuffix(".gz")
    lost = [message for message in whole.messages if message.place[0] == segment and message.place[1] > n_left]
    last = {one.connection: one.place for one in whole.messages if one.place <= (segment, n_left)}
    tables = job_tables(tmp_path / "in", output_dir) if is_job else reference([tmp_path / "in"])
    for number, row in enumerate(tables.connections):
        missing = sum(message.connection == number for message in lost)
        assert missing > 10
        assert (row["holes_damaged_segment"], row["missing_damaged_segment"]) == (1, missing)
        assert [row[f"holes_{name}"] for name in CLASSES] == [0, 0, 0, 1]
    carrier = {key: message.connection for message in whole.messages for key in carries(message)}
    harmed = {
        (row["channel"], row["product_id"]): (row["segment_start"], row["line_start"])
        for row in tables.coverage
        if row["cause"] == "damaged_segment"
    }
    assert harmed == {key: last[connection] for key, connection in carrier.items()}


def check(found: Faulty, connections: Iterable[Row], coverage: Iterable[Row]) -> None:
    """Assert that the rows say what is told of faults, and nothing else."""
    told = Told(found)
    assert counts(connections) == told.counts()
    ids = {place: number for number, (place, _) in enumerate(sorted(told.counts().items()))}
    tiles: dict[tuple[str, str], list[tuple[Place, str, str | None, int | None]]] = {}
    bookless = set()
    for row in without_missing_ids(coverage):
        segment, line, state, cause = row["segment_start"], row["line_start"], row["state"], row["cause"]
        channel, product, connection_id = row["channel"], row["product_id"], row["connection_id"]
        connection = None
        if isinstance(connection_id, str):
            name, _, first = connection_id.rpartition(":")
            connection = ids[name, int(first)]
        if state == "no_snapshot":
            bookless.add((connection, product))
        tiles.setdefault((channel, product), []).append(((segment, line), state, cause, connection))  # type: ignore[arg-type]
    assert tiles == told.tiles()
    assert bookless <= told.bookless()
    for fault in found.showing("silence"):
        before = max(message.place for message in told.messages if message.place < place(fault))
        for of_key in tiles.values():
            state, cause = next((state, cause) for first, state, cause, _ in of_key[::-1] if first <= before)
            assert (state, cause) in (("no_data", "connection_end"), ("no_data", "start"))


def without_missing_ids(coverage: Iterable[Row]) -> list[Row]:
    """Return the tiles as they would be if nobody looked at the ids of trades: what is told of faults does not."""
    kept: list[Row] = []
    is_over = False
    for row in coverage:
        plain = row if row["cause"] != "missing_ids" else {**row, "state": "verified", "cause": None}
        names = ("channel", "product_id", "state", "cause", "connection_id")
        same = bool(kept) and all(plain[name] == kept[-1][name] for name in names)
        if not (same and (is_over or plain is not row)):
            kept.append(plain)
        is_over = plain is not row
    return kept


def counts(connections: Iterable[Row]) -> dict[object, dict[str, tuple[object, object]]]:
    """Return what `connections` counts, by the place of the first message."""
    return {
        (row["segment_first"], row["line_first"]): {
            "unverifiable": (0, row["missing_unverifiable"]),
            **{name: (row[f"holes_{name}"], row[f"missing_{name}"]) for name in CLASSES},
        }
        for row in connections
    }
