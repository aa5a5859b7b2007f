"""What runs keep for later ones, damaged or lost in between: a later run makes it again, and the rows are right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from etl_ray.orchestrators.normalize import Normalizer
from etl_ray.orchestrators.receipts import Receipt
from etl_ray.readers.segments import Unit
from tests.orchestrators.jobs import FEW, run
from tests.orchestrators.outputs import assert_same_rows, strays_of

SECOND = "segment_20251126T23_00002.ndjson"
LAST = "segment_20251127T00_00004.ndjson"
SMALL: dict[str, object] = {**FEW, "staging": {"block_mb": 0.02, "rows_per_file": 200}}


@pytest.fixture
def normalized(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the identities of the segments that are normalized from now on."""
    found: list[str] = []
    normalize = Normalizer.run

    def watched(self: Normalizer, unit: Unit) -> Receipt:
        found.append(unit.segment.identity)
        return normalize(self, unit)

    monkeypatch.setattr(Normalizer, "run", watched)
    return found


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [Path.unlink, cut, empty], ids=["lost", "cut", "empty"])
@pytest.mark.parametrize("late", [SECOND, LAST], ids=["a late segment", "a new segment"])
@pytest.mark.parametrize(
    ("place", "reads_again"),
    [
        ("rows/{unit}*", True),
        ("kept/{unit}*", True),
        ("numbered/{unit}*", True),
        ("book/operations/{unit}*", True),
        ("book/deltas/{unit}*", True),
        ("book/index/{unit}*", True),
        ("book/composed/*.json", False),
        ("book/composed/*.arrow", False),
    ],
)
def test_a_run_over_more_input_makes_it_again(
    place: str,
    reads_again: bool,
    late: str,
    damage: Callable[[Path], None],
    recording: Path,
    output_dir: Path,
    tmp_path: Path,
    normalized: list[str],
) -> None:
    third = "segment_20251127T00_00003.ndjson"
    (recording / late).rename(tmp_path / late)
    run(recording, output_dir, **SMALL)
    (tmp_path / late).rename(recording / late)
    paths = list((output_dir / "_etl_ray/staged/000001").glob(place.format(unit=third)))
    assert len(paths) == (1 if reads_again else 2)
    for path in paths:
        damage(path)
    normalized.clear()
    run(recording, output_dir, **SMALL)
    assert normalized == sorted({late, *((third,) if reads_again else ())})
    assert strays_of(output_dir) == []
    run(recording, tmp_path / "fresh", **SMALL)
    assert_same_rows(output_dir, tmp_path / "fresh")


@pytest.mark.parametrize("keep_days", [0, 2])
def test_all_staged_pieces_may_be_lost(keep_days: int, recording: Path, output_dir: Path, tmp_path: Path) -> None:
    config: dict[str, object] = {**FEW, "staging": {"block_mb": 0.02, "rows_per_file": 200, "keep_days": keep_days}}
    (recording / SECOND).rename(tmp_path / SECOND)
    run(recording, output_dir, **config)
    (tmp_path / SECOND).rename(recording / SECOND)
    for path in (output_dir / "_etl_ray/staged").rglob("*"):
        if path.is_file():
            path.unlink()
    run(recording, output_dir, **config)
    assert strays_of(output_dir) == []
    run(recording, tmp_path / "fresh", **config)
    assert_same_rows(output_dir, tmp_path / "fresh")
