"""`etl_ray.plan` over recordings: what can be known exactly, what is read, and that nothing is changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import etl_ray
from etl_ray.config import JobConfig
from etl_ray.config.prices import Prices
from etl_ray.errors import ConfigError
from etl_ray.orchestrators import sampling
from etl_ray.orchestrators.lock import exclusive
from etl_ray.orchestrators.run_estimate import RunEstimate
from etl_ray.sample import SampleOptions
from etl_ray.sample.recording import write_sample
from tests.orchestrators.jobs import config, run
from tests.orchestrators.outputs import OWN, files_of
from tests.storage import counted
from tests.storage.counted import CountedFileSystem


@pytest.fixture
def bucket() -> Iterator[type[CountedFileSystem]]:
    counted.install()
    CountedFileSystem.forget()
    yield CountedFileSystem
    CountedFileSystem.forget()


def planned(source: Path | str, output: Path | str | None = None, **overrides: object) -> RunEstimate:
    return etl_ray.plan(str(source), None if output is None else str(output), cores=4, config=config(**overrides))


def test_small_segments_are_known_exactly(recording: Path, tmp_path: Path) -> None:
    found = planned(recording)
    done = run(recording, tmp_path / "output")
    stored = sum(path.stat().st_size for path in recording.iterdir())
    exact = ("level2", "ticker", "status", "heartbeats", "subscriptions", "errors")

    assert (found.work.segments, found.work.units, found.work.products) == (4, 4, 2)
    assert (found.work.stored_bytes, found.work.unpacked_bytes, found.work.unpacked) == (
        stored,
        stored,
        {"plain": stored},
    )
    assert (found.work.lines, found.sampled_bytes, found.sampled_segments) == (done.lines, stored, 4)
    assert {name: found.tables[name].rows for name in exact} == {name: done.rows[name] for name in exact}
    assert (
        found.work.messages == sum(done.messages.values()) - done.messages["error"] + found.work.staged_rows["errors"]
    )
    assert found.work.days == 2


def test_units_are_those_of_a_run(recording: Path, tmp_path: Path) -> None:
    small = {"unit_mb": 0.02, "block_mb": 0.02}
    found = planned(recording, staging=small)
    run(recording, tmp_path / "output", staging=small)
    receipts = etl_ray.status(str(tmp_path / "output"))

    sizes = [path.stat().st_size for path in recording.iterdir()]
    assert receipts.done == found.work.segments == 4
    assert found.work.units == sum(-(-size // 20_000) for size in sizes)
    assert found.work.largest_unit_bytes == 20_000


def test_no_more_than_the_heads_of_eight_segments_are_read(
    tmp_path: Path, bucket: type[CountedFileSystem], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "PLAIN_BYTES", 300_000)
    write_sample(str(tmp_path / "many"), SampleOptions(minutes=0.4, rate=20, levels=20, segment_mb=0.35))
    segments = sorted((tmp_path / "many").iterdir())
    assert len(segments) > 8

    found = planned(f"counted://{tmp_path}/many")

    assert bucket.read_bytes == found.sampled_bytes == 8 * 300_000
    assert "rejects" not in found.tables  # the last line of a head is not whole
    assert dict(bucket.requests) == {"HEAD": 9, "LIST": 1, "GET": 8}
    assert found.work.stored_bytes == sum(path.stat().st_size for path in segments)


@pytest.mark.slow
def test_packed_segments_are_estimated_from_a_part(
    tmp_path: Path, bucket: type[CountedFileSystem], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = SampleOptions(minutes=0.6, rate=40, levels=100, compress="zst", segment_mb=8)
    write_sample(str(tmp_path / "packed"), options)
    monkeypatch.setattr(sampling, "PACKED_BYTES", 300_000)

    found = planned(f"counted://{tmp_path}/packed")
    done = run(tmp_path / "packed", tmp_path / "output")

    assert bucket.read_bytes == found.sampled_bytes < found.work.stored_bytes
    assert found.work.unpacked_bytes == pytest.approx(done.bytes, rel=0.2)
    assert found.tables["level2"].rows == pytest.approx(done.rows["level2"], rel=0.2)
    assert found.tables["book"].rows == pytest.approx(done.rows["book"], rel=0.2)


def test_nothing_is_changed_and_no_lock_is_taken(recording: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    run(recording, output)
    before = files_of(output), files_of(recording)

    with exclusive(str(output / OWN)):
        planned(recording, output)
    planned(recording, tmp_path / "none")

    assert (files_of(output), files_of(recording)) == before
    assert not (tmp_path / "none").exists()


def test_of_an_output_only_what_is_new_counts(recording: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    first, *others = sorted(recording.iterdir())
    part = tmp_path / "part"
    part.mkdir()
    for path in others:
        shutil.copy(path, part)
    run(part, output)
    shutil.copy(first, part)

    found = planned(part, output)
    assert (found.work.segments, found.asked.known_segments) == (1, 3)
    assert found.work.stored_bytes == first.stat().st_size
    assert planned(part, output, overwrite=True).work.segments == 4

    run(part, output)
    nothing = planned(part, output)
    assert (nothing.stages, nothing.wall_s, nothing.core_cost, nothing.tables) == ((), 0.0, 0.0, {})
    assert nothing.asked.known_segments == 4


def test_options_change_what_is_expected(recording: Path) -> None:
    everything, no_books = planned(recording), planned(recording, channels=_books(reconstruct_lob=False))
    stages = [stage.name for stage in everything.stages]

    assert stages == ["normalize", "build", "trades", "candles", "compose", "books", "witness", "driver"]
    assert "books" not in [stage.name for stage in no_books.stages]
    assert "book" in everything.tables
    assert "book" not in no_books.tables
    assert no_books.cpu_s < everything.cpu_s
    derived = planned(recording, derived={"bars": ["1s", "tick:10"], "trades_with_book": True, "features": "1s"})
    assert {"bars", "trades_with_book", "features"} <= derived.tables.keys()
    assert derived.tables["trades_with_book"].rows == derived.tables["market_trades"].rows
    half = planned(recording, end="2025-11-27")
    assert 0.3 < half.tables["level2"].rows / everything.tables["level2"].rows < 0.7
    assert half.work.days == 1
    assert half.work.operations == everything.work.operations


def _books(**options: object) -> dict[str, object]:
    return {"level2": {"processor_options": options}}


def test_calibration_measures_this_machine(recording: Path) -> None:
    found = etl_ray.plan(str(recording), cores=4, config=config(), calibrate=True)
    plain = planned(recording)

    assert found.asked.slowness is not None
    assert found.asked.slowness > 0
    assert found.cpu_s == pytest.approx(plain.cpu_s * found.asked.slowness)
    assert plain.asked.slowness is None


def test_what_it_tells_is_one_json_object(recording: Path) -> None:
    found = json.loads(json.dumps(planned(recording).as_dict()))

    assert list(found) == [
        *("cores", "prices", "input", "output", "is_remote", "known_segments", "slowness", "work", "tables", "stages"),
        *("wall_s", "useful_cores", "worker_mb", "driver_mb", "reads", "writes", "lists", "rework_share", "limits"),
        *("sampled_bytes", "sampled_segments", "notes", "cpu_s", "core_hours", "core_cost", "request_cost"),
        "output_bytes",
    ]
    assert found["stages"][0].keys() == {
        *("name", "cpu_s", "wait_s", "longest_s", "reads", "writes", "deletes", "wall_s")
    }
    assert found["tables"]["level2"].keys() == {"rows", "files", "bytes"}
    assert found["prices"] == Prices().model_dump()


@pytest.mark.parametrize("cores", [0, -1, float("nan"), float("inf")])
def test_cores_have_to_be_a_number(recording: Path, cores: float) -> None:
    with pytest.raises(ConfigError, match="cores: expected a number above 0, found"):
        etl_ray.plan(str(recording), cores=cores, config=JobConfig())


def test_wrong_places_are_refused_as_by_a_run(recording: Path, tmp_path: Path) -> None:
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "file").touch()
    output = tmp_path / "output"
    run(recording, output)

    with pytest.raises(ConfigError, match="no segments in"):
        planned(tmp_path / "strange")
    with pytest.raises(ConfigError, match="lies inside INPUT"):
        planned(recording, recording / "output")
    with pytest.raises(ConfigError, match="was not made by etl-ray"):
        planned(recording, tmp_path / "strange")
    with pytest.raises(ConfigError, match="was made with another config"):
        planned(recording, output, numbers="decimal")


def test_a_broken_segment_is_no_reason_to_fail(recording: Path) -> None:
    (recording / "segment_20251127T09_00009.ndjson.zst").write_bytes(b"\x28\xb5\x2f\xfdgarbage")

    found = planned(recording)

    assert (found.work.segments, found.sampled_segments) == (5, 5)
