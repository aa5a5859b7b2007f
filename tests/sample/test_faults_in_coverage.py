"""Every fault that a recording shows, found in `connections` and `coverage` with the right cause and extent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from etl_ray.sample.options import FAULT_KINDS
from tests.coverage.job import Row, job_tables
from tests.reference import reference

from .faulty import SMALL, TWO_MINUTES, Faulty, place, record, true_connections
from .told import Told
from .witness import Place, witness

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


def check(found: Faulty, connections: Iterable[Row], coverage: Iterable[Row]) -> None:
    """Assert that the rows say what is told of faults, and nothing else."""
    told = Told(found)
    assert counts(connections) == told.counts()
    ids = {place: number for number, (place, _) in enumerate(sorted(told.counts().items()))}
    tiles: dict[tuple[str, str], list[tuple[Place, str, str | None, int | None]]] = {}
    bookless = set()
    for row in coverage:
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


def counts(connections: Iterable[Row]) -> dict[object, dict[str, tuple[object, object]]]:
    """Return what `connections` counts, by the place of the first message."""
    return {
        (row["segment_first"], row["line_first"]): {
            "unverifiable": (0, row["missing_unverifiable"]),
            **{name: (row[f"holes_{name}"], row[f"missing_{name}"]) for name in CLASSES},
        }
        for row in connections
    }
