"""Files merged by `compact`: the rows of before, in their order, and runs that go on from there."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import etl_ray
from etl_ray.config import JobConfig
from etl_ray.errors import ConfigError, LockedError, StorageError
from etl_ray.orchestrators.final_files import file_number
from etl_ray.orchestrators.lock import exclusive
from etl_ray.orchestrators.manifest import Ledger, Manifest
from etl_ray.sample import SampleOptions, write_sample
from etl_ray.summary import CompactSummary
from tests.orchestrators.jobs import config, run
from tests.orchestrators.killing import kill
from tests.orchestrators.outputs import (
    OWN,
    assert_same_rows,
    files_of,
    partitions_of,
    places_of,
    rows_by_partition,
    strays_of,
    table_files_of,
)

LOCAL = JobConfig(engine="local")
RECORDING = SampleOptions(
    minutes=0.6,
    products=("BTC-USD", "ETH-USD"),
    rate=8,
    levels=30,
    segment_mb=0.1,
    start="2025-11-26T23:59:38Z",
)
"""Over a midnight, in a dozen of segments."""
CONFIG: dict[str, object] = {
    "derived": {"bars": ["1s", "tick:20"], "trades_with_book": True, "features": "1s"},
    "staging": {"rows_per_file": 900, "rows_per_group": 250},
}
CLOSED, OPEN = "date=2025-11-26", "date=2025-11-27"


@dataclass(frozen=True)
class Grown:
    """An output that runs have made while its recording grew, and the recording."""

    recording: Path
    output: Path

    def compact(self, target_mb: float = 256) -> CompactSummary:
        return etl_ray.compact(str(self.output), target_mb=target_mb, config=LOCAL)

    def run(self) -> bool:
        """Run again; return whether nothing was left to do."""
        return run(self.recording, self.output, **CONFIG).unchanged

    @property
    def manifest(self) -> Manifest:
        found = Ledger(str(self.output)).latest()
        assert found is not None
        return found


@pytest.fixture(scope="module")
def grown_once(tmp_path_factory: pytest.TempPathFactory) -> Grown:
    root = tmp_path_factory.mktemp("grown")
    write_sample(str(root / "all"), RECORDING)
    grown = Grown(root / "recording", root / "output")
    grown.recording.mkdir()
    for number, path in enumerate(sorted((root / "all").iterdir())):
        shutil.copy2(path, grown.recording / path.name)
        if number % 2:
            grown.run()
    grown.run()
    return grown


@pytest.fixture
def grown(grown_once: Grown, tmp_path: Path) -> Grown:
    """Return an output of many small files for a test to change."""
    recording = Path(shutil.copytree(grown_once.recording, tmp_path / "recording"))
    return Grown(recording, Path(shutil.copytree(grown_once.output, tmp_path / "output")))


@pytest.fixture(scope="module")
def small_once(tmp_path_factory: pytest.TempPathFactory) -> Grown:
    root = tmp_path_factory.mktemp("small")
    write_sample(str(root / "all"), replace(RECORDING, minutes=0.1, start="2025-11-26T23:59:56.500Z", segment_mb=0.02))
    grown = Grown(root / "recording", root / "output")
    grown.recording.mkdir()
    segments = sorted((root / "all").iterdir())
    for number, path in enumerate(segments):
        shutil.copy2(path, grown.recording)
        if number in (1, 3, 5, len(segments) - 1):
            grown.run()
    return grown


@pytest.fixture
def small(small_once: Grown, tmp_path: Path) -> Grown:
    """Return a smaller output for a test to change."""
    recording = Path(shutil.copytree(small_once.recording, tmp_path / "recording"))
    return Grown(recording, Path(shutil.copytree(small_once.output, tmp_path / "output")))


def files_by_directory(output: Path) -> Counter[str]:
    return Counter(name.rpartition("/")[0] for name in table_files_of(output))


def test_files_of_closed_dates_become_one_with_the_same_rows(grown: Grown) -> None:
    before, rows = files_by_directory(grown.output), rows_by_partition(grown.output)
    checkpoints = partitions_of(grown.output)
    manifest = grown.manifest

    done = grown.compact()

    after = files_by_directory(grown.output)
    merged = {name for name in before if before[name] > 1 and CLOSED in name}
    assert {name.partition("/")[0] for name in merged} == {
        *("level2", "ticker", "heartbeats", "status", "subscriptions", "errors", "market_trades"),
        *("book", "book_checkpoints"),
    }
    # A shard of books over midnight stays by itself.
    crossing = {f"{table}/product_id=ETH-USD/{CLOSED}" for table in ("book", "book_checkpoints")}
    assert after == {name: 1 + (name in crossing) if name in merged else count for name, count in before.items()}
    assert max(count for name, count in after.items() if OPEN in name) > 1
    assert rows_by_partition(grown.output).keys() == rows.keys()
    for name, found in partitions_of(grown.output).items():
        assert found.equals(checkpoints[name], check_metadata=True), name
    assert (done.merged, done.written) == (sum(before[name] - (name in crossing) for name in merged), len(merged))
    new = {file.path: file.rows for file in grown.manifest.files if file not in manifest.files}
    assert (done.rows, done.written) == (sum(new.values()), len(new))
    assert (done.number, done.run_id, done.unchanged) == (manifest.number + 1, manifest.run_id, False)
    assert done.bytes_after < done.bytes_before
    assert strays_of(grown.output) == []
    assert etl_ray.verify(str(grown.output)).differences == ()


def test_the_new_manifest_differs_in_files_and_results_only(grown: Grown) -> None:
    before = grown.manifest
    grown.compact()
    after = grown.manifest

    changed = {name for name in before.__dataclass_fields__ if getattr(before, name) != getattr(after, name)}
    assert changed - {"moved"} == {"number", "files", "results"}
    assert after.moved == {}


def test_a_second_compaction_changes_no_byte(grown: Grown) -> None:
    grown.compact()
    before = files_of(grown.output)

    done = grown.compact()

    assert (done.unchanged, done.merged, done.written) == (True, 0, 0)
    assert files_of(grown.output) == before


@pytest.mark.parametrize("target_mb", [0.012, 0.03, 0.1])
def test_merged_files_stay_below_the_target_and_a_second_time_nothing_fits(grown: Grown, target_mb: float) -> None:
    before = {file.path for file in grown.manifest.files}
    rows = partitions_of(grown.output)

    done = grown.compact(target_mb)

    new = [file for file in grown.manifest.files if file.path not in before]
    assert done.written == len(new) > 0
    assert max(file.bytes for file in new) < target_mb * 1_100_000
    assert {name: found.equals(rows[name]) for name, found in partitions_of(grown.output).items()} == dict.fromkeys(
        rows, True
    )
    assert grown.compact(target_mb).unchanged


def test_row_groups_have_the_size_of_the_config(grown: Grown) -> None:
    grown.compact()
    found = 0
    for path in grown.output.glob(f"*/**/{CLOSED}/*.parquet"):
        metadata = pq.ParquetFile(path).metadata
        sizes = [metadata.row_group(k).num_rows for k in range(metadata.num_row_groups)]
        if metadata.num_rows > 250:
            assert (set(sizes[:-1]), sizes[-1] <= 250) == ({250}, True), path
            found += 1
    assert found > 3


def test_files_of_a_book_and_its_checkpoints_have_one_number(grown: Grown) -> None:
    grown.compact(0.05)
    files: dict[str, dict[str, set[int]]] = {"book": {}, "book_checkpoints": {}}
    for file in grown.manifest.files:
        if file.table in files:
            product = file.path.split("/")[1]
            files[file.table].setdefault(product, set()).add(file_number(file.path))
    assert files["book"].keys() == files["book_checkpoints"].keys()
    for product, numbers in files["book_checkpoints"].items():
        assert numbers <= files["book"][product]
        assert len(numbers) > 1


def test_a_run_afterwards_has_nothing_to_do(grown: Grown) -> None:
    grown.compact()
    before = files_of(grown.output)
    assert grown.run()
    assert files_of(grown.output) == before


def test_books_and_derived_tables_come_out_of_merged_files_as_before(grown: Grown, tmp_path: Path) -> None:
    source = str(grown.output)
    times = ("2025-11-26T23:59:45Z", "2025-11-26T23:59:59Z", "2025-11-27T00:00:05Z")
    again = config(
        derived={"bars": ["2s"], "features": "500ms"},
        channels={"level2": {"processor_options": {"depth": 3, "imbalance_levels": [1], "ofi_levels": 2}}},
    )

    def seen(name: str) -> tuple[object, Path]:
        books = [etl_ray.book_at(source, product, time) for product in RECORDING.products for time in times]
        etl_ray.reprocess(source, str(tmp_path / name), config=again, books=True)
        return books, tmp_path / name

    books, tables = seen("before")
    grown.compact()
    books_after, tables_after = seen("after")

    assert books_after == books
    assert_same_rows(tables_after, tables)
    assert len(table_files_of(tables_after)) < len(table_files_of(tables))


def test_duckdb_sees_the_same_rows(grown: Grown) -> None:
    duckdb = pytest.importorskip("duckdb")

    def seen() -> list[object]:
        tables = sorted({name.partition("/")[0] for name in table_files_of(grown.output)})
        query = "SELECT count(*), bit_xor(hash(found)) FROM read_parquet('{}/{}/**/*.parquet') AS found"
        return [(table, duckdb.sql(query.format(grown.output, table)).fetchall()) for table in tables]

    before = seen()
    grown.compact()
    assert seen() == before


def worked_on(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Return a count of items by stage, which grows while runs work."""
    from etl_ray.orchestrators import engines

    found: Counter[str] = Counter()
    do = engines.work

    def work(stage: engines.Stage, options: bytes, item: bytes) -> bytes:
        found[stage] += 1
        return do(stage, options, item)

    monkeypatch.setattr(engines, "work", work)
    return found


def test_a_run_over_a_new_segment_redoes_nothing_of_merged_dates(
    grown_once: Grown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments = sorted(grown_once.recording.iterdir())
    done = []
    for is_compacted in (False, True):
        grown = Grown(tmp_path / f"recording-{is_compacted}", tmp_path / f"output-{is_compacted}")
        grown.recording.mkdir()
        for path in segments[:-1]:
            shutil.copy2(path, grown.recording)
            if path.name > segments[3].name:
                grown.run()
        if is_compacted:
            assert not grown.compact().unchanged
        closed = {name: data for name, data in table_files_of(grown.output).items() if f"level2/{CLOSED}" in name}
        shutil.copy2(segments[-1], grown.recording)
        with monkeypatch.context() as patched:
            counts = worked_on(patched)
            assert not grown.run()
        done.append(counts)
        assert closed.items() <= table_files_of(grown.output).items()
        assert_same_rows(grown.output, grown_once.output)
    assert done[0] == done[1]
    assert done[0]["normalize"] == 1


@pytest.mark.parametrize("late", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(4, marks=pytest.mark.slow)])
def test_a_late_segment_lands_in_its_place_between_merged_ones(grown_once: Grown, tmp_path: Path, late: int) -> None:
    segments = sorted(grown_once.recording.iterdir())
    grown = Grown(tmp_path / "recording", tmp_path / "output")
    grown.recording.mkdir()
    for number, path in enumerate(segments):
        if number != late:
            shutil.copy2(path, grown.recording)
            grown.run()
    assert not grown.compact().unchanged
    shutil.copy2(segments[late], grown.recording)
    grown.run()

    assert_same_rows(grown.output, grown_once.output)
    grown.compact()
    assert_same_rows(grown.output, grown_once.output)
    assert strays_of(grown.output) == []


@pytest.mark.parametrize("moment", range(0, 212, 9))
def test_a_killed_compaction_costs_only_time(small: Grown, tmp_path: Path, moment: int) -> None:
    """Killed in front of each ninth call that changes something below OUTPUT."""
    rows = partitions_of(small.output)
    undisturbed = Path(shutil.copytree(small.output, tmp_path / "undisturbed"))
    etl_ray.compact(str(undisturbed), config=LOCAL)

    kill(small.compact, small.output, moment, tmp_path / "seen")
    seen = {table: places_of(small.output, table) for table in ("level2", "market_trades", "book")}
    assert {table: len(found) - len(set(found)) for table, found in seen.items()} == dict.fromkeys(seen, 0)
    small.compact()

    assert table_files_of(small.output) == table_files_of(undisturbed)
    assert {name: found.equals(rows[name]) for name, found in partitions_of(small.output).items()} == dict.fromkeys(
        rows, True
    )
    assert strays_of(small.output) == []
    assert small.compact().unchanged
    assert small.run()


def test_what_was_killed_behind_its_commit_is_finished_by_a_run(small: Grown, tmp_path: Path) -> None:
    undisturbed = Path(shutil.copytree(small.output, tmp_path / "undisturbed"))
    etl_ray.compact(str(undisturbed), config=LOCAL)
    before = small.manifest.number
    moment = kill(lambda: etl_ray.compact(str(undisturbed), config=LOCAL), undisturbed, 1_000, tmp_path / "seen")
    assert moment < 20  # nothing to do takes few calls
    for moment in range(1_000):
        if small.manifest.number > before:
            break
        kill(small.compact, small.output, 5 * moment, tmp_path / "seen")
    assert etl_ray.status(str(small.output)).unpublished is not None

    assert small.run()
    assert table_files_of(small.output) == table_files_of(undisturbed)
    assert etl_ray.status(str(small.output)).unpublished is None
    assert etl_ray.verify(str(small.output)).is_whole


def test_a_locked_output_is_left_alone(small: Grown) -> None:
    before = files_of(small.output)
    with exclusive(str(small.output / OWN)), pytest.raises(LockedError):
        small.compact()
    assert files_of(small.output) == before


def test_an_output_that_lacks_a_file_is_refused(small: Grown) -> None:
    next(small.output.glob(f"level2/*/{CLOSED}/part-00001-*")).unlink()
    with pytest.raises(ConfigError, match="lacks files of its last run; run `etl-ray run` on it again first"):
        small.compact()


def test_a_damaged_file_is_not_merged_and_nothing_is_committed(small: Grown) -> None:
    path = next(small.output.glob(f"level2/*/{CLOSED}/part-00001-*"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    before = table_files_of(small.output)

    with pytest.raises(StorageError, match=rf"{path.name}: expected the bytes that were committed, found others"):
        small.compact()
    assert table_files_of(small.output) == before
    assert Ledger(str(small.output)).numbers()[-1] == small.manifest.number


@pytest.mark.parametrize("target_mb", [0, -1])
def test_a_target_has_to_be_a_size(small: Grown, target_mb: float) -> None:
    with pytest.raises(ConfigError, match=f"--target-mb: expected a size above 0, found {target_mb}"):
        small.compact(target_mb)


def test_what_is_no_output_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    for place, problem in ((tmp_path, "no _etl_ray in it"), (tmp_path / "nowhere", "nothing there")):
        with pytest.raises(ConfigError, match=f"is no output of etl-ray: .* found {problem}"):
            etl_ray.compact(str(place), config=LOCAL)
    (tmp_path / OWN).mkdir()
    with pytest.raises(ConfigError, match="holds no committed run"):
        etl_ray.compact(str(tmp_path), config=LOCAL)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [OWN, "mine.txt"]


def test_a_dest_of_reprocess_can_be_merged_too(small: Grown, tmp_path: Path) -> None:
    again = config(channels={"level2": {"processor_options": {"depth": 2, "ofi_levels": 1}}})
    dest = tmp_path / "dest"
    etl_ray.reprocess(str(small.output), str(dest), config=again, books=True)
    rows = partitions_of(dest)

    assert etl_ray.compact(str(dest), config=LOCAL).merged > 4

    assert {name: found.equals(rows[name]) for name, found in partitions_of(dest).items()} == dict.fromkeys(rows, True)
    assert etl_ray.reprocess(str(small.output), str(dest), config=again, books=True).unchanged


def test_an_output_in_a_bucket_can_be_merged(small: Grown) -> None:
    import fsspec

    url = "memory://compacted/output"
    fsspec.filesystem("memory").put(f"{small.output}/", url, recursive=True)
    done = etl_ray.compact(url, config=LOCAL)
    assert (done.unchanged, etl_ray.verify(url).is_whole) == (False, True)
    assert etl_ray.status(url).runs[-1].committed_ns is not None
    small.compact()
    places = {file.path for file in small.manifest.files}
    found = {name.removeprefix("/compacted/output/") for name in fsspec.filesystem("memory").find(url)}
    assert {name for name in found if not name.startswith(OWN)} == places
