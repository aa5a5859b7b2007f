"""Files merged by `compact`: the rows of before, in their order, and runs that go on from there."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import etl_ray
from etl_ray.config import JobConfig
from etl_ray.errors import ConfigError, LockedError, StorageError
from etl_ray.orchestrators import compact_merge
from etl_ray.orchestrators.compact_plan import BY_ID, Merge, Part, joined, strands
from etl_ray.orchestrators.final_files import file_number, write_final
from etl_ray.orchestrators.lock import exclusive
from etl_ray.orchestrators.manifest import Ledger, Manifest
from etl_ray.orchestrators.receipts import Built, BuiltFile
from etl_ray.sample import SampleOptions, write_sample
from etl_ray.summary import CompactSummary
from tests.orchestrators.jobs import config, run
from tests.orchestrators.outputs import (
    OWN,
    assert_same_rows,
    files_of,
    partitions_of,
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


@pytest.mark.parametrize("late", [1, 2, 4])
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
