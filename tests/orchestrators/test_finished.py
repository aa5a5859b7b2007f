"""What a run counts for metrics: each item once, with what it has read, written and rejected."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

import etl_ray
import etl_ray.orchestrators.compact
import etl_ray.orchestrators.reprocess
import etl_ray.orchestrators.run
from etl_ray.orchestrators.engines import LocalEngine
from etl_ray.orchestrators.finished import Finished
from etl_ray.sample import write_sample
from tests.orchestrators.jobs import SMALL, config, run


class CountingEngine(LocalEngine):
    """Counts figures by their names and labels."""

    def __init__(self) -> None:
        self.found: Counter[tuple[str, ...]] = Counter()

    def count(self, stage: str, item: Finished) -> None:
        self.found["units", stage] += 1
        self.found["stored", stage] += item.stored_bytes
        self.found["read", stage] += item.read_bytes
        self.found["written", stage] += item.written_bytes
        self.found["rejects", stage] += item.rejects
        for table, rows in item.rows.items():
            self.found["rows", stage, table] += rows

    def total(self, name: str) -> int:
        return sum(value for key, value in self.found.items() if key[0] == name)

    def rows(self) -> dict[str, int]:
        found: Counter[str] = Counter()
        for key, value in self.found.items():
            if key[0] == "rows" and value:
                found[key[2]] += value
        return dict(found)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> CountingEngine:
    """Return the engine that every run gets."""
    found = CountingEngine()
    for module in (etl_ray.orchestrators.run, etl_ray.orchestrators.reprocess, etl_ray.orchestrators.compact):
        monkeypatch.setattr(module, "choose_engine", lambda *_: found)
    return found


@pytest.fixture
def recording(input_dir: Path) -> Path:
    """Return a recording with a line that is rejected."""
    write_sample(str(input_dir), SMALL)
    with min(input_dir.iterdir()).open("a") as segment:
        segment.write("garbage\n")
    return input_dir


def sizes(output: Path) -> int:
    return sum(path.stat().st_size for path in output.glob("[a-z]*/**/*.parquet"))


def test_a_run_counts_what_its_summary_says(engine: CountingEngine, recording: Path, output_dir: Path) -> None:
    summary = run(recording, output_dir, derived={"bars": ["1s"], "trades_with_book": True})

    segments = list(recording.iterdir())
    assert engine.rows() == {table: rows for table, rows in summary.rows.items() if rows}
    assert engine.found["units", "normalize"] == len(segments) == 4
    assert engine.total("stored") == sum(path.stat().st_size for path in segments)
    assert engine.total("read") == summary.bytes
    assert engine.total("rejects") == summary.rejects == 1
    assert engine.total("written") == sizes(output_dir)


def test_what_is_not_done_again_is_not_counted_again(
    engine: CountingEngine, recording: Path, output_dir: Path, tmp_path: Path
) -> None:
    last = max(recording.iterdir()).rename(tmp_path / max(recording.iterdir()).name)
    run(recording, output_dir)
    before = Counter(engine.found)
    run(recording, output_dir)
    assert engine.found == before
    last.rename(recording / last.name)

    run(recording, output_dir)

    assert engine.found["units", "normalize"] - before["units", "normalize"] == 1
    assert engine.total("stored") == sum(path.stat().st_size for path in recording.iterdir())


def test_computing_again_counts_what_it_writes(
    engine: CountingEngine, recording: Path, output_dir: Path, tmp_path: Path
) -> None:
    run(recording, output_dir)
    engine.found.clear()

    again = etl_ray.reprocess(str(output_dir), str(tmp_path / "bars"), config=config(derived={"bars": ["1s"]}))

    assert engine.rows() == again.rows
    assert engine.total("written") == sizes(tmp_path / "bars")


def test_merging_counts_what_it_writes(
    engine: CountingEngine, recording: Path, output_dir: Path, tmp_path: Path
) -> None:
    growing = tmp_path / "growing"
    growing.mkdir()
    for segment in sorted(recording.iterdir()):
        shutil.copy2(segment, growing)
        run(growing, output_dir)
    engine.found.clear()

    merged = etl_ray.compact(str(output_dir), config=config())

    assert engine.found["units", "compact"] == merged.written > 0
    assert sum(engine.rows().values()) == merged.rows
    assert engine.total("written") == merged.bytes_after
