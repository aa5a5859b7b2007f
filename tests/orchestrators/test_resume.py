"""A run that died is resumed: what its units have finished is not read again, what is not whole is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from etl_ray import storage
from etl_ray.config import JobConfig
from etl_ray.errors import StorageError
from etl_ray.job import ETLJob
from etl_ray.orchestrators.manifest import Ledger
from etl_ray.orchestrators.normalize import Normalizer
from etl_ray.orchestrators.receipts import Receipt
from etl_ray.readers.segments import Unit
from tests.orchestrators.jobs import FEW, config, run
from tests.orchestrators.outputs import files_of, pieces_of, strays_of, table_files_of

NAMES = [
    "segment_20251126T23_00001.ndjson",
    "segment_20251126T23_00002.ndjson",
    "segment_20251127T00_00003.ndjson",
    "segment_20251127T00_00004.ndjson",
]


class NoteProgress:
    """Remembers notes and how far a stage was at its beginning and end."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.stages: list[tuple[str, int, int]] = []
        self.units: dict[str, list[int]] = {}

    def stage(self, name: str, total_bytes: int, total_units: int) -> None:
        self.stages.append((name, total_bytes, total_units))

    def skip(self, bytes_: int, units: int) -> None:
        self.advance(bytes_, units)

    def advance(self, bytes_: int, units: int) -> None:
        self.units.setdefault(self.stages[-1][0], []).append(units)

    def done(self) -> None:
        pass

    def note(self, message: str) -> None:
        self.notes.append(message)


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


@pytest.fixture
def dead_run(sample_dir: Path, output_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[object, str, int], None]:
    """Return a function that runs the job until the storage, or the ledger, is asked the nth time to do something."""

    def die(place: object, name: str, step: int) -> None:
        calls = 0
        function = getattr(place, name)

        def counted(*arguments: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == step:
                raise StorageError("the disk has gone")
            return function(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(place, name, counted)
            with pytest.raises(StorageError, match="the disk has gone"):
                run(sample_dir, output_dir, **FEW)

    return die


def staging_of(output: Path) -> Path:
    (staging,) = (output / "_etl_ray" / "staged").iterdir()
    return staging


def test_finished_units_are_not_read_again(
    sample_dir: Path,
    output_dir: Path,
    tmp_path: Path,
    dead_run: Callable[[object, str, int], None],
    normalized: list[str],
) -> None:
    # Every unit writes its numbers (two files), its books (three), two tables, the index of its books, its receipt;
    # before all of them the root is probed.
    dead_run(storage, "open_write", 1 + 9 * 2 + 2)
    assert normalized == NAMES[:3]
    normalized.clear()
    progress = NoteProgress()
    ETLJob(str(sample_dir), str(output_dir), config=config(**FEW), progress=progress).process_all()
    assert normalized == NAMES[2:]
    sizes = [(sample_dir / name).stat().st_size for name in NAMES]
    counts = {"build": 4, "trades": 2, "compose": 2, "books": 4}
    assert progress.stages == [("normalize", sum(sizes), 4), *((name, 0, count) for name, count in counts.items())]
    assert progress.units == {"normalize": [2, 1, 1], **{name: [1] * count for name, count in counts.items()}}
    assert progress.notes == []
    run(sample_dir, tmp_path / "undisturbed", **FEW)
    assert table_files_of(output_dir) == table_files_of(tmp_path / "undisturbed")
    assert strays_of(output_dir) == []


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def exchange(path: Path) -> None:
    path.write_bytes(next(other for other in path.parent.iterdir() if other != path).read_bytes())


def wrong_type(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"lines":', b'"lines":"x","was":'))


@pytest.mark.parametrize(
    ("damage", "place", "said"),
    [
        (cut, "receipts/*_00002.*", "expected a Receipt as JSON"),
        (wrong_type, "receipts/*_00002.*", "expected a Receipt as JSON"),
        (exchange, "receipts/*_00002.*", "is the receipt of another unit"),
        (cut, "rows/*_00002.*", "is not whole"),
        (Path.unlink, "kept/*_00002.*", "is not whole"),
        (cut, "numbered/*_00002.*", "is not whole"),
        (cut, "book/operations/*_00002.*", "is not whole"),
        (cut, "book/deltas/*_00002.*", "is not whole"),
        (Path.unlink, "book/index/*_00002.*", "is not whole"),
    ],
    ids=[
        "cut receipt",
        "wrong type",
        "exchanged receipt",
        "cut piece",
        "missing piece",
        "cut numbers",
        "cut operations",
        "cut deltas",
        "missing index",
    ],
)
def test_a_unit_whose_receipt_or_pieces_are_damaged_is_done_again(
    damage: Callable[[Path], None],
    place: str,
    said: str,
    sample_dir: Path,
    output_dir: Path,
    tmp_path: Path,
    dead_run: Callable[[object, str, int], None],
    normalized: list[str],
) -> None:
    dead_run(Ledger, "commit", 1)
    (path,) = staging_of(output_dir).glob(place)
    damage(path)
    normalized.clear()
    progress = NoteProgress()
    ETLJob(str(sample_dir), str(output_dir), config=config(**FEW), progress=progress).process_all()
    assert normalized == [NAMES[1]]
    (note,) = [note for note in progress.notes if "superseded" not in note]
    assert said in note
    assert path.name in note
    assert note.endswith("its unit is done again")
    run(sample_dir, tmp_path / "undisturbed", **FEW)
    assert table_files_of(output_dir) == table_files_of(tmp_path / "undisturbed")


def test_receipts_of_another_config_or_input_are_not_used(
    recording: Path, output_dir: Path, monkeypatch: pytest.MonkeyPatch, normalized: list[str]
) -> None:
    def die(*_arguments: object) -> bool:
        raise StorageError("the disk has gone")

    def dead(**overrides: object) -> None:
        normalized.clear()
        with monkeypatch.context() as patch, pytest.raises(StorageError, match="the disk has gone"):
            patch.setattr(Ledger, "commit", die)
            run(recording, output_dir, **FEW, **overrides)

    dead()
    dead()
    assert normalized == []
    dead(numbers="decimal")
    assert normalized == NAMES
    dead(start="2025-11-27")
    assert normalized == NAMES
    (recording / NAMES[3]).write_bytes((recording / NAMES[3]).read_bytes() + b"\n")
    dead()
    assert normalized == NAMES[3:]
    dead(engine="local", strict=True)
    assert normalized == []
    assert JobConfig().semantic_hash() != config().semantic_hash()


def test_runs_into_other_outputs_share_a_staging_place_without_sharing_pieces(
    sample_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, normalized: list[str]
) -> None:
    elsewhere = {**FEW, "staging": {"url": str(tmp_path / "staging")}}

    def die(*_arguments: object) -> bool:
        raise StorageError("the disk has gone")

    with monkeypatch.context() as patch, pytest.raises(StorageError, match="the disk has gone"):
        patch.setattr(Ledger, "commit", die)
        run(sample_dir, tmp_path / "one", **elsewhere)
    run(sample_dir, tmp_path / "two", **elsewhere)
    assert normalized == NAMES * 2
    # The second run has cleared up behind itself only: the first one goes on where it was.
    run(sample_dir, tmp_path / "one", **elsewhere)
    assert normalized == NAMES * 2
    assert table_files_of(tmp_path / "one") == table_files_of(tmp_path / "two")
    places = list((tmp_path / "staging").iterdir())
    assert len(places) == 2
    for place in places:
        assert set(files_of(place)) == pieces_of(tmp_path / "one", place) == pieces_of(tmp_path / "two", place)
